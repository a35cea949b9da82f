//! The bytes of a log: frames, each written by one call and made durable by one flush.
//!
//! ```text
//! frame    "\xf1log"  length u32  crc32c u32  payload
//! payload  head:      0  format u32  version u64  bytes u64     (the first frame, alone)
//!          changes:   any number of
//!                     1  version u64  key length u32  value length u32  key  value
//!                     2  version u64  key length u32  0                 key
//! ```
//! Numbers are little-endian; the checksum covers length and payload. A frame that is cut off or wrong and has none behind it is a
//! write that never was acknowledged; one that has others behind it is damage.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memmem;

use super::super::Version;

const MAGIC: [u8; 4] = *b"\xf1log";
const FORMAT: u32 = 1;
/// Magic, length, checksum.
const FRAME_HEAD_BYTES: usize = 12;
/// Kind, version, lengths.
const CHANGE_HEAD_BYTES: usize = 17;
const HEAD: u8 = 0;
const PUT: u8 = 1;
const DELETE: u8 = 2;
/// No frame is longer: what queues up in a writer is far less. A longer one is damage.
const PAYLOAD_BYTES_MAX: u32 = 1 << 30;
/// How much is looked through at once for the next frame behind a damaged one.
const SEARCH_BYTES: usize = 64 << 10;

/// What a log begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The store's version when the log was begun.
    pub(super) version: Version,
    /// Length of what the log was begun with, this head included: a log that ends before has been cut.
    pub(super) bytes: u64,
}

impl Head {
    pub(super) const BYTES: u64 = (FRAME_HEAD_BYTES + 1 + 4 + 8 + 8) as u64;

    pub(super) fn encode(self) -> Vec<u8> {
        let mut frame = Frame::default();
        frame.bytes.push(HEAD);
        frame.bytes.extend(FORMAT.to_le_bytes());
        frame.bytes.extend(self.version.0.to_le_bytes());
        frame.bytes.extend(self.bytes.to_le_bytes());
        frame.finish()
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let (kind, rest) = payload.split_first()?;
        let (format, rest) = rest.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let bytes = rest.try_into().ok()?;
        let known = *kind == HEAD && u32::from_le_bytes(*format) == FORMAT;
        let version = Version(u64::from_le_bytes(*version));
        known.then_some(Self { version, bytes: u64::from_le_bytes(bytes) })
    }
}

/// A change as a log has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub(super) key: &'a str,
    pub(super) version: Version,
    /// `None`: the record was removed.
    pub(super) value: Option<Value<'a>>,
}

/// A value, and where it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) bytes: &'a [u8],
    /// From the beginning of the log; of a frame not yet written, from its beginning.
    pub(super) offset: u64,
}

/// Changes that will be written together.
#[derive(Debug)]
pub(super) struct Frame {
    /// With room for the head.
    bytes: Vec<u8>,
}

impl Default for Frame {
    fn default() -> Self {
        Self { bytes: vec![0; FRAME_HEAD_BYTES] }
    }
}

impl Frame {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() == FRAME_HEAD_BYTES
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a change; returns where its value begins in the frame.
    pub(super) fn push(&mut self, key: &str, version: Version, value: Option<&[u8]>) -> u64 {
        let (kind, value) = value.map_or((DELETE, [].as_slice()), |value| (PUT, value));
        let length = |length: usize| u32::try_from(length).expect("keys and values are small").to_le_bytes();
        self.bytes.push(kind);
        self.bytes.extend(version.0.to_le_bytes());
        self.bytes.extend(length(key.len()));
        self.bytes.extend(length(value.len()));
        self.bytes.extend(key.as_bytes());
        let offset = self.bytes.len() as u64;
        self.bytes.extend(value);
        offset
    }

    /// As it is written.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len() - FRAME_HEAD_BYTES).expect("far below the limit").to_le_bytes();
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&length), &self.bytes[FRAME_HEAD_BYTES..]);
        self.bytes[..4].copy_from_slice(&MAGIC);
        self.bytes[4..8].copy_from_slice(&length);
        self.bytes[8..FRAME_HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
        self.bytes
    }
}

/// How the frames of a log were found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// `None`: the log does not begin as one.
    pub(super) head: Option<Head>,
    /// Where the last good frame ends.
    pub(super) end: u64,
    /// Length of the file.
    pub(super) length: u64,
    /// Bytes that are no frames but have frames behind them.
    pub(super) damaged: u64,
}

