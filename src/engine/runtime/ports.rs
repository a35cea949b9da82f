//! What a subtask is connected to: the seam between its loop and the network.

use std::sync::Arc;

use crate::engine::operators::Waker;
use crate::engine::record::{Barrier, Batch, BatchType, Element};
use crate::graph::task::{Failure, InputDeployment, OutputDeployment, TaskDeployment};
use crate::ids::ExecutionAttemptId;
use crate::time::EventTime;

/// An edge into a subtask, seen as its channels. Never blocks; calls the waker it was made with when there is something new.
pub trait Gate: Send {
    /// Number of channels: one a producer.
    fn channels(&self) -> usize;

    /// The next element, and the channel it came in on; absent when there is none now. Each channel is in order, none starves.
    ///
    /// # Errors
    /// A producer that is lost, or a frame that cannot be read.
    fn poll(&mut self) -> Result<Option<(usize, Element)>, Failure>;

    /// Gives nothing of this channel until [`Gate::unblock`].
    fn block(&mut self, channel: usize);

    /// Gives of every channel again.
    fn unblock(&mut self);

    /// Bytes taken so far.
    fn bytes_in(&self) -> u64;
}

/// An edge out of a subtask. Never blocks; calls the waker it was made with when there is room again.
pub trait Partition: Send {
    /// Whether the next slice of input may be taken.
    ///
    /// # Errors
    /// A consumer that is lost; the waker is called when that happens.
    fn has_room(&self) -> Result<bool, Failure>;

    /// Takes a batch and distributes its rows. May overdraw the room.
    ///
    /// # Errors
    /// A record that cannot be written, or a consumer that is lost.
    fn emit(&mut self, batch: Box<dyn Batch>) -> Result<(), Failure>;

    /// Tells every consumer, behind all batches taken so far.
    ///
    /// # Errors
    /// As [`Partition::emit`].
    fn watermark(&mut self, watermark: EventTime) -> Result<(), Failure>;

    /// Tells every consumer, behind all batches taken so far, not to wait for this subtask's event time until it emits something.
    ///
    /// # Errors
    /// As [`Partition::emit`].
    fn idle(&mut self) -> Result<(), Failure>;

    /// Tells every consumer that a checkpoint ends here, behind all batches taken so far.
    ///
    /// # Errors
    /// As [`Partition::emit`].
    fn barrier(&mut self, barrier: &Arc<Barrier>) -> Result<(), Failure>;

    /// Hands on what is not yet full.
    ///
    /// # Errors
    /// As [`Partition::emit`].
    fn flush(&mut self) -> Result<(), Failure>;

    /// Tells every consumer that nothing more comes, and flushes. What was taken reaches them even when this is dropped then.
    ///
    /// # Errors
    /// As [`Partition::emit`].
    fn finish(&mut self) -> Result<(), Failure>;

    /// Bytes handed over so far.
    fn bytes_out(&self) -> u64;
}

/// Connects subtasks: the worker's network, or a test's.
pub trait Connect: Send + Sync {
    /// The receiving end of one edge; its batches are of `batch_type`.
    ///
    /// # Errors
    /// Fails the subtask.
    fn gate(
        &self,
        task: &TaskDeployment,
        input: &InputDeployment,
        batch_type: Arc<dyn BatchType>,
        waker: Waker,
    ) -> Result<Box<dyn Gate>, Failure>;

    /// The sending end of one edge.
    ///
    /// # Errors
    /// Fails the subtask.
    fn partition(
        &self,
        task: &TaskDeployment,
        output: &OutputDeployment,
        waker: Waker,
    ) -> Result<Box<dyn Partition>, Failure>;

    /// The subtask has ended; ends of its edges that still wait for their other ends may be forgotten.
    fn release(&self, attempt: ExecutionAttemptId);
}
