//! The word count's source and sink: input in memory, output in two phases into a store that all processes share.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use crate::engine::operators::{
    Boundedness, Discovery, NextDiscovery, OperatorContext, Output as Collected, Polled, Sink, SinkWriter, Source,
    SourceReader, SplitEnumerator, Waker,
};
use crate::engine::record::{Rows, Str};
use crate::graph::task::{Failure, Split};

/// Lines a poll.
const LINES: usize = 2;
/// One poll in so many fails while faults are on.
const FAILS_ONE_IN: u32 = 400;

/// Whether sources fail now and then.
pub(super) struct Flakiness {
    on: AtomicBool,
    rng: Mutex<Rng>,
}

impl Flakiness {
    pub(super) fn new(rng: Rng) -> Self {
        Self { on: AtomicBool::new(false), rng: Mutex::new(rng) }
    }

    pub(super) fn set(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    fn strikes(&self) -> bool {
        self.on.load(Ordering::Relaxed) && lock(&self.rng).u32(0..FAILS_ONE_IN) == 0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads lines from memory; each part of them is a split.
pub(super) struct Lines {
    /// Of the ids of splits.
    prefix: String,
    splits: Arc<Vec<Vec<Str>>>,
    /// Which of them it reads.
    range: Range<usize>,
    flakiness: Arc<Flakiness>,
}

impl Lines {
    pub(super) fn new(
        prefix: impl Into<String>,
        splits: &Arc<Vec<Vec<Str>>>,
        range: Range<usize>,
        flakiness: &Arc<Flakiness>,
    ) -> Self {
        Self { prefix: prefix.into(), splits: Arc::clone(splits), range, flakiness: Arc::clone(flakiness) }
    }
}

impl Source for Lines {
    type Out = Str;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerator(&self, _context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        Ok(Box::new(Enumerator { prefix: self.prefix.clone(), next: self.range.start, range: self.range.clone() }))
    }

    fn reader(&self, _context: &OperatorContext, _waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        let (splits, flakiness) = (Arc::clone(&self.splits), Arc::clone(&self.flakiness));
        Ok(Box::new(Reader { splits, flakiness, split: 0, line: 0 }))
    }
}

/// Finds the splits in two looks.
struct Enumerator {
    prefix: String,
    next: usize,
    range: Range<usize>,
}

impl SplitEnumerator for Enumerator {
    fn discover(&mut self) -> Result<Discovery, Failure> {
        let Range { start, end: last } = self.range;
        let end = if self.next == start { start + (last - start).div_ceil(2) } else { last };
        let id = |index| format!("{}-{index}", self.prefix);
        let splits = (self.next..end)
            .map(|index| Split { id: id(index), payload: serde_json::json!([index, 0]), lane: None })
            .collect();
        self.next = end;
        let next = if end == last {
            NextDiscovery::Complete
        } else {
            NextDiscovery::After(std::time::Duration::from_millis(40))
        };
        Ok(Discovery { splits, next })
    }
}

struct Reader {
    splits: Arc<Vec<Vec<Str>>>,
    flakiness: Arc<Flakiness>,
    split: usize,
    line: usize,
}

impl SourceReader for Reader {
    fn assign(&mut self, split: Split) -> Result<(), Failure> {
        let Split { id, payload, .. } = split;
        let absent = |_| Failure::permanent(format!("there is no split {id}"));
        let (index, line): (usize, usize) = serde_json::from_value(payload).map_err(absent)?;
        self.split = index.min(self.splits.len() - 1);
        self.line = line;
        Ok(())
    }

    fn position(&self) -> Result<serde_json::Value, Failure> {
        Ok(serde_json::json!([self.split, self.line]))
    }

    fn poll(&mut self, out: &mut dyn Collected) -> Result<Polled, Failure> {
        if self.flakiness.strikes() {
            return Err(Failure::transient("the disk does not answer"));
        }
        let left = &self.splits[self.split][self.line..];
        if left.is_empty() {
            return Ok(Polled::SplitFinished);
        }
        let lines = &left[..left.len().min(LINES)];
        self.line += lines.len();
        out.emit(Box::new(Rows::new(lines.to_vec())))?;
        Ok(Polled::More)
    }

    fn stop(&mut self, _out: &mut dyn Collected) -> Result<(), Failure> {
        self.line = self.splits[self.split].len();
        Ok(())
    }
}

type Counts = Vec<(String, u64)>;

/// The store that word counts are published in.
#[derive(Default)]
pub(super) struct Output {
    files: Mutex<Files>,
}

/// Files by name: the execution that wrote them.
#[derive(Default)]
struct Files {
    prepared: BTreeMap<String, Counts>,
    visible: BTreeMap<String, Counts>,
}

impl Output {
    /// What readers see.
    pub(super) fn visible(&self) -> BTreeMap<String, Counts> {
        lock(&self.files).visible.clone()
    }
}

/// Writes word counts.
pub(super) struct CountsSink {
    output: Arc<Output>,
}

impl CountsSink {
    pub(super) fn new(output: Arc<Output>) -> Self {
        Self { output }
    }
}

impl Sink for CountsSink {
    type In = (Str, u64);

    fn writer(&self, context: &OperatorContext) -> Result<Box<dyn SinkWriter<Self::In>>, Failure> {
        let name = context.attempt.to_string();
        Ok(Box::new(Writer { output: Arc::clone(&self.output), name, number: 0, counts: Vec::new() }))
    }

    fn commit(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        let mut files = lock(&self.output.files);
        for name in names(&committables)? {
            if files.visible.contains_key(name) {
                continue;
            }
            let counts = files.prepared.remove(name);
            let counts = counts.ok_or_else(|| Failure::permanent(format!("prepared file {name} is not there")))?;
            files.visible.insert(name.to_owned(), counts);
        }
        Ok(())
    }

    fn discard(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        let mut files = lock(&self.output.files);
        for name in names(&committables)? {
            files.prepared.remove(name);
        }
        Ok(())
    }
}

fn names(committables: &[serde_json::Value]) -> Result<Vec<&str>, Failure> {
    let name = |value| serde_json::Value::as_str(value).ok_or_else(|| Failure::permanent("not the name of a file"));
    committables.iter().map(name).collect()
}

struct Writer {
    output: Arc<Output>,
    name: String,
    /// Of the next file.
    number: u32,
    counts: Counts,
}

impl SinkWriter<(Str, u64)> for Writer {
    fn write(&mut self, batch: Rows<(Str, u64)>) -> Result<(), Failure> {
        self.counts.extend(batch.0.into_iter().map(|(word, count)| (word.to_string(), count)));
        Ok(())
    }

    fn prepare_checkpoint(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        if self.counts.is_empty() { Ok(Vec::new()) } else { self.prepare() }
    }

    fn prepare(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        let counts = std::mem::take(&mut self.counts);
        let name = format!("{}/{}", self.name, self.number);
        self.number += 1;
        lock(&self.output.files).prepared.insert(name.clone(), counts);
        Ok(vec![serde_json::Value::from(name)])
    }
}
