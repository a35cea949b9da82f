//! Compressed files.
//!
//! Known by their names (`.gz`, `.zst`), read from beginning to end: they have no parts. Both formats may hold several
//! members, one behind the other, as `cat a.gz b.gz` makes them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use serde::{Deserialize, Serialize};

/// Compressed bytes read at once.
const BUFFER_BYTES: usize = 128 << 10;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip: `.gz`.
    Gzip,
    /// Zstandard: `.zst`.
    Zstd,
}

impl Compression {
    /// What a file's name says.
    pub(super) fn of(path: &Path) -> Self {
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("gz" | "gzip") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            Some(_) | None => Self::None,
        }
    }

    /// What it adds to a file's name.
    pub(in super::super) fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// A compressed file, up to the size it had when it was found.
type Packed = BufReader<Take<File>>;

/// The content of a file.
pub(super) enum Content {
    Plain(File),
    Gzip(Box<MultiGzDecoder<Packed>>),
    Zstd(Box<ZstdFrames<Packed>>),
}

impl Content {
    pub(super) fn of(file: File, compression: Compression, size: u64) -> Self {
        let packed = |file: File| BufReader::with_capacity(BUFFER_BYTES, file.take(size));
        match compression {
            Compression::None => Self::Plain(file),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(packed(file)))),
            Compression::Zstd => Self::Zstd(Box::new(ZstdFrames::new(packed(file)))),
        }
    }

    /// Where reading has come to in a compressed file of `size` bytes.
    pub(super) fn packed_position(&self, size: u64) -> Option<u64> {
        let packed = match self {
            Self::Plain(_) => return None,
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zstd(frames) => &frames.packed,
        };
        Some(size - packed.get_ref().limit() - packed.buffer().len() as u64)
    }
}

impl Read for Content {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(into),
            Self::Gzip(decoder) => decoder.read(into),
            Self::Zstd(frames) => frames.read(into),
        }
    }
}

/// The content of Zstandard frames, with their checksums verified; skippable frames are skipped.
pub(super) struct ZstdFrames<R> {
    packed: R,
    decoder: FrameDecoder,
    /// Whether the decoder is within a frame.
    inside: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    fn new(packed: R) -> Self {
        Self { packed, decoder: FrameDecoder::new(), inside: false }
    }

    /// Begins the next frame; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            // One that is used again reserves all that the header claims; a new one takes memory as content comes.
            self.decoder = FrameDecoder::new();
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.packed).take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(corrupt(&error)),
            }
        }
        Ok(false)
    }

    fn verify(&self) -> io::Result<()> {
        match (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum()) {
            (Some(written), Some(calculated)) if written != calculated => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum is wrong"))
            }
            (Some(_) | None, _) => Ok(()),
        }
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.inside {
                self.inside = self.next_frame()?;
                if !self.inside {
                    return Ok(0);
                }
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(into);
            }
            if self.decoder.is_finished() {
                self.verify()?;
                self.inside = false;
                continue;
            }
            let some = BlockDecodingStrategy::UptoBlocks(1);
            self.decoder.decode_blocks(&mut self.packed, some).map_err(|error| corrupt(&error))?;
        }
    }
}