impl Scan {
    /// What is wrong with the log; a cut-off last frame is not.
    pub(super) fn damage(&self) -> Option<String> {
        match self.head {
            None => Some("its beginning is not readable".to_owned()),
            Some(_) if self.damaged > 0 => Some(format!("{} bytes in it are not readable", self.damaged)),
            Some(head) if self.end < head.bytes => {
                Some(format!("it ends after {} bytes instead of {} or more", self.end, head.bytes))
            }
            Some(_) => None,
        }
    }
}

/// Reads all good frames, their changes in order.
pub(super) fn scan(file: &File, mut each: impl FnMut(Change<'_>)) -> io::Result<Scan> {
    let length = file.metadata()?.len();
    let mut scan = Scan { head: None, end: 0, length, damaged: 0 };
    let mut payload = Vec::new();
    let mut offset = 0;
    while let Some(begin) = next_frame(file, offset, length, &mut payload)? {
        scan.damaged += begin - offset;
        offset = begin + (FRAME_HEAD_BYTES + payload.len()) as u64;
        scan.end = offset;
        if begin == 0 {
            scan.head = Head::decode(&payload);
        } else if for_each_change(&payload, begin + FRAME_HEAD_BYTES as u64, &mut each).is_none() {
            // NOTE: its checksum is right, so another version of flott wrote it.
            scan.damaged += payload.len() as u64;
        }
    }
    Ok(scan)
}

/// The first good frame at `offset` or behind; its payload is left in `payload`.
fn next_frame(file: &File, mut offset: u64, length: u64, payload: &mut Vec<u8>) -> io::Result<Option<u64>> {
    let mut window = Vec::new();
    loop {
        if read_frame(file, offset, length, payload)? {
            return Ok(Some(offset));
        }
        let rest = length.saturating_sub(offset + 1);
        if rest < FRAME_HEAD_BYTES as u64 {
            return Ok(None);
        }
        window.resize(usize::try_from(rest).unwrap_or(usize::MAX).min(SEARCH_BYTES), 0);
        file.read_exact_at(&mut window, offset + 1)?;
        offset += 1 + match memmem::find(&window, &MAGIC) {
            Some(found) => found as u64,
            // One may begin at the end of the window.
            None => (window.len() - MAGIC.len() + 1) as u64,
        };
    }
}

/// Whether there is a good frame at `offset`.
fn read_frame(file: &File, offset: u64, length: u64, payload: &mut Vec<u8>) -> io::Result<bool> {
    let Some(rest) = length.checked_sub(offset + FRAME_HEAD_BYTES as u64) else { return Ok(false) };
    let mut head = [0; FRAME_HEAD_BYTES];
    file.read_exact_at(&mut head, offset)?;
    let [magic, length, checksum] = [0, 4, 8].map(|at| [head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let payload_bytes = u32::from_le_bytes(length);
    if magic != MAGIC || payload_bytes > PAYLOAD_BYTES_MAX || u64::from(payload_bytes) > rest {
        return Ok(false);
    }
    payload.resize(payload_bytes as usize, 0);
    file.read_exact_at(payload, offset + FRAME_HEAD_BYTES as u64)?;
    Ok(crc32c::crc32c_append(crc32c::crc32c(&length), payload) == u32::from_le_bytes(checksum))
}

/// `None` if `payload` is not as we write it.
fn for_each_change(payload: &[u8], begin: u64, each: &mut impl FnMut(Change<'_>)) -> Option<()> {
    let mut at = 0;
    while at < payload.len() {
        let head: &[u8; CHANGE_HEAD_BYTES] = payload[at..].first_chunk()?;
        let (kind, rest) = head.split_first()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (key_len, value_len) = rest.split_first_chunk()?;
        let key_len = u32::from_le_bytes(*key_len) as usize;
        let value_len = u32::from_le_bytes(value_len.try_into().ok()?) as usize;
        at += CHANGE_HEAD_BYTES;
        let key = std::str::from_utf8(payload.get(at..at + key_len)?).ok()?;
        at += key_len;
        let bytes = payload.get(at..at + value_len)?;
        let value = match *kind {
            PUT => Some(Value { bytes, offset: begin + at as u64 }),
            DELETE => None,
            _ => return None,
        };
        each(Change { key, version: Version(u64::from_le_bytes(*version)), value });
        at += value_len;
    }
    Some(())
}
