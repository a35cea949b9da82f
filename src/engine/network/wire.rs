//! Frames as they lie on the wire: `{channel u32, kind u8, len u32}`, little-endian, then `len` bytes.
//!
//! ```text
//! consumer's worker ─ Open, Credit, Close ─► producer's worker
//!                   ◄─ Data, Watermark, Idle, Barrier, End ─
//! ```

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::NetworkError;
use super::registry::ChannelKey;
use crate::engine::record::{Barrier, Batch};
use crate::time::EventTime;

/// Length of a frame's header.
pub(super) const HEADER_BYTES: usize = 9;

/// The largest payload of a frame.
pub(super) const FRAME_BYTES_MAX: usize = 1 << 30;

/// How much is reserved for a payload before its bytes have come, so that a length alone claims no memory.
const RESERVE_BYTES: usize = 1 << 20;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A consumer wants a producer's channel; the payload is [`Open`] in postcard.
    Open = 1,
    /// The consumer gives back; the payload is a u64 of bytes.
    Credit = 2,
    /// The consumer wants no more.
    Close = 3,
    /// A batch, as [`Batch::encode`] writes it.
    Data = 4,
    /// A watermark; the payload is an i64.
    Watermark = 5,
    /// Nothing comes behind this.
    End = 6,
    /// Event time does not wait for this channel until something else comes.
    Idle = 7,
    /// A checkpoint's barrier; the payload is a [`Barrier`] in postcard.
    Barrier = 8,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        let all =
            [Self::Open, Self::Credit, Self::Close, Self::Data, Self::Watermark, Self::End, Self::Idle, Self::Barrier];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The payload of [`Kind::Open`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) key: ChannelKey,
    pub(super) window: u64,
}

/// A frame that has been read.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) channel: u32,
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The payload as a barrier.
    pub(super) fn barrier(&self) -> io::Result<Barrier> {
        postcard::from_bytes(&self.payload).map_err(|_| malformed("a barrier that cannot be read"))
    }

    /// The payload as eight little-endian bytes.
    pub(super) fn number(&self) -> io::Result<u64> {
        let bytes = self.payload.as_slice().try_into();
        bytes.map(u64::from_le_bytes).map_err(|_| malformed("a number of the wrong length"))
    }
}

/// A peer that does not speak this protocol.
pub(super) fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed frame: {what}"))
}

/// A whole small frame.
pub(super) fn small(channel: u32, kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend_from_slice(&header(channel, kind, u32::try_from(payload.len()).unwrap_or(u32::MAX)));
    frame.extend_from_slice(payload);
    frame
}

/// A whole watermark frame.
pub(super) fn watermark(channel: u32, watermark: EventTime) -> Vec<u8> {
    small(channel, Kind::Watermark, &watermark.0.to_le_bytes())
}

/// A whole barrier frame.
pub(super) fn barrier(channel: u32, barrier: &Barrier) -> Vec<u8> {
    let payload = postcard::to_allocvec(barrier).expect("a number, a flag and a text are written to memory");
    small(channel, Kind::Barrier, &payload)
}

/// A whole data frame: the rows are written once, straight to where they are sent from.
pub(super) fn data(channel: u32, batch: &dyn Batch) -> Result<Vec<u8>, NetworkError> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + batch.bytes() + batch.bytes() / 8 + 64);
    frame.extend_from_slice(&header(channel, Kind::Data, 0));
    batch.encode(&mut frame)?;
    let bytes = frame.len() - HEADER_BYTES;
    let len = u32::try_from(bytes).ok().filter(|_| bytes <= FRAME_BYTES_MAX);
    let len = len.ok_or(NetworkError::FrameTooLarge { bytes })?;
    frame[5..HEADER_BYTES].copy_from_slice(&len.to_le_bytes());
    Ok(frame)
}

/// The same frame for another channel.
pub(super) fn readdress(frame: &mut [u8], channel: u32) {
    frame[..4].copy_from_slice(&channel.to_le_bytes());
}

fn header(channel: u32, kind: Kind, len: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&channel.to_le_bytes());
    header[4] = kind as u8;
    header[5..].copy_from_slice(&len.to_le_bytes());
    header
}

/// Reads the next frame; none when the peer has closed between two. Not cancel-safe.
pub(super) async fn read(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut header = [0; HEADER_BYTES];
    if reader.read(&mut header[..1]).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut header[1..]).await?;
    let [c0, c1, c2, c3, kind, l0, l1, l2, l3] = header;
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if len > FRAME_BYTES_MAX {
        return Err(malformed("longer than allowed"));
    }
    let kind = Kind::from_byte(kind).ok_or_else(|| malformed("unknown kind"))?;
    let payload = read_payload(reader, len).await?;
    Ok(Some(Frame { channel: u32::from_le_bytes([c0, c1, c2, c3]), kind, payload }))
}

async fn read_payload(reader: &mut (impl AsyncRead + Unpin), len: usize) -> io::Result<Vec<u8>> {
    let mut payload = Vec::with_capacity(len.min(RESERVE_BYTES));
    let mut rest = reader.take(len as u64);
    while payload.len() < len {
        if rest.read_buf(&mut payload).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::{BatchType, Rows, RowsType};
    use crate::testing::fuzz::fuzz;

    #[tokio::test]
    async fn frames_are_read_as_written() {
        let mut wire = data(7, &Rows::new(vec![1u64, 2, 3])).unwrap();
        wire.extend(watermark(8, EventTime(-5)));
        wire.extend(small(9, Kind::End, &[]));
        let mut reader = wire.as_slice();
        let frame = read(&mut reader).await.unwrap().unwrap();
        assert_eq!((frame.channel, frame.kind), (7, Kind::Data));
        let batch = RowsType::<u64>::new().decode(&frame.payload).unwrap();
        assert_eq!(Rows::<u64>::of(batch).0, [1, 2, 3]);
        let frame = read(&mut reader).await.unwrap().unwrap();
        assert_eq!((frame.channel, frame.kind, frame.number().unwrap()), (8, Kind::Watermark, (-5i64) as u64));
        let frame = read(&mut reader).await.unwrap().unwrap();
        assert_eq!((frame.channel, frame.kind, frame.payload.len()), (9, Kind::End, 0));
        assert!(read(&mut reader).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn torn_and_foreign_frames_are_errors() {
        let whole = watermark(8, EventTime(1));
        for len in 1..whole.len() {
            assert!(read(&mut &whole[..len]).await.is_err(), "{len} bytes");
        }
        assert!(read(&mut &b"GET / HTTP/1.1\r\n"[..]).await.is_err());
        assert!(read(&mut &header(1, Kind::Data, u32::MAX)[..]).await.is_err());
    }

    #[test]
    fn fuzz_frames_of_the_exchange() {
        let barrier = Barrier::default();
        let words = Rows::new(vec![("a".to_owned(), 1_u64), ("bc".to_owned(), 2)]);
        let corpus = [
            data(7, &Rows::new(vec![1u64, 2, 3])).unwrap(),
            data(1, &words).unwrap(),
            [watermark(8, EventTime(-5)), small(9, Kind::End, &[]), super::barrier(1, &barrier)].concat(),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        fuzz("exchange", &corpus, |bytes| {
            let mut reader = bytes;
            while let Ok(Some(frame)) = runtime.block_on(read(&mut reader)) {
                let _ = (frame.barrier(), frame.number(), postcard::from_bytes::<Open>(&frame.payload));
                let _ = RowsType::<u64>::new().decode(&frame.payload);
                let _ = RowsType::<(String, u64)>::new().decode(&frame.payload);
            }
        });
    }
}
