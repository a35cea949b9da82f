//! How a column of values lies in a frame. Chosen by the type, once per column: numbers and texts are flat, anything else is
//! written row by row by serde (postcard).
//!
//! ```text
//! frame  = version u8, rows u32, timestamps where the version's highest bit is set, columns
//! column = layout u8, then  Fixed: rows × width, little-endian │ Text: ends u32 × rows, bytes │ Rows: postcard, row by row
//! ```

use std::any::Any;

use bytes::Bytes;
use postcard::ser_flavors::Flavor;
use serde::Serialize;

use super::text_column::{TextColumn, read_ends, write_texts};
use super::{Record, Str, Times};

/// Version of the frame's layout; the first byte of each.
pub(super) const FRAME_VERSION: u8 = 1;

/// Set in the version of frames whose rows have timestamps.
const TIMED: u8 = 0x80;

/// What is wrong with the bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// How a column lies in a frame. Both ends know it from the type; it is written so that a mistake is an error, not garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Layout {
    Fixed = 1,
    Text = 2,
    Rows = 3,
}

/// What remains to be read of a frame.
pub(super) struct FrameReader<'a>(&'a [u8]);

impl<'a> FrameReader<'a> {
    /// Reads the head and the timestamps; returns how many rows the frame says it has.
    pub(super) fn new(frame: &'a [u8]) -> Result<(Self, usize, Times), Malformed> {
        let Some((&[version, r0, r1, r2, r3], rest)) = frame.split_first_chunk() else {
            return Err(Malformed("no head"));
        };
        if version & !TIMED != FRAME_VERSION {
            return Err(Malformed("written by another version of flott"));
        }
        let (mut reader, rows) = (Self(rest), u32::from_le_bytes([r0, r1, r2, r3]) as usize);
        let times = if version & TIMED == 0 { Times::NONE } else { Times::read(&mut reader, rows)? };
        Ok((reader, rows, times))
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Nothing may remain.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("bytes behind its end")) }
    }

    fn layout(&mut self, expected: Layout) -> Result<(), Malformed> {
        match self.take(1)? {
            [layout] if *layout == expected as u8 => Ok(()),
            _ => Err(Malformed("another layout than its type has")),
        }
    }
}

/// Writes the head of a frame of `rows` rows, and their timestamps.
pub(super) fn write_head(rows: usize, times: &Times, frame: &mut Vec<u8>) -> Result<(), Malformed> {
    let rows = u32::try_from(rows).map_err(|_| Malformed("more than 4 billion rows in one batch"))?;
    frame.push(if times.is_none() { FRAME_VERSION } else { FRAME_VERSION | TIMED });
    frame.extend_from_slice(&rows.to_le_bytes());
    times.write(frame);
    Ok(())
}

/// Calls a macro with every type of fixed width.
macro_rules! with_numbers {
    ($call:ident) => {
        $call!(u64, i64, u32, i32, u16, i16, u8, i8, u128, i128, f64, f32)
    };
}

/// Writes a column. The error is serde's or ours, in words.
#[expect(clippy::ptr_arg, reason = "only a sized type can be asked what it is")]
pub(super) fn write<T: Record>(rows: &Vec<T>, frame: &mut Vec<u8>) -> Result<(), String> {
    let any: &dyn Any = rows;
    macro_rules! numbers {
        ($($number:ty),*) => {
            $(if let Some(rows) = any.downcast_ref::<Vec<$number>>() {
                frame.push(Layout::Fixed as u8);
                write_flat(rows, frame, |value, bytes| *bytes = value.to_le_bytes());
                return Ok(());
            })*
        };
    }
    macro_rules! texts {
        ($($text:ty: $as_bytes:expr),*) => {
            $(if let Some(rows) = any.downcast_ref::<Vec<$text>>() {
                frame.push(Layout::Text as u8);
                return write_texts(rows, $as_bytes, frame).map_err(|malformed| malformed.to_string());
            })*
        };
    }
    with_numbers!(numbers);
    texts!(Str: |text| text.as_bytes(), String: |text| text.as_bytes(), Vec<u8>: |bytes| bytes, Bytes: |bytes| bytes);
    if let Some(rows) = any.downcast_ref::<Vec<bool>>() {
        frame.push(Layout::Fixed as u8);
        write_flat(rows, frame, |value, bytes: &mut [u8; 1]| *bytes = [u8::from(*value)]);
        return Ok(());
    }
    frame.push(Layout::Rows as u8);
    write_rows(rows, frame).map_err(|error| error.to_string())
}

