//! The worker's network as what connects subtasks.

use std::sync::Arc;

use super::ports::{Connect, Gate, Partition};
use crate::engine::network::{InputGate, Network, ResultPartition};
use crate::engine::operators::Waker;
use crate::engine::record::{Barrier, Batch, BatchType, Element};
use crate::graph::task::{Failure, InputDeployment, OutputDeployment, TaskDeployment};
use crate::ids::ExecutionAttemptId;
use crate::time::EventTime;

impl Connect for Network {
    fn gate(
        &self,
        task: &TaskDeployment,
        input: &InputDeployment,
        batch_type: Arc<dyn BatchType>,
        waker: Waker,
    ) -> Result<Box<dyn Gate>, Failure> {
        Ok(Box::new(self.input_gate(task.attempt, input, batch_type, &waker)?))
    }

    fn partition(
        &self,
        task: &TaskDeployment,
        output: &OutputDeployment,
        waker: Waker,
    ) -> Result<Box<dyn Partition>, Failure> {
        Ok(Box::new(self.result_partition(task.attempt, output, &waker)?))
    }

    fn release(&self, attempt: ExecutionAttemptId) {
        Network::release(self, attempt);
    }
}

impl Gate for InputGate {
    fn channels(&self) -> usize {
        InputGate::channels(self)
    }

    fn poll(&mut self) -> Result<Option<(usize, Element)>, Failure> {
        Ok(InputGate::poll(self)?)
    }

    fn block(&mut self, channel: usize) {
        InputGate::block(self, channel);
    }

    fn unblock(&mut self) {
        InputGate::unblock(self);
    }

    fn bytes_in(&self) -> u64 {
        InputGate::bytes_in(self)
    }
}

impl Partition for ResultPartition {
    fn has_room(&self) -> Result<bool, Failure> {
        match self.error() {
            Some(error) => Err(error.into()),
            None => Ok(ResultPartition::has_room(self)),
        }
    }

    fn emit(&mut self, batch: Box<dyn Batch>) -> Result<(), Failure> {
        Ok(ResultPartition::emit(self, batch)?)
    }

    fn watermark(&mut self, watermark: EventTime) -> Result<(), Failure> {
        Ok(ResultPartition::watermark(self, watermark)?)
    }

    fn idle(&mut self) -> Result<(), Failure> {
        Ok(ResultPartition::idle(self)?)
    }

    fn barrier(&mut self, barrier: &Arc<Barrier>) -> Result<(), Failure> {
        Ok(ResultPartition::barrier(self, barrier)?)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(ResultPartition::flush(self)?)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        Ok(self.end()?)
    }

    fn bytes_out(&self) -> u64 {
        ResultPartition::bytes_out(self)
    }
}
