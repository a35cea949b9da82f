//! Reads a whole source, as the runtime would, one split after the other.

use crate::engine::operators::testing::{Collected, context};
use crate::engine::operators::{NextDiscovery, Polled, Source, Waker};
use crate::graph::plan::ExecutionMode;
use crate::graph::task::Failure;

/// Everything a bounded source emits, in the order of its splits.
pub(crate) fn read_all<S: Source>(source: &S) -> Vec<S::Out> {
    read(source, || {}).0
}

/// And how many of them were repaired.
pub(crate) fn read_with_bad_records<S: Source>(source: &S) -> (Vec<S::Out>, u64) {
    read(source, || {})
}

/// Everything it emits, when something happens between discovery and reading.
pub(crate) fn read_after<S: Source>(source: &S, between: impl FnOnce()) -> Vec<S::Out> {
    read(source, between).0
}

fn read<S: Source>(source: &S, between: impl FnOnce()) -> (Vec<S::Out>, u64) {
    let mut out = Collected::default();
    let bad = read_into(source, between, &mut out).unwrap();
    (out.rows(), bad)
}

/// Reads a bounded source to its end or its first failure; says how many records were bad.
pub(crate) fn read_into<S: Source>(source: &S, between: impl FnOnce(), out: &mut Collected) -> Result<u64, Failure> {
    let context = context(ExecutionMode::Batch);
    let discovery = source.enumerator(&context)?.discover()?;
    assert_eq!(discovery.next, NextDiscovery::Complete);
    between();
    let mut reader = source.reader(&context, Waker::new(|| {}))?;
    for split in discovery.splits {
        reader.assign(split)?;
        loop {
            match reader.poll(out)? {
                Polled::More => {}
                Polled::SplitFinished => break,
                Polled::Waiting { .. } => panic!("this source never waits"),
            }
        }
    }
    Ok(reader.take_bad_records())
}