/// The decoder's error as one of reading: an end that comes too early is told apart from garbage.
fn corrupt(error: &FrameDecoderError) -> io::Error {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(present) = cause {
        if let Some(inner) = present.downcast_ref::<io::Error>() {
            return io::Error::from(inner.kind());
        }
        cause = present.source();
    }
    let cause = match error {
        // Its own words are those of a programmer's debugger.
        FrameDecoderError::ReadFrameHeaderError(_) => "invalid zstd header".to_owned(),
        error => error.to_string(),
    };
    io::Error::new(io::ErrorKind::InvalidData, cause)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;
    use crate::testing::{allocations, fuzz};

    pub(in super::super) fn packed(content: &[u8], compression: Compression) -> Vec<u8> {
        match compression {
            Compression::None => content.to_vec(),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zstd => compress_to_vec(content, CompressionLevel::Fastest),
        }
    }

    fn opened(bytes: &[u8], compression: Compression) -> Content {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        Content::of(file, compression, bytes.len() as u64)
    }

    fn content(bytes: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        opened(bytes, compression).read_to_end(&mut content).map(|_| content)
    }

    fn text() -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(1);
        (0..20_000).flat_map(|_| format!("{}\n", random.u16(..)).into_bytes()).collect()
    }

    #[test]
    fn names_tell_the_compression() {
        for (name, expected) in [
            ("a.gz", Compression::Gzip),
            ("dir.gz/a.txt", Compression::None),
            ("a.json.ZST", Compression::Zstd),
            ("gz", Compression::None),
        ] {
            assert_eq!(Compression::of(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn several_members_are_one_content() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let bytes =
                [packed(&text(), compression), packed(b"", compression), packed(b"the end", compression)].concat();
            assert_eq!(content(&bytes, compression).unwrap(), [text(), b"the end".to_vec()].concat());
        }
    }

    #[test]
    fn skippable_frames_are_skipped() {
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0], b"abc".as_slice()].concat();
        let bytes = [skipped.clone(), packed(b"text", Compression::Zstd), skipped.clone()].concat();
        assert_eq!(content(&bytes, Compression::Zstd).unwrap(), b"text");
        content(&skipped[..10], Compression::Zstd).unwrap_err();
    }

    #[test]
    fn a_file_that_is_cut_anywhere_is_an_error() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let member = packed(&text()[..3000], compression);
            let twice = [member.clone(), member.clone()].concat();
            for len in (1..twice.len()).filter(|len| *len != member.len()) {
                let error = content(&twice[..len], compression).expect_err(&format!("{compression:?} to {len}"));
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{compression:?} to {len}: {error}");
            }
        }
    }

    #[test]
    fn a_changed_byte_is_never_accepted_as_other_content() {
        let text = &text()[..3000];
        for compression in [Compression::Gzip, Compression::Zstd] {
            let good = packed(text, compression);
            let mut refused = 0;
            for at in 0..good.len() {
                let mut bytes = good.clone();
                bytes[at] ^= 0x10;
                match content(&bytes, compression) {
                    // In a part that says nothing of the content, such as the time in a gzip header.
                    Ok(content) => assert_eq!(content, text, "{compression:?} at {at}"),
                    Err(_) => refused += 1,
                }
            }
            assert!(refused > good.len() - 20, "{refused} of {}", good.len());
        }
    }

    #[test]
    fn fuzz_compressed_files() {
        /// What a decoder has to keep of what it has read, as the format says.
        const ZSTD_WINDOW_BYTES: usize = 8 << 20;
        for (name, compression, window_bytes) in
            [("gzip", Compression::Gzip, 0), ("zstd", Compression::Zstd, 2 * ZSTD_WINDOW_BYTES)]
        {
            let mut corpus = vec![packed(&text()[..3000], compression), packed(b"a", compression)];
            corpus.push(corpus.concat());
            corpus.extend(fuzz::corpus(name));
            fuzz::fuzz_with_buffer(name, &corpus, window_bytes, |bytes| {
                // A few bytes may stand for many: they are not kept.
                drop(io::copy(&mut opened(bytes, compression), &mut io::sink()));
            });
        }
    }

    #[test]
    fn a_header_that_claims_much_is_given_no_memory() {
        // A frame of one raw block with a window of 8 MiB, twice.
        let frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3, 0x19, 0, 0][..], b"abc"].concat();
        let twice = frame.repeat(2);
        let (read, largest) = allocations::largest_of(|| content(&twice, Compression::Zstd));
        assert_eq!(read.unwrap(), b"abcabc");
        assert!(largest < 1 << 20, "{largest} bytes");
    }
}
