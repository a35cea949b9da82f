//! A column of texts as they lie in a frame: one string, and where each text ends.

use super::column::{FrameReader, Malformed};

/// Texts one behind the other, checked once: a row is a borrowed slice.
#[derive(Clone, Debug, Default)]
pub struct TextColumn {
    text: String,
    ends: Vec<u32>,
}

impl TextColumn {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text of row `i`.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn get(&self, i: usize) -> &str {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.text[start..self.ends[i] as usize]
    }

    /// All texts, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let text = &self.text[start..*end as usize];
            start = *end as usize;
            text
        })
    }

    /// Memory it holds.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<u32>()
    }

    /// Writes it as [`write_texts`] does.
    pub(super) fn write(&self, frame: &mut Vec<u8>) {
        super::column::write_flat(&self.ends, frame, |end, bytes| *bytes = end.to_le_bytes());
        frame.extend_from_slice(self.text.as_bytes());
    }

    /// Reads `rows` texts and checks them.
    pub(super) fn read(frame: &mut FrameReader<'_>, rows: usize) -> Result<Self, Malformed> {
        let ends = read_ends(frame, rows)?;
        let bytes = frame.take(ends.last().map_or(0, |end| *end as usize))?;
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed("text that is not UTF-8"))?;
        if !text.is_ascii() && !ends.iter().all(|end| text.is_char_boundary(*end as usize)) {
            return Err(Malformed("a text that ends within a character"));
        }
        Ok(Self { text: text.to_owned(), ends })
    }
}

/// Reads where each of `rows` texts or byte strings ends: never before it begins.
pub(super) fn read_ends(frame: &mut FrameReader<'_>, rows: usize) -> Result<Vec<u32>, Malformed> {
    let ends: Vec<u32> = super::column::read_flat(frame, rows, u32::from_le_bytes)?;
    // Folded, not short-circuited: this way it is done with vectors.
    let sorted = ends.windows(2).fold(true, |sorted, pair| sorted & (pair[0] <= pair[1]));
    if sorted { Ok(ends) } else { Err(Malformed("a text that ends before it begins")) }
}

/// Writes ends, then texts.
pub(super) fn write_texts<'a, T: 'a>(
    rows: &'a [T],
    as_bytes: impl Fn(&'a T) -> &'a [u8],
    frame: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let ends_at = frame.len();
    let texts_at = ends_at + rows.len() * size_of::<u32>();
    frame.resize(texts_at, 0);
    let mut end = 0usize;
    for (row, slot) in rows.iter().zip(frame[ends_at..].as_chunks_mut::<4>().0) {
        end += as_bytes(row).len();
        // Wraps when beyond u32, which is refused below.
        *slot = (end as u32).to_le_bytes();
    }
    if u32::try_from(end).is_err() {
        return Err(Malformed("more than 4 GiB of text in one batch"));
    }
    frame.reserve(end);
    for row in rows {
        frame.extend_from_slice(as_bytes(row));
    }
    Ok(())
}
