//! Writing to the outside, in two phases: writers prepare, the job decides, the sink publishes.

use super::{FunctionInitializationContext, FunctionSnapshotContext, OperatorContext, Restore, Snapshot};
use crate::engine::record::{Record, Rows};
use crate::graph::delivery::DeliveryGuarantee;
use crate::graph::task::Failure;
use crate::time::Now;

/// A connector for writing. Implement it for a system of your own and pass it to `stream.sink_to(…)`.
///
/// Flink's `Sink` with `SupportsCommitter`. Nothing that a writer writes may be visible to readers before
/// [`Sink::commit`], unless the sink says so (a printer, a socket).
///
/// ```text
/// write … write ─► prepare_checkpoint ─► the checkpoint is complete ─► commit, as often as it takes
///                         │
///                  committables: where the output lies that nobody sees yet
/// ```
/// A sink in two phases: the writer writes to a hidden file, a transaction, a staging table; `prepare_checkpoint` makes that durable and
/// returns its name; `commit` renames, commits, merges. `examples/custom_connector.rs` is a whole one, of files.
pub trait Sink: Send + Sync + 'static {
    /// What it takes.
    type In: Record;

    /// What it promises: a sink that shows what it writes before [`Sink::commit`] promises less.
    fn delivery_guarantee(&self) -> DeliveryGuarantee {
        DeliveryGuarantee::ExactlyOnce
    }

    /// A writer for one subtask.
    ///
    /// # Errors
    /// Fails the subtask: an output that cannot be written, say.
    fn writer(&self, context: &OperatorContext) -> Result<Box<dyn SinkWriter<Self::In>>, Failure>;

    /// Publishes what writers prepared. Called after the decision is durable, by any process of the job, and again after a
    /// failure: publishing what is published does nothing.
    ///
    /// # Errors
    /// [`Failure`] of kind transient to be tried again.
    fn commit(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        let _ = committables;
        Ok(())
    }

    /// Removes what writers prepared and will never publish. As often as one likes.
    ///
    /// # Errors
    /// Logged, nothing else.
    fn discard(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        let _ = committables;
        Ok(())
    }
}

/// Writes the records of one subtask. Dropped without [`SinkWriter::prepare`] when the subtask fails or is cancelled: it then
/// removes what nobody will publish.
pub trait SinkWriter<T>: Send {
    /// Takes a batch.
    ///
    /// # Errors
    /// Fails the subtask.
    fn write(&mut self, batch: Rows<T>) -> Result<(), Failure>;

    /// Takes up what the writers of the checkpoint put down that the job goes on from. Called once, before all others, whether or not
    /// there is one. Flink's `StatefulSinkWriter`.
    ///
    /// # Errors
    /// Fails the subtask.
    fn initialize_state(&mut self, ctx: &mut FunctionInitializationContext<'_>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// Puts down what a writer is to know that goes on from this checkpoint. Called behind [`SinkWriter::prepare_checkpoint`].
    ///
    /// # Errors
    /// Fails the subtask.
    fn snapshot_state(&mut self, ctx: &mut FunctionSnapshotContext<'_>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// When [`SinkWriter::on_processing_time`] wants to be called next, besides before each batch.
    fn next_timer(&self) -> Option<Now> {
        None
    }

    /// Says how late it is: before each batch, and when the moment has come that [`SinkWriter::next_timer`] named. For writers that do
    /// something after a time, such as closing a file.
    ///
    /// # Errors
    /// Fails the subtask.
    fn on_processing_time(&mut self, now: Now) -> Result<(), Failure> {
        let _ = now;
        Ok(())
    }

    /// Makes what was written visible to people who watch, where the sink promises no more (a printer).
    ///
    /// # Errors
    /// Fails the subtask.
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// A checkpoint's barrier has come: makes what was written so far durable, and says what is to be published once the checkpoint is
    /// complete. What is written from here on belongs to the next one, and the writer is never given again what came before. A writer
    /// that publishes at once flushes, and has nothing to say.
    ///
    /// # Errors
    /// Fails the subtask.
    fn prepare_checkpoint(&mut self) -> Result<Vec<serde_json::Value>, Failure>;

    /// The input has ended: makes everything durable and says what is to be published.
    ///
    /// # Errors
    /// Fails the subtask.
    fn prepare(&mut self) -> Result<Vec<serde_json::Value>, Failure>;
}

/// A [`Sink`] whose record type is known to the graph only.
pub trait ErasedSink: Send + Sync {
    /// An operator around a writer.
    fn operator(self: std::sync::Arc<Self>) -> Box<dyn super::Operator>;

    /// [`Sink::commit`].
    ///
    /// # Errors
    /// As there.
    fn commit(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure>;

    /// [`Sink::discard`].
    ///
    /// # Errors
    /// As there.
    fn discard(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure>;
}

/// The operator around a sink's writer. Opened with the subtask; flushes when the input pauses.
struct SinkOperator<S: Sink> {
    sink: std::sync::Arc<S>,
    writer: Option<Box<dyn SinkWriter<S::In>>>,
}

impl<S: Sink> super::Operator for SinkOperator<S> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.writer = Some(self.sink.writer(context)?);
        Ok(())
    }

    fn process(
        &mut self,
        _input: u32,
        batch: Box<dyn crate::engine::record::Batch>,
        out: &mut dyn super::Output,
    ) -> Result<(), Failure> {
        match &mut self.writer {
            Some(writer) => {
                writer.on_processing_time(out.now())?;
                writer.write(Rows::of(batch))
            }
            None => Err(Failure::permanent("the sink was given records before it was opened")),
        }
    }

    fn next_timer(&self) -> Option<Now> {
        self.writer.as_ref().and_then(|writer| writer.next_timer())
    }

    fn on_processing_time(&mut self, now: Now, _out: &mut dyn super::Output) -> Result<(), Failure> {
        self.writer.as_mut().map_or(Ok(()), |writer| writer.on_processing_time(now))
    }

    fn idle(&mut self) -> Result<(), Failure> {
        self.writer.as_mut().map_or(Ok(()), |writer| writer.flush())
    }

    fn before_barrier(&mut self, _out: &mut dyn super::Output) -> Result<Vec<serde_json::Value>, Failure> {
        self.writer.as_mut().map_or(Ok(Vec::new()), |writer| writer.prepare_checkpoint())
    }

    fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        let mut ctx = FunctionSnapshotContext::new(into);
        self.writer.as_mut().map_or(Ok(()), |writer| writer.snapshot_state(&mut ctx))
    }

    fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        let mut ctx = FunctionInitializationContext::new(from);
        self.writer.as_mut().map_or(Ok(()), |writer| writer.initialize_state(&mut ctx))
    }

    fn finish(&mut self, _out: &mut dyn super::Output) -> Result<Vec<serde_json::Value>, Failure> {
        self.writer.as_mut().map_or(Ok(Vec::new()), |writer| writer.prepare())
    }
}

impl<S: Sink> ErasedSink for S {
    fn operator(self: std::sync::Arc<Self>) -> Box<dyn super::Operator> {
        Box::new(SinkOperator { sink: self, writer: None })
    }

    fn commit(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        Sink::commit(self, committables)
    }

    fn discard(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        Sink::discard(self, committables)
    }
}