/// Writes a text column that was received as one.
pub(super) fn write_text_column(column: &TextColumn, frame: &mut Vec<u8>) {
    frame.push(Layout::Text as u8);
    column.write(frame);
}

/// Reads a column of `rows` rows into owned values.
pub(super) fn read<T: Record>(frame: &mut FrameReader<'_>, rows: usize) -> Result<Vec<T>, Malformed> {
    macro_rules! numbers {
        ($($number:ty),*) => {
            $(if is::<T, $number>() {
                frame.layout(Layout::Fixed)?;
                return Ok(same(read_flat(frame, rows, <$number>::from_le_bytes)?));
            })*
        };
    }
    with_numbers!(numbers);
    if is::<T, Str>() || is::<T, String>() {
        let texts = read_texts(frame, rows)?;
        return Ok(if is::<T, Str>() {
            same(texts.iter().map(Str::from).collect::<Vec<Str>>())
        } else {
            same(texts.iter().map(String::from).collect::<Vec<String>>())
        });
    }
    if is::<T, Vec<u8>>() {
        return Ok(same(read_byte_strings(frame, rows, <[u8]>::to_vec)?));
    }
    if is::<T, Bytes>() {
        return Ok(same(read_byte_strings(frame, rows, Bytes::copy_from_slice)?));
    }
    if is::<T, bool>() {
        frame.layout(Layout::Fixed)?;
        let bytes = frame.take(rows)?;
        let valid = bytes.iter().fold(true, |valid, byte| valid & (*byte < 2));
        let values: Vec<bool> = bytes.iter().map(|byte| *byte == 1).collect();
        return if valid { Ok(same(values)) } else { Err(Malformed("a bool that is neither 0 nor 1")) };
    }
    frame.layout(Layout::Rows)?;
    read_rows(frame, rows)
}

/// Reads a column of texts that stay where they are.
pub(super) fn read_texts(frame: &mut FrameReader<'_>, rows: usize) -> Result<TextColumn, Malformed> {
    frame.layout(Layout::Text)?;
    TextColumn::read(frame, rows)
}

/// Whether the two are the same type. A constant once compiled.
pub(super) fn is<A: 'static, B: 'static>() -> bool {
    std::any::TypeId::of::<A>() == std::any::TypeId::of::<B>()
}

/// The same vector under the name that it also has.
fn same<A: 'static, B: 'static>(values: Vec<A>) -> Vec<B> {
    let mut values = Some(values);
    let any: &mut dyn Any = &mut values;
    let same = any.downcast_mut::<Option<Vec<B>>>().and_then(Option::take);
    same.expect("asked only when both are the same type")
}

/// Writes values of a fixed width: compiles to a copy.
pub(super) fn write_flat<V, const WIDTH: usize>(
    values: &[V],
    frame: &mut Vec<u8>,
    write: impl Fn(&V, &mut [u8; WIDTH]),
) {
    let at = frame.len();
    frame.resize(at + values.len() * WIDTH, 0);
    for (value, bytes) in values.iter().zip(frame[at..].as_chunks_mut::<WIDTH>().0) {
        write(value, bytes);
    }
}

/// Reads values of a fixed width: compiles to a copy.
pub(super) fn read_flat<V, const WIDTH: usize>(
    frame: &mut FrameReader<'_>,
    rows: usize,
    read: impl Fn([u8; WIDTH]) -> V,
) -> Result<Vec<V>, Malformed> {
    let bytes = frame.take(rows.checked_mul(WIDTH).ok_or(Malformed("it ends early"))?)?;
    Ok(bytes.as_chunks::<WIDTH>().0.iter().map(|bytes| read(*bytes)).collect())
}

