//! What the runtime reports, as messages to the JobManager.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::engine::runtime::{TaskEvent, TaskExecutor};
use crate::ids::ExecutionAttemptId;
use crate::protocol::worker::ToJobManager;
use crate::rpc::link::{LinkError, LinkSender};
use crate::time::Deadline;

/// How often running subtasks' counters are reported.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);

impl From<TaskEvent> for ToJobManager {
    fn from(event: TaskEvent) -> Self {
        match event {
            TaskEvent::State { attempt, state, failure, committables, metrics } => {
                Self::TaskState { attempt, state, failure, committables, metrics }
            }
            TaskEvent::SplitRequested { attempt, operator, lane } => Self::SplitRequested { attempt, operator, lane },
            TaskEvent::SplitFinished { attempt, operator, split } => Self::SplitFinished { attempt, operator, split },
            TaskEvent::SplitsDiscovered { attempt, operator, splits, complete } => {
                Self::SplitsDiscovered { attempt, operator, splits, complete }
            }
            TaskEvent::Accumulators { attempt, accumulators } => Self::Accumulators { attempt, accumulators },
            TaskEvent::Cut { attempt, cut } => Self::Cut { attempt, cut },
            TaskEvent::StateWritten { attempt, checkpoint, result, timings } => {
                let (file, failure) = match result {
                    Ok(file) => (file, None),
                    Err(failure) => (None, Some(failure)),
                };
                Self::StateWritten { attempt, checkpoint, file, failure, timings }
            }
            TaskEvent::Committed { operator, publication, failure } => {
                Self::Committed { operator, publication, failure }
            }
        }
    }
}

/// Sends reports until the executor is gone or the link has ended.
pub(super) struct Reporter {
    pub(super) events: Receiver<TaskEvent>,
    pub(super) link: LinkSender<ToJobManager>,
    pub(super) executor: Arc<TaskExecutor>,
    /// Subtasks that take longer to stop are named on stderr, once.
    pub(super) cancel_patience: Duration,
}

impl Reporter {
    /// Starts the thread.
    pub(super) fn start(self) -> std::io::Result<()> {
        thread::Builder::new().name("flott-reports".to_owned()).spawn(move || self.run()).map(drop)
    }

    fn run(self) {
        let mut next_metrics = Deadline::after(METRICS_INTERVAL);
        let mut named: Vec<ExecutionAttemptId> = Vec::new();
        loop {
            let sent = match self.events.recv_timeout(next_metrics.remaining()) {
                Ok(event) => self.link.send(event.into()),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    next_metrics = Deadline::after(METRICS_INTERVAL);
                    self.name_overdue(&mut named);
                    self.executor.ask_for_accumulators();
                    self.send_metrics()
                }
            };
            match sent {
                Ok(()) => {}
                // The link tells the main loop how it ended.
                Err(LinkError::Closed(_)) => return,
                // What was reported is lost, so this worker's tasks are beyond the JobManager's knowledge.
                Err(error @ (LinkError::Full | LinkError::Unsendable(_))) => {
                    eprintln!("{error}; the worker ends");
                    std::process::exit(crate::protocol::roles::WORKER_EXIT_UNAVAILABLE);
                }
            }
        }
    }

    fn send_metrics(&self) -> Result<(), LinkError> {
        let tasks = self.executor.metrics();
        if tasks.is_empty() {
            return Ok(());
        }
        let hot_keys = self.executor.hot_keys().into_iter().map(|(attempt, key)| (attempt, key.as_ref().to_owned()));
        self.link.send(ToJobManager::Metrics { tasks, hot_keys: hot_keys.collect() })
    }

    fn name_overdue(&self, named: &mut Vec<ExecutionAttemptId>) {
        for attempt in self.executor.overdue(self.cancel_patience) {
            if !named.contains(&attempt) {
                let seconds = self.cancel_patience.as_secs();
                eprintln!(
                    "subtask {attempt} was cancelled {seconds} s ago and still runs: user code blocks its thread"
                );
                named.push(attempt);
            }
        }
    }
}
