//! Reading from outside: a [`Source`] makes an enumerator that finds the parts of the input, and readers that read them.

use std::time::Duration;

use super::{OperatorContext, Output};
use crate::engine::record::{Record, Waker};
use crate::graph::delivery::DeliveryGuarantee;
use crate::graph::task::{Failure, Split};
use crate::time::Now;

/// Whether a source's input ends by itself. Flink's `Boundedness`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundedness {
    /// It ends.
    Bounded,
    /// It goes on until the job is stopped.
    Unbounded,
}

/// A connector for reading. Implement it for a system of your own and pass it to `env.from_source(…)`.
///
/// The program makes one; each process of the job makes the same. Flink's `Source` (FLIP-27).
pub trait Source: Send + Sync + 'static {
    /// What it emits.
    type Out: Record;

    /// Whether the input ends by itself.
    fn boundedness(&self) -> Boundedness;

    /// What it promises, in one line for people: `replayable`, or which guarantee is lost and why.
    fn guarantee(&self) -> String {
        "replayable".to_owned()
    }

    /// The same for the job, whose guarantee is the least of its sources' and sinks'.
    fn delivery_guarantee(&self) -> DeliveryGuarantee {
        DeliveryGuarantee::ExactlyOnce
    }

    /// Finds the parts of the input. Runs on a thread of its own beside subtask 0.
    ///
    /// # Errors
    /// Fails the job with the cause: a missing input, say.
    fn enumerator(&self, context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure>;

    /// Reads parts of the input, in one subtask.
    ///
    /// # Errors
    /// Fails the subtask.
    fn reader(&self, context: &OperatorContext, waker: Waker) -> Result<Box<dyn SourceReader>, Failure>;
}

/// Finds the parts of a source's input. May block.
pub trait SplitEnumerator: Send {
    /// Looks for parts not reported before. A split's id is stable over restarts: the job hands out each id once.
    ///
    /// # Errors
    /// Fails the job.
    fn discover(&mut self) -> Result<Discovery, Failure>;
}

/// What [`SplitEnumerator::discover`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// New parts.
    pub splits: Vec<Split>,
    /// Whether and when to look again.
    pub next: NextDiscovery,
}

/// Whether and when to look for parts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextDiscovery {
    /// There will never be more.
    Complete,
    /// After this long.
    After(Duration),
}

/// Reads parts of the input. Called on the subtask's thread; must not block for long: what has to wait for the outside does so
/// on a thread of its own and uses the [`Waker`].
pub trait SourceReader: Send {
    /// Another part to read. Only called when the reader has none unfinished.
    ///
    /// # Errors
    /// Fails the subtask.
    fn assign(&mut self, split: Split) -> Result<(), Failure>;

    /// Emits about one batch (`Rows<Out>`) and says how it stands.
    ///
    /// # Errors
    /// Fails the subtask.
    fn poll(&mut self, out: &mut dyn Output) -> Result<Polled, Failure>;

    /// What [`SourceReader::assign`] is to be given, as the payload of the present part, so that exactly what has not been emitted of it
    /// comes. Stands in checkpoints. Only called while there is a part.
    ///
    /// # Errors
    /// Fails the subtask.
    fn position(&self) -> Result<serde_json::Value, Failure>;

    /// Ends the present part as if its input had ended here: the job is being drained.
    ///
    /// # Errors
    /// Fails the subtask.
    fn stop(&mut self, out: &mut dyn Output) -> Result<(), Failure>;

    /// Records that were malformed and repaired or dropped since the last call.
    fn take_bad_records(&mut self) -> u64 {
        0
    }
}

/// How a reader stands after [`SourceReader::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// There is more to read now.
    More,
    /// The part has been read to its end (or there was none): ask for another.
    SplitFinished,
    /// Nothing to read until the waker is called, or that moment has come.
    Waiting {
        /// The moment, if there is one.
        until: Option<Now>,
    },
}

/// A [`Source`] whose record type is known to the graph only.
pub trait ErasedSource: Send + Sync {
    /// [`Source::enumerator`].
    ///
    /// # Errors
    /// As there.
    fn enumerator(&self, context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure>;

    /// [`Source::reader`].
    ///
    /// # Errors
    /// As there.
    fn reader(&self, context: &OperatorContext, waker: Waker) -> Result<Box<dyn SourceReader>, Failure>;
}

impl<S: Source> ErasedSource for S {
    fn enumerator(&self, context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        Source::enumerator(self, context)
    }

    fn reader(&self, context: &OperatorContext, waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        Source::reader(self, context, waker)
    }
}