fn read_byte_strings<B>(
    frame: &mut FrameReader<'_>,
    rows: usize,
    own: impl Fn(&[u8]) -> B,
) -> Result<Vec<B>, Malformed> {
    frame.layout(Layout::Text)?;
    let ends = read_ends(frame, rows)?;
    let bytes = frame.take(ends.last().map_or(0, |end| *end as usize))?;
    let mut start = 0;
    let value = |end: &u32| {
        let value = own(&bytes[start..*end as usize]);
        start = *end as usize;
        value
    };
    Ok(ends.iter().map(value).collect())
}

/// Lets postcard write straight into a frame.
struct Frame<'a>(&'a mut Vec<u8>);

impl Flavor for Frame<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

fn write_rows<T: Serialize>(rows: &[T], frame: &mut Vec<u8>) -> postcard::Result<()> {
    let mut serializer = postcard::Serializer { output: Frame(frame) };
    rows.iter().try_for_each(|row| row.serialize(&mut serializer))
}

fn read_rows<T: Record>(frame: &mut FrameReader<'_>, rows: usize) -> Result<Vec<T>, Malformed> {
    let malformed = |_| Malformed("bytes that are no such record");
    let mut reader = postcard::Deserializer::from_bytes(frame.0);
    // A number of rows alone reserves no more than their bytes could fill.
    let mut values = Vec::with_capacity(rows.min(frame.0.len()));
    for _ in 0..rows {
        values.push(T::deserialize(&mut reader).map_err(malformed)?);
    }
    frame.0 = reader.finalize().map_err(malformed)?;
    Ok(values)
}

/// Rows looked at to estimate the memory of a column.
const SAMPLE_ROWS: usize = 16;

/// Memory of a column: exact for numbers, else the rows themselves and what a sample of them owns beside.
pub(super) fn bytes_of<T: Record>(rows: &[T]) -> usize {
    let inline = size_of_val(rows);
    if !std::mem::needs_drop::<T>() || rows.is_empty() {
        return inline;
    }
    let step = rows.len().div_ceil(SAMPLE_ROWS);
    let sampled: usize = rows.iter().step_by(step).map(bytes_owned).sum();
    inline + sampled * rows.len() / rows.len().div_ceil(step)
}

