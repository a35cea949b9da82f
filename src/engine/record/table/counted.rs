//! A table's entries as they leave it.

/// Entries on their way out, and how many there still are. All of them leave, even when nobody asks for the last.
pub(super) struct Counted<I: Iterator> {
    entries: I,
    left: usize,
}

impl<I: Iterator> Counted<I> {
    /// `left`: how many `entries` has.
    pub(super) fn new(entries: I, left: usize) -> Self {
        Self { entries, left }
    }
}

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        let entry = self.entries.next()?;
        self.left -= 1;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator> ExactSizeIterator for Counted<I> {}

impl<I: Iterator> Drop for Counted<I> {
    fn drop(&mut self) {
        self.entries.by_ref().for_each(drop);
    }
}
