//! What happened, a line each: `[   12.345] rm  application_1_0001 ACCEPTED -> RUNNING`.

use std::fmt::Write as _;

use super::world::BEGINNING;
use crate::time::Now;

/// Lines kept when only the end is wanted.
const TAIL_LINES: usize = 40;

/// The lines so far: all of them, or only the last ones.
#[derive(Debug)]
pub(super) struct Trace {
    keep_all: bool,
    lines: Vec<String>,
}

impl Trace {
    pub(super) fn new(keep_all: bool) -> Self {
        Self { keep_all, lines: Vec::new() }
    }

    /// Adds a line.
    pub(super) fn note(&mut self, now: Now, actor: &str, what: &str) {
        let millis = now.as_millis().saturating_sub(BEGINNING.as_millis());
        let mut line = String::with_capacity(24 + actor.len() + what.len());
        // Writing to a string cannot fail.
        let _ = write!(line, "[{:>5}.{:03}] {actor:<10} {what}", millis / 1000, millis % 1000);
        self.lines.push(line);
        if !self.keep_all && self.lines.len() >= 4 * TAIL_LINES {
            self.lines.drain(..self.lines.len() - TAIL_LINES);
        }
    }

    /// All that was kept.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The last lines.
    pub(super) fn tail(&self) -> &[String] {
        &self.lines[self.lines.len().saturating_sub(TAIL_LINES)..]
    }
}
