//! Several runs as one.

use super::entry::Entry;
use super::run::{Cursor, Run};
use crate::graph::task::Failure;

/// Goes through the entries of several runs in order: of each key, what the newest run that knows it says.
pub(crate) struct Merge {
    /// The newest first.
    cursors: Vec<Cursor>,
    /// Those that stand at the key that is next.
    at_next: Vec<usize>,
}

impl Merge {
    /// Of runs by age, the oldest first.
    ///
    /// # Errors
    /// A file that cannot be read, or is damaged.
    pub(crate) fn new<'r>(runs: impl DoubleEndedIterator<Item = &'r Run>) -> Result<Self, Failure> {
        let cursors = runs.rev().map(Run::cursor).collect::<Result<_, Failure>>()?;
        Ok(Self { cursors, at_next: Vec::new() })
    }

    /// Gives the next entry to `take`. False at the end.
    ///
    /// # Errors
    /// What `take` returns, and a file that cannot be read or is damaged.
    pub(crate) fn next(&mut self, take: impl FnOnce(Entry<'_>) -> Result<(), Failure>) -> Result<bool, Failure> {
        let Self { cursors, at_next } = self;
        let mut least: Option<Entry<'_>> = None;
        at_next.clear();
        for (at, cursor) in cursors.iter().enumerate() {
            let Some(entry) = cursor.entry() else { continue };
            match &least {
                Some(known) if known.place() < entry.place() => {}
                Some(known) if known.place() == entry.place() => at_next.push(at),
                Some(_) | None => {
                    at_next.clear();
                    at_next.push(at);
                    least = Some(entry);
                }
            }
        }
        let Some(entry) = least else { return Ok(false) };
        take(entry)?;
        at_next.iter().try_for_each(|at| cursors[*at].advance())?;
        Ok(true)
    }
}
