//! The data network of a job: the real channels of one process, with connections between workers that can break.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::network::Network;
use crate::engine::operators::Waker;
use crate::engine::record::{BatchType, Element};
use crate::engine::runtime::{Connect, Gate, Partition};
use crate::graph::task::{Failure, InputDeployment, OutputDeployment, TaskDeployment};
use crate::ids::{ExecutionAttemptId, WorkerId};

/// What all workers of a job share.
pub(super) struct JobNetwork {
    channels: Network,
    peers: Mutex<Peers>,
}

#[derive(Default)]
struct Peers {
    gone: BTreeSet<WorkerId>,
    /// Who is to be told when a worker goes.
    wakers: Vec<Waker>,
}

/// One worker's view of it.
pub(super) struct Channels {
    network: Arc<JobNetwork>,
    worker: WorkerId,
}

impl JobNetwork {
    pub(super) fn new() -> Self {
        Self { channels: Network::local(), peers: Mutex::default() }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Peers) -> T) -> T {
        look(&mut self.peers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Channels {
    pub(super) fn new(network: Arc<JobNetwork>, worker: WorkerId) -> Self {
        Self { network, worker }
    }

    /// The worker's process has ended: its connections break.
    pub(super) fn worker_gone(&self) {
        let wakers = self.network.with(|peers| {
            peers.gone.insert(self.worker.clone());
            peers.wakers.clone()
        });
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Connect for Channels {
    fn gate(
        &self,
        task: &TaskDeployment,
        input: &InputDeployment,
        batch_type: Arc<dyn BatchType>,
        waker: Waker,
    ) -> Result<Box<dyn Gate>, Failure> {
        self.network.with(|peers| peers.wakers.push(waker.clone()));
        let gate = Connect::gate(&self.network.channels, task, input, batch_type, waker)?;
        let producers = input.producers.iter().map(|producer| Some(producer.worker.clone())).collect();
        Ok(Box::new(RemoteGate { gate, network: Arc::clone(&self.network), producers }))
    }

    fn partition(
        &self,
        task: &TaskDeployment,
        output: &OutputDeployment,
        waker: Waker,
    ) -> Result<Box<dyn Partition>, Failure> {
        Connect::partition(&self.network.channels, task, output, waker)
    }

    fn release(&self, attempt: ExecutionAttemptId) {
        Connect::release(&self.network.channels, attempt);
    }
}

/// A gate that fails when a producer's worker has gone before the end of its input.
struct RemoteGate {
    gate: Box<dyn Gate>,
    network: Arc<JobNetwork>,
    /// By channel; absent once the input has ended.
    producers: Vec<Option<WorkerId>>,
}

impl Gate for RemoteGate {
    fn channels(&self) -> usize {
        self.gate.channels()
    }

    fn poll(&mut self) -> Result<Option<(usize, Element)>, Failure> {
        let element = self.gate.poll()?;
        match &element {
            Some((channel, Element::EndOfInput)) => self.producers[*channel] = None,
            Some(_) => {}
            None => {
                let lost = self
                    .network
                    .with(|peers| self.producers.iter().flatten().find(|worker| peers.gone.contains(*worker)).cloned());
                if let Some(worker) = lost {
                    return Err(Failure::transient(format!("lost the connection to worker {worker}")));
                }
            }
        }
        Ok(element)
    }

    fn block(&mut self, channel: usize) {
        self.gate.block(channel);
    }

    fn unblock(&mut self) {
        self.gate.unblock();
    }

    fn bytes_in(&self) -> u64 {
        self.gate.bytes_in()
    }
}
