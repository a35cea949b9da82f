//! Whole channels, in one process and over TCP. Both cases go through the same checks.

mod backpressure;
mod exchange;
mod failure;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;

use super::*;
use crate::engine::record::{Element, KeyedType};
use crate::graph::plan::{EdgeId, Partitioner};
use crate::ids::{JobId, TaskManagerId, VertexId};
use crate::rpc::tls::MEMBER_NAME;
use crate::rpc::tls::testing::Authority;

/// Long enough for any step on a loaded machine; a test that needs it has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// A subtask's sleep.
#[derive(Clone, Default)]
struct Parker(Arc<(Mutex<bool>, Condvar)>);

impl Parker {
    fn waker(&self) -> Waker {
        let this = self.clone();
        Waker::new(move || {
            *this.0.0.lock().unwrap() = true;
            this.0.1.notify_all();
        })
    }

    fn park(&self) {
        let awake = self.0.0.lock().unwrap();
        let (mut awake, timeout) = self.0.1.wait_timeout_while(awake, DEADLINE, |awake| !*awake).unwrap();
        assert!(!timeout.timed_out(), "nobody woke this subtask");
        *awake = false;
    }
}

fn worker(name: &str) -> WorkerId {
    WorkerId { task_manager: TaskManagerId(name.to_owned()), job: JobId(7), incarnation: 1 }
}

fn attempt(vertex: u128, subtask: u32) -> ExecutionAttemptId {
    ExecutionAttemptId { vertex: VertexId(vertex), subtask, attempt: 0 }
}

fn producer(subtask: u32) -> ExecutionAttemptId {
    attempt(1, subtask)
}

fn consumer(subtask: u32) -> ExecutionAttemptId {
    attempt(2, subtask)
}

fn config(name: &str) -> NetworkConfig {
    NetworkConfig {
        bind_host: "127.0.0.1".to_owned(),
        worker: worker(name),
        secret: "open sesame".to_owned(),
        open_bytes_max: OPEN_BYTES,
        tls: Tls::OFF,
    }
}

fn start(runtime: &Runtime, name: &str) -> Network {
    Network::start(runtime.handle(), config(name)).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn output(partitioner: Partitioner, consumers: impl IntoIterator<Item = u32>) -> OutputDeployment {
    let consumers = consumers.into_iter().map(consumer).collect();
    OutputDeployment { edge: EdgeId(3), partitioner, consumers, max_parallelism: 128 }
}

/// The edge's input from producers that run in `network`.
fn input(network: &Network, worker: &WorkerId, producers: u32) -> InputDeployment {
    let data_address = network.data_address().unwrap_or_default().to_owned();
    let producers = (0..producers)
        .map(|subtask| Producer {
            attempt: producer(subtask),
            worker: worker.clone(),
            data_address: data_address.clone(),
        })
        .collect();
    InputDeployment { edge: EdgeId(3), producers }
}

/// The type of all edges here.
fn numbers() -> Arc<dyn BatchType> {
    Arc::new(KeyedType::<u64, u64>::new())
}

/// Waits for the gate's next element.
fn next(gate: &mut InputGate, parker: &Parker) -> Result<(usize, Element), NetworkError> {
    loop {
        if let Some(element) = gate.poll()? {
            return Ok(element);
        }
        parker.park();
    }
}
