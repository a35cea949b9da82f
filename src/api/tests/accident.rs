//! Something that goes wrong in the middle of a job, behind a complete checkpoint and before the end of the input, however slow the
//! machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::operators::{
    Boundedness, OperatorContext, Output, Polled, Source, SourceReader, SplitEnumerator, Waker,
};
use crate::graph::task::{Failure, Split};

/// What goes wrong, once, as soon as a checkpoint is complete: a file of the output has become visible.
pub(super) struct Accident {
    output: PathBuf,
    happened: AtomicBool,
    seen: AtomicU64,
}

impl Accident {
    pub(super) fn new(output: &Path) -> Arc<Self> {
        Arc::new(Self { output: output.to_owned(), happened: AtomicBool::new(false), seen: AtomicU64::new(0) })
    }

    /// To be called for each record that [`HeldBack`] lets pass.
    pub(super) fn may_happen(&self) {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        if seen.is_multiple_of(64) && !self.happened() && self.is_due() {
            self.happened.store(true, Ordering::Relaxed);
            panic!("an accident");
        }
    }

    pub(super) fn happened(&self) -> bool {
        self.happened.load(Ordering::Relaxed)
    }

    /// The records that passed in all attempts.
    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    fn is_due(&self) -> bool {
        !parts(&self.output).is_empty()
    }
}

/// The visible part files.
pub(super) fn parts(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("part-")).collect()
}

/// A source that stops behind `after` records, and up to a batch of each subtask, until the accident can happen: or the input might
/// have ended before the first checkpoint. Barriers pass meanwhile. Each subtask reads a little in any case, or one that came late
/// might hold the watermark back for ever.
pub(super) struct HeldBack<S> {
    pub(super) source: S,
    pub(super) after: u64,
    pub(super) accident: Arc<Accident>,
}

impl<S: Source> Source for HeldBack<S> {
    type Out = S::Out;

    fn boundedness(&self) -> Boundedness {
        self.source.boundedness()
    }

    fn enumerator(&self, context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        self.source.enumerator(context)
    }

    fn reader(&self, context: &OperatorContext, waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        let reader = self.source.reader(context, waker)?;
        Ok(Box::new(HeldBackReader { reader, polls: 0, after: self.after, accident: Arc::clone(&self.accident) }))
    }
}

struct HeldBackReader {
    reader: Box<dyn SourceReader>,
    polls: u32,
    after: u64,
    accident: Arc<Accident>,
}

impl SourceReader for HeldBackReader {
    fn assign(&mut self, split: Split) -> Result<(), Failure> {
        self.reader.assign(split)
    }

    fn poll(&mut self, out: &mut dyn Output) -> Result<Polled, Failure> {
        let accident = &self.accident;
        if self.polls >= 2 && !accident.happened() && accident.seen() >= self.after && !accident.is_due() {
            return Ok(Polled::Waiting { until: Some(out.now() + Duration::from_millis(1)) });
        }
        self.polls = self.polls.saturating_add(1);
        self.reader.poll(out)
    }

    fn position(&self) -> Result<serde_json::Value, Failure> {
        self.reader.position()
    }

    fn stop(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        self.reader.stop(out)
    }
}
