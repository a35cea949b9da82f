//! What a state held at a barrier: its runs.

use super::super::snapshot::{Frozen, Sections};
use super::codec::Keeps;
use crate::engine::lsm::{Merge, Run};
use crate::engine::record::{hash_at, key_group};
use crate::graph::task::Failure;

/// Bytes of a section.
const SECTION_BYTES: usize = 256 << 10;

/// All entries of a state, in runs.
pub(crate) struct FrozenRuns {
    max_parallelism: u32,
    runs: Vec<Run>,
    keeps: Keeps,
}

impl FrozenRuns {
    pub(super) fn new(runs: Vec<Run>, keeps: Keeps) -> Self {
        Self { max_parallelism: 1, runs, keeps }
    }

    /// Of a job with so many key groups.
    pub(in super::super) fn in_groups(self, max_parallelism: u32) -> Self {
        Self { max_parallelism, ..self }
    }
}

impl Frozen for FrozenRuns {
    fn runs(&self) -> &[Run] {
        &self.runs
    }

    fn write(self: Box<Self>, out: &mut dyn Sections) -> Result<(), Failure> {
        write_runs(self.runs.iter(), self.max_parallelism, &*self.keeps, out)
    }
}

/// Writes what runs hold, the oldest first, as sections: entry by entry what a state in memory would write.
pub(crate) fn write_runs<'r>(
    runs: impl DoubleEndedIterator<Item = &'r Run>,
    max_parallelism: u32,
    keeps: &dyn Fn(&[u8]) -> bool,
    out: &mut dyn Sections,
) -> Result<(), Failure> {
    let mut merge = Merge::new(runs)?;
    let (mut group, mut entries, mut bytes) = (0, 0, Vec::new());
    loop {
        let mut full = None;
        let more = merge.next(|entry| {
            let Some(value) = entry.value.filter(|value| keeps(value)) else { return Ok(()) };
            let of = key_group(hash_at(entry.order), max_parallelism);
            if of != group || bytes.len() >= SECTION_BYTES {
                full =
                    Some((std::mem::replace(&mut group, of), std::mem::take(&mut entries), std::mem::take(&mut bytes)));
            }
            bytes.extend_from_slice(entry.key);
            bytes.extend_from_slice(value);
            entries += 1;
            Ok(())
        })?;
        if let Some((group, entries, bytes)) = full
            && entries > 0
        {
            out.section(Some(group), entries, &bytes)?;
        }
        if !more {
            break;
        }
    }
    if entries > 0 {
        out.section(Some(group), entries, &bytes)?;
    }
    Ok(())
}
