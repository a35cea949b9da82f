//! The column of timestamps.

use super::column::{FrameReader, Malformed, read_flat, write_flat};
use crate::time::EventTime;

/// The timestamps of a batch's rows: one each, or none at all, which costs nothing.
///
/// A row without timestamp among others that have one carries [`EventTime::MIN`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times(Vec<EventTime>);

impl Times {
    /// No row has a timestamp.
    pub const NONE: Self = Self(Vec::new());

    /// These, row by row.
    pub fn of(times: Vec<EventTime>) -> Self {
        Self(times)
    }

    /// The same timestamp for each of `rows` rows.
    pub fn all(time: EventTime, rows: usize) -> Self {
        Self(vec![time; rows])
    }

    /// Whether no row has one.
    #[inline]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The timestamp of row `i`, if it has one.
    #[inline]
    pub fn get(&self, i: usize) -> Option<EventTime> {
        self.0.get(i).copied().filter(|time| *time != EventTime::MIN)
    }

    /// All of them: as many as there are rows, or none.
    #[inline]
    pub fn as_slice(&self) -> &[EventTime] {
        &self.0
    }

    /// Keeps those of the rows that are kept.
    pub(crate) fn retain(&mut self, kept: &[bool]) {
        let mut kept = kept.iter();
        self.0.retain(|_| kept.next().copied().unwrap_or(false));
    }

    /// Whether there is one for each of so many rows, or none.
    pub(super) fn fits(&self, rows: usize) -> bool {
        self.0.is_empty() || self.0.len() == rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len() * size_of::<EventTime>()
    }

    /// Adds one behind those of `rows` rows.
    #[inline]
    pub(crate) fn push(&mut self, rows: usize, time: Option<EventTime>) {
        if self.0.is_empty() && time.is_none() {
            return;
        }
        self.0.resize(rows, EventTime::MIN);
        self.0.push(time.unwrap_or(EventTime::MIN));
    }

    /// Adds those of `more` rows behind those of `rows`.
    pub(super) fn append(&mut self, rows: usize, other: Self, more: usize) {
        if self.0.is_empty() && other.0.is_empty() {
            return;
        }
        self.0.resize(rows, EventTime::MIN);
        if other.0.is_empty() {
            self.0.resize(rows + more, EventTime::MIN);
        } else {
            self.0.extend(other.0);
        }
    }

    /// Adds row `i`'s to `parts[targets[i]]`, for each row in order. `rows` says how many rows each part has had before. Asked
    /// only when some of all have timestamps.
    pub(super) fn scatter(&self, targets: &[u32], parts: &mut [Option<&mut Self>], rows: &[usize]) {
        for (part, rows) in parts.iter_mut().zip(rows) {
            if let Some(part) = part {
                part.0.resize(*rows, EventTime::MIN);
            }
        }
        for (i, target) in targets.iter().enumerate() {
            if let Some(part) = &mut parts[*target as usize] {
                part.0.push(self.0.get(i).copied().unwrap_or(EventTime::MIN));
            }
        }
    }

    pub(super) fn write(&self, frame: &mut Vec<u8>) {
        write_flat(&self.0, frame, |time, bytes| *bytes = time.0.to_le_bytes());
    }

    pub(super) fn read(frame: &mut FrameReader<'_>, rows: usize) -> Result<Self, Malformed> {
        read_flat(frame, rows, |bytes| EventTime(i64::from_le_bytes(bytes))).map(Self)
    }
}
