//! Channels between subtasks: the same inside a process and over TCP.
//!
//! ```text
//! producer's thread                                                                     consumer's thread
//! ResultPartition ─ outlet ── same process: the boxed batch moves ───────────────► gate's queue ─► InputGate
//!   one open batch     └───── frame, encoded here ─► writer ═ TCP ═ reader ─► gate's queue (decoded there) ─►
//!   per consumer             ◄─ credit, a quarter of a window at a time ─
//! ```
//!
//! A [`Network`] is made once per worker process. A channel is named by (edge, producing execution, consuming execution); whichever
//! end comes first waits in the registry for the other, so deployment needs no order. Per producing worker there is one TCP
//! connection, opened by the consumer's worker to the producer's data port; it carries all channels of that direction, each with a
//! window of its own (`credit`), so a slow consumer stalls nobody else.
//!
//! Invariants: emitting never blocks. What lies between a producer and its consumer is bounded by the window and what one slice of
//! input emits. Elements of a channel stay in order; nothing is lost or doubled while its connection lives. A broken connection is
//! at once an error at each of its channels that has not ended, naming the worker. A subtask that ends without its
//! [`ResultPartition::end`] is silent here: its failure is the JobManager's to spread, so that the cause is the first to be heard.
//!
//! It knows no operators, no job graph and no protocol between processes.

mod credit;
mod downstream;
mod error;
mod gate;
mod handshake;
mod outlet;
mod partition;
mod pool;
mod registry;
#[cfg(test)]
mod tests;
mod transport;
mod upstream;
mod wire;

use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;

pub use self::credit::{WINDOW_BYTES, WINDOW_BYTES_MIN};
pub use self::error::NetworkError;
pub use self::gate::InputGate;
use self::gate::{Gate, Origin};
use self::outlet::Outlet;
pub use self::partition::ResultPartition;
use self::pool::Pool;
use self::registry::{ChannelKey, Consumer, Registry};
use self::transport::Transport;
use crate::engine::record::{BatchType, Waker};
use crate::graph::task::{InputDeployment, OutputDeployment, Producer};
use crate::ids::{ExecutionAttemptId, WorkerId};
use crate::rpc::Tls;

/// What a worker's network needs to know.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Host name or address to listen on, as other workers reach it. The port is the system's choice.
    pub bind_host: String,
    /// This worker.
    pub worker: WorkerId,
    /// The job's secret; workers of the same job hold the same.
    pub secret: String,
    /// What the open batches of all partitions may hold together, in bytes; above it batches leave before they are full.
    /// Default [`OPEN_BYTES`]. Raise it for wide exchanges on large machines.
    pub open_bytes_max: u64,
    /// Whether channels between workers are encrypted.
    pub tls: Tls,
}

/// Default of [`NetworkConfig::open_bytes_max`]: full open batches of a thousand channels.
pub const OPEN_BYTES: u64 = 32 * 1024 * 1024;

/// The channels of one worker process. Cheap to clone; the last one dropped closes the connections.
#[derive(Clone)]
pub struct Network {
    registry: Arc<Registry>,
    pool: Arc<Pool>,
    transport: Option<Arc<Transport>>,
}

impl Network {
    /// Opens a data port and serves it on `runtime`.
    ///
    /// # Errors
    /// [`NetworkError::Bind`] when it cannot be opened.
    pub fn start(runtime: &Handle, config: NetworkConfig) -> Result<Self, NetworkError> {
        let registry = Arc::new(Registry::default());
        let pool = Arc::new(Pool::new(config.open_bytes_max));
        let transport = Transport::start(runtime, config, Arc::clone(&registry))?;
        Ok(Self { registry, pool, transport: Some(Arc::new(transport)) })
    }

    /// Channels inside this process only, whatever worker a deployment names.
    pub fn local() -> Self {
        Self { registry: Arc::default(), pool: Arc::new(Pool::new(OPEN_BYTES)), transport: None }
    }

    /// `host:port` of the data port; none without one.
    pub fn data_address(&self) -> Option<&str> {
        self.transport.as_deref().map(Transport::data_address)
    }

    /// The output of `attempt` to one edge. `waker` wakes the subtask that owns it.
    ///
    /// # Errors
    /// [`NetworkError::Duplicate`] when it exists already.
    pub fn result_partition(
        &self,
        attempt: ExecutionAttemptId,
        output: &OutputDeployment,
        waker: &Waker,
    ) -> Result<ResultPartition, NetworkError> {
        self.registry.forget_before(attempt);
        let failure = Arc::new(OnceLock::new());
        let outlet = |consumer: &ExecutionAttemptId| {
            let key = ChannelKey { edge: output.edge, producer: attempt, consumer: *consumer };
            Arc::new(Outlet::new(key, output.consumers.len(), waker.clone(), Arc::clone(&failure)))
        };
        let outlets: Vec<_> = output.consumers.iter().map(outlet).collect();
        outlets.iter().try_for_each(|outlet| self.registry.add_producer(outlet))?;
        let pool = Arc::clone(&self.pool);
        Ok(ResultPartition::new(outlets, output.partitioner, output.max_parallelism, pool, failure))
    }

    /// The input of `attempt` from one edge, whose records `batch_type` reads. `waker` wakes the subtask that owns it.
    ///
    /// # Errors
    /// [`NetworkError::PeerLost`] when a producer's worker is known to be gone, [`NetworkError::Duplicate`] when it exists already.
    pub fn input_gate(
        &self,
        attempt: ExecutionAttemptId,
        input: &InputDeployment,
        batch_type: Arc<dyn BatchType>,
        waker: &Waker,
    ) -> Result<InputGate, NetworkError> {
        self.registry.forget_before(attempt);
        let gate = Arc::new(Gate::new(input.producers.len(), waker.clone()));
        let mut origins = Vec::with_capacity(input.producers.len());
        for (producer, index) in input.producers.iter().zip(0u32..) {
            let key = ChannelKey { edge: input.edge, producer: producer.attempt, consumer: attempt };
            origins.push(self.open_channel(key, producer, &gate, index)?);
        }
        Ok(InputGate::new(gate, batch_type, origins))
    }

    fn open_channel(
        &self,
        key: ChannelKey,
        producer: &Producer,
        gate: &Arc<Gate>,
        index: u32,
    ) -> Result<Origin, NetworkError> {
        match &self.transport {
            Some(transport) if transport.worker() != &producer.worker => transport.open(key, producer, gate, index),
            Some(_) | None => {
                self.registry.add_consumer(key, Consumer::Local { gate: Arc::clone(gate), index })?;
                Ok(Origin::Local)
            }
        }
    }

    /// `attempt` has ended here, or will not come: its ends that still wait for their peers are forgotten. Output that was
    /// written to its end stays for its consumers.
    pub fn release(&self, attempt: ExecutionAttemptId) {
        self.registry.release(attempt);
    }

    /// Closes the data port and all connections, and waits until that is done.
    pub async fn shutdown(&self) {
        if let Some(transport) = &self.transport {
            transport.shutdown().await;
        }
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Network({})", self.data_address().unwrap_or("local"))
    }
}