/// Memory that a record owns beside itself: of texts and bytes their buffer, else about what it takes when written.
pub(super) fn bytes_owned<T: Record>(row: &T) -> usize {
    let any: &dyn Any = row;
    if let Some(text) = any.downcast_ref::<Str>() {
        if text.is_heap_allocated() { text.capacity() } else { 0 }
    } else if let Some(text) = any.downcast_ref::<String>() {
        text.capacity()
    } else if let Some(bytes) = any.downcast_ref::<Vec<u8>>() {
        bytes.capacity()
    } else if let Some(bytes) = any.downcast_ref::<Bytes>() {
        bytes.len()
    } else {
        postcard::experimental::serialized_size(row).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        name: String,
        tags: Vec<String>,
        price: f64,
        note: Option<Str>,
    }

    fn frame_of<T: Record>(rows: &Vec<T>) -> Vec<u8> {
        let mut frame = Vec::new();
        write_head(rows.len(), &Times::NONE, &mut frame).unwrap();
        write(rows, &mut frame).unwrap();
        frame
    }

    fn parse<T: Record>(frame: &[u8]) -> Result<Vec<T>, Malformed> {
        let (mut reader, rows, _) = FrameReader::new(frame)?;
        let values = read(&mut reader, rows)?;
        reader.finish()?;
        Ok(values)
    }

    /// Round trip; and no prefix, and no frame with a flipped byte, is a panic.
    fn check<T: Record + PartialEq + std::fmt::Debug>(rows: &Vec<T>) {
        let frame = frame_of(rows);
        assert_eq!(&parse::<T>(&frame).unwrap(), rows);
        for len in 0..frame.len() {
            assert!(parse::<T>(&frame[..len]).is_err(), "{len} of {} bytes", frame.len());
        }
        for i in 0..frame.len().min(100) {
            let mut frame = frame.clone();
            frame[i] ^= 0x81;
            let _ = parse::<T>(&frame);
        }
        let _ = parse::<T>(&[frame.as_slice(), &[0]].concat()).unwrap_err();
    }

    #[test]
    fn every_layout_round_trips() {
        check(&vec![0u64, 1, u64::MAX]);
        check(&vec![-1i64]);
        check(&vec![1u8, 255]);
        check(&vec![i128::MIN, 5]);
        check(&vec![0.5f64, f64::MAX]);
        check(&vec![true, false, true]);
        check(&["", "word", "ünïcödé", "a text that is longer than what is kept inline"].map(Str::from).to_vec());
        check(&["", "x", "日本語"].map(String::from).to_vec());
        check(&vec![vec![0u8, 255], vec![], vec![7]]);
        check(&vec![Bytes::from_static(b"abc"), Bytes::new()]);
        check(&vec![(Str::from("a"), 7u64), (Str::from("bb"), 300)]);
        let row = Row { name: "n".repeat(50), tags: vec!["a".into(), "b".into()], price: 1.5, note: Some("x".into()) };
        check(&vec![row.clone(), row]);
        check(&Vec::<u64>::new());
        check(&Vec::<Str>::new());
    }

    #[test]
    fn flat_columns_cost_their_bytes() {
        assert_eq!(frame_of(&vec![1u64; 100]).len(), 5 + 1 + 800);
        assert_eq!(frame_of(&vec![Str::from("word"); 100]).len(), 5 + 1 + 800);
    }

    #[test]
    fn corrupt_texts_are_refused() {
        let frame = frame_of(&vec![Str::from("ü"), Str::from("ü")]);
        let end_of_first = 6;
        for (at, byte) in [(end_of_first, 1), (end_of_first, 9), (frame.len() - 1, 0xff)] {
            let mut frame = frame.clone();
            frame[at] = byte;
            assert!(parse::<Str>(&frame).is_err(), "byte {at}");
            assert!(parse::<String>(&frame).is_err(), "byte {at}");
        }
    }

    #[test]
    fn another_type_or_version_is_refused() {
        let mut frame = frame_of(&vec![1u64, 2]);
        assert_eq!(parse::<Str>(&frame).unwrap_err().0, "another layout than its type has");
        frame[0] = 9;
        assert!(parse::<u64>(&frame).unwrap_err().0.contains("version"));
    }

    #[test]
    fn a_huge_row_count_reserves_nothing() {
        let mut frame = frame_of(&vec![(1u64, 2u64)]);
        frame[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(parse::<(u64, u64)>(&frame).is_err());
        assert!(parse::<u64>(&frame).is_err());
    }

    #[test]
    fn memory_is_counted_with_what_strings_own() {
        assert_eq!(bytes_of(&[1u64; 10]), 80);
        assert_eq!(bytes_of(&vec![Str::from("short"); 10]), 240);
        assert_eq!(bytes_of(&vec!["x".repeat(1000); 100]), 100 * 1024);
        let row = Row { name: "n".repeat(500), tags: vec!["t".repeat(500)], price: 0.0, note: None };
        assert!(bytes_of(&vec![row; 100]) > 100_000);
    }

    proptest! {
        #[test]
        fn texts_round_trip(rows in proptest::collection::vec(".{0,40}", 0..50)) {
            let rows: Vec<Str> = rows.into_iter().map(Str::from).collect();
            prop_assert_eq!(parse::<Str>(&frame_of(&rows)).unwrap(), rows);
        }

        #[test]
        fn any_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let frame = [&[FRAME_VERSION], bytes.as_slice()].concat();
            let _ = (parse::<u64>(&frame), parse::<Str>(&frame), parse::<Row>(&frame), parse::<bool>(&frame), parse::<Bytes>(&frame));
        }
    }
}
