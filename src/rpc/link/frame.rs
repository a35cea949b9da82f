//! What crosses the connection: an opening, its reply, then frames. Each is JSON behind a length of four bytes.

use std::io;

use bytes::{Buf as _, BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio_util::codec::{Decoder, FramedRead, FramedWrite, LengthDelimitedCodec};

use super::Refusal;
use super::pump::End;
use crate::rpc::io_cause;

/// The version of the link protocol. A peer with another one is refused by name.
pub const PROTOCOL_VERSION: u32 = 1;

const FRAME_BYTES_MAX: usize = 16 << 20;
/// Of the length before a frame.
const LENGTH_BYTES: usize = 4;

/// The first frame, from the client.
#[derive(Serialize, Deserialize)]
pub(super) struct Opening<H> {
    pub(super) protocol_version: u32,
    /// Who speaks, for refusals.
    pub(super) speaker: String,
    /// Drawn by the client; names the link over its connections.
    pub(super) session: u64,
    /// The last message of the server that the client has; 0 = none.
    pub(super) last_received_seq: u64,
    /// The server process that the client knows to have accepted it last. Numbers mean nothing to another one.
    #[serde(default)]
    pub(super) accepted_by: Option<u64>,
    pub(super) hello: H,
}

/// The part of an opening that every version has.
#[derive(Deserialize)]
pub(super) struct OpeningVersion {
    pub(super) protocol_version: u32,
    #[serde(default)]
    pub(super) speaker: Option<String>,
}

/// The second frame, from the server.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply<W> {
    Accepted {
        /// Whether the server knows the session. If not, both sides number from 1 again.
        resumed: bool,
        /// The last message of the client that the server has; 0 = none.
        last_received_seq: u64,
        /// Drawn by the server when it starts.
        server: u64,
        welcome: W,
    },
    Refused(Refusal),
}

/// Every frame after the reply. One without message and end is a heartbeat.
#[derive(Deserialize)]
pub(super) struct Frame<M> {
    /// The last message of the other side that has been received.
    pub(super) ack: u64,
    /// The message and its number, from 1.
    #[serde(default = "Option::default")]
    pub(super) message: Option<(u64, M)>,
    /// The link is over.
    #[serde(default)]
    pub(super) end: Option<Refusal>,
}

/// Appends the frame of an encoded message.
pub(super) fn put_message(out: &mut BytesMut, ack: u64, seq: u64, message: &[u8]) {
    put_frame(out, |json| {
        json.put_slice(format!("{{\"ack\":{ack},\"message\":[{seq},").as_bytes());
        json.put_slice(message);
        json.put_slice(b"]}");
    });
}

/// Appends a frame that only acknowledges and shows that we live.
pub(super) fn put_heartbeat(out: &mut BytesMut, ack: u64) {
    put_frame(out, |json| json.put_slice(format!("{{\"ack\":{ack}}}").as_bytes()));
}

/// Appends the frame that ends the link.
pub(super) fn put_end(out: &mut BytesMut, ack: u64, refusal: &Refusal) {
    let refusal = serde_json::to_string(refusal).expect("two strings are JSON");
    put_frame(out, |json| json.put_slice(format!("{{\"ack\":{ack},\"end\":{refusal}}}").as_bytes()));
}

fn put_frame(out: &mut BytesMut, fill: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    fill(out);
    let length = u32::try_from(out.len() - start - 4).expect("messages are at most 16 MiB, checked when queued");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// The largest encoded message; leaves room for the frame around it.
pub(super) const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX - 128;

pub(super) type Reader<T> = FramedRead<ReadHalf<T>, Lengths>;

/// Takes frames apart. Unlike tokio's own it sets no memory aside for what a length announces: peers announce before they have shown who
/// they are.
pub(super) struct Lengths;

impl Decoder for Lengths {
    type Item = BytesMut;
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<BytesMut>> {
        let Some(length) = bytes.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) else {
            return Ok(None);
        };
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is longer than allowed"));
        }
        if bytes.len() < LENGTH_BYTES + length {
            return Ok(None); // The buffer grows with what comes.
        }
        bytes.advance(LENGTH_BYTES);
        Ok(Some(bytes.split_to(length)))
    }
}

/// Both directions of an upgraded connection.
pub(super) struct Connection<T> {
    pub(super) reader: Reader<T>,
    pub(super) writer: WriteHalf<T>,
}

impl<T: AsyncRead + AsyncWrite> Connection<T> {
    pub(super) fn new(io: T) -> Self {
        let (reader, writer) = tokio::io::split(io);
        Self { reader: FramedRead::new(reader, Lengths), writer }
    }

    /// Sends an encoded opening or reply.
    pub(super) async fn send(&mut self, json: Vec<u8>) -> io::Result<()> {
        FramedWrite::new(&mut self.writer, codec()).send(Bytes::from(json)).await
    }

    /// Receives an opening or a reply.
    pub(super) async fn receive(&mut self) -> Result<BytesMut, End> {
        match self.reader.next().await {
            Some(Ok(frame)) => Ok(frame),
            Some(Err(error)) => Err(End::Broken(io_cause(&error))),
            None => Err(End::Broken("connection closed by peer".to_owned())),
        }
    }
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX).new_codec()
}

/// Writes JSON; an error is our own mistake.
pub(super) fn encode<M: Serialize>(message: &M, what: &str) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(message)
        .map_err(|error| Refusal::new(Refusal::MALFORMED, format!("{what} is not expressible in JSON: {error}")))
}

/// Reads JSON; an error is the peer's mistake, told to it as a refusal.
pub(super) fn decode<M: DeserializeOwned>(json: &[u8], what: &str) -> Result<M, Refusal> {
    serde_json::from_slice(json)
        .map_err(|error| Refusal::new(Refusal::MALFORMED, format!("{what} not understood: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::node::{ToNode, ToResourceManager};
    use crate::testing::fuzz::fuzz;

    #[test]
    fn fuzz_frames_of_a_link() {
        let mut frames = BytesMut::new();
        put_heartbeat(&mut frames, 3);
        put_message(&mut frames, 4, 5, br#"{"heartbeat":{"seq":1}}"#);
        put_end(&mut frames, 6, &Refusal::new(Refusal::MALFORMED, "why"));
        let opening = br#"{"protocol_version":1,"speaker":"n1","session":7,"last_received_seq":0,"hello":{"a":[1,2]}}"#;
        let mut first = BytesMut::new();
        put_frame(&mut first, |out| out.put_slice(opening));
        fuzz("link", &[frames.to_vec(), first.to_vec(), opening.to_vec()], |bytes| {
            let mut left = BytesMut::from(bytes);
            while let Ok(Some(frame)) = Lengths.decode(&mut left) {
                let _ = decode::<OpeningVersion>(&frame, "the opening");
                let _ = decode::<Opening<serde_json::Value>>(&frame, "the opening");
                let _ = decode::<Reply<serde_json::Value>>(&frame, "the reply");
                let _ = decode::<Frame<ToResourceManager>>(&frame, "a frame");
                let _ = decode::<Frame<ToNode>>(&frame, "a frame");
            }
        });
    }
}
