//! The subtasks of a process, a thread each. Flink's `TaskExecutor`, without its process.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::build::Blueprint;
use super::counters::Counters;
use super::driver::{self, Driver};
use super::enumerator::{Enumeration, Enumerator};
use super::event::TaskEvent;
use super::mailbox::{Mail, Mailbox};
use super::panics;
use super::ports::Connect;
use super::snapshots::Snapshots;
use super::subtask::Outcome;
use crate::engine::operators::{ErasedSink, ProgramCode};
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Committable, Failure, TaskDeployment, TaskMetrics};
use crate::ids::ExecutionAttemptId;
use crate::telemetry::log_as;
use crate::time::{Clock, Deadline, Now};

/// Owns the threads of a process's subtasks. Shared by reference; no method waits for a subtask, except
/// [`TaskExecutor::cancel_all`].
///
/// Reports go into the bounded channel given at construction; when it is full, subtasks wait. So whoever empties it must never
/// wait for a subtask.
pub struct TaskExecutor {
    blueprint: Arc<Blueprint>,
    connect: Arc<dyn Connect>,
    clock: Arc<dyn Clock>,
    events: Events,
    snapshots: Snapshots,
    tasks: Arc<Tasks>,
}

/// The sending side of the reports.
#[derive(Clone)]
pub(super) struct Events(Sender<TaskEvent>);

impl Events {
    pub(super) fn send(&self, event: TaskEvent) {
        // Nobody listens any more: the process is about to end, and reports are for its sake.
        let _ = self.0.send(event);
    }
}

/// What has a thread.
#[derive(Default)]
struct Tasks {
    alive: Mutex<Alive>,
    ended: Condvar,
    /// Held while something is published or removed.
    sinks: Mutex<()>,
}

#[derive(Default)]
struct Alive {
    running: BTreeMap<ExecutionAttemptId, Running>,
    /// Commits and discards under way.
    beside: usize,
}

/// A subtask with a thread.
struct Running {
    mailbox: Arc<Mailbox>,
    counters: Arc<Counters>,
    cancelled_at: Option<Now>,
    _enumerator: Option<Enumerator>,
}

impl TaskExecutor {
    /// Without subtasks.
    pub fn new(
        blueprint: Blueprint,
        connect: Arc<dyn Connect>,
        clock: Arc<dyn Clock>,
        events: Sender<TaskEvent>,
    ) -> Self {
        let events = Events(events);
        let snapshots = Snapshots::start(Arc::clone(&blueprint.storage), events.clone());
        Self { blueprint: Arc::new(blueprint), connect, clock, events, snapshots, tasks: Arc::default() }
    }

    /// Connects these subtasks, then starts them. What goes wrong is reported as their failure.
    ///
    /// # Errors
    /// Those for which the machine had no thread, with the failure. They are not reported elsewhere: the caller may be the one
    /// who empties the channel.
    pub fn deploy(&self, tasks: Vec<TaskDeployment>) -> Result<(), Vec<(ExecutionAttemptId, Failure)>> {
        let drivers: Vec<Driver> = tasks.into_iter().map(|task| self.connect(task)).collect();
        let refused: Vec<_> = drivers
            .into_iter()
            .filter_map(|driver| {
                let attempt = driver.task.attempt;
                self.start(driver).err().map(|failure| (attempt, failure))
            })
            .collect();
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }

    /// Gives a subtask mail. One that has ended needs none.
    pub fn mail(&self, attempt: ExecutionAttemptId, mail: Mail) {
        let mut alive = self.tasks.lock();
        if let Some(task) = alive.running.get_mut(&attempt) {
            if mail == Mail::Cancel {
                task.cancelled_at.get_or_insert_with(|| self.clock.now());
            }
            task.mailbox.deliver(mail);
        }
    }

    /// Counters of the subtasks that run.
    pub fn metrics(&self) -> Vec<(ExecutionAttemptId, TaskMetrics)> {
        let now = self.clock.now();
        self.tasks.lock().running.iter().map(|(attempt, task)| (*attempt, task.counters.read_at(now))).collect()
    }

    /// Of the subtasks that get one key again and again, which.
    pub fn hot_keys(&self) -> Vec<(ExecutionAttemptId, Arc<str>)> {
        let alive = self.tasks.lock();
        let named = alive.running.iter().filter_map(|(attempt, task)| Some((*attempt, task.counters.hot_key()?)));
        named.collect()
    }

    /// Has the subtasks that run, and have accumulators, report what is new in them.
    pub fn ask_for_accumulators(&self) {
        let alive = self.tasks.lock();
        let counting = alive.running.values().filter(|task| task.counters.has_accumulators());
        counting.for_each(|task| task.mailbox.deliver(Mail::ReportAccumulators));
    }

    /// Subtasks that were cancelled longer than `grace` ago and run still: user code that blocks. Only the end of the process
    /// ends them.
    pub fn overdue(&self, grace: Duration) -> Vec<ExecutionAttemptId> {
        let now = self.clock.now();
        let alive = self.tasks.lock();
        let overdue =
            alive.running.iter().filter(|(_, task)| task.cancelled_at.is_some_and(|at| now.since(at) > grace));
        overdue.map(|(attempt, _)| *attempt).collect()
    }

    /// Publishes what a sink's subtasks prepared, on a thread of its own; the answer is [`TaskEvent::Committed`].
    pub fn commit(&self, operator: NodeIndex, committables: Vec<Committable>, publication: u64) {
        let (events, sink) = (self.events.clone(), self.sink(operator));
        let report = move |result: Result<(), Failure>| {
            events.send(TaskEvent::Committed { operator, publication, failure: result.err() });
        };
        let payloads = committables.into_iter().map(|committable| committable.payload).collect();
        self.beside("commit", sink, move |sink| sink.commit(payloads), report);
    }

    /// Removes what a sink's subtasks prepared and will never publish, on a thread of its own.
    pub fn discard(&self, operator: NodeIndex, committables: Vec<Committable>) {
        let report = move |result: Result<(), Failure>| {
            if let Err(failure) = result {
                tracing::warn!(%operator, %failure, "prepared output was not removed");
            }
        };
        let payloads = committables.into_iter().map(|committable| committable.payload).collect();
        self.beside("discard", self.sink(operator), move |sink| sink.discard(payloads), report);
    }

    /// Cancels every subtask and waits until they have ended and nothing is being published or removed, at most for `grace`.
    ///
    /// # Errors
    /// Those that run still.
    pub fn cancel_all(&self, grace: Duration) -> Result<(), Vec<ExecutionAttemptId>> {
        let attempts: Vec<_> = self.tasks.lock().running.keys().copied().collect();
        for attempt in attempts {
            self.mail(attempt, Mail::Cancel);
        }
        let deadline = Deadline::after(grace);
        let mut alive = self.tasks.lock();
        while !alive.is_idle() && !deadline.passed() {
            let waited = self.tasks.ended.wait_timeout(alive, deadline.remaining());
            (alive, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if alive.is_idle() { Ok(()) } else { Err(alive.running.keys().copied().collect()) }
    }

    fn connect(&self, task: TaskDeployment) -> Driver {
        let mailbox = Arc::new(Mailbox::default());
        let connections = self.blueprint.connect(&task, self.connect.as_ref(), &mailbox);
        Driver {
            task,
            blueprint: Arc::clone(&self.blueprint),
            connections,
            mailbox,
            counters: Arc::default(),
            clock: Arc::clone(&self.clock),
            events: self.events.clone(),
            snapshots: self.snapshots.clone(),
        }
    }

    fn start(&self, driver: Driver) -> Result<(), Failure> {
        let (attempt, tasks, events) = (driver.task.attempt, Arc::clone(&self.tasks), self.events.clone());
        let (counters, connect) = (Arc::clone(&driver.counters), Arc::clone(&self.connect));
        let task = Running {
            mailbox: Arc::clone(&driver.mailbox),
            counters: Arc::clone(&driver.counters),
            cancelled_at: None,
            _enumerator: self.enumerator(&driver)?,
        };
        let TaskDeployment { name, parallelism, .. } = &driver.task;
        let name = format!("{name} ({}/{parallelism})", attempt.subtask + 1).replace('\0', " ");
        // Entered before the thread runs, so that it finds itself there when it ends.
        self.tasks.lock().running.insert(attempt, task);
        let spawned = thread::Builder::new().name(name).spawn(move || {
            // Whatever is logged here, by us or by the user's functions, says of which task it is.
            let ExecutionAttemptId { vertex, subtask, attempt: number } = attempt;
            log_as(format_args!("vertex={vertex} subtask={subtask} attempt={number}"));
            tracing::info!("begins");
            let outcome = panics::catch(|| driver.run()).unwrap_or_else(|told| Outcome::Failed(Failure::user(told)));
            match &outcome {
                Outcome::Failed(failure) => tracing::warn!(%failure, "has failed"),
                Outcome::Finished(_) => tracing::info!("is done"),
                Outcome::Canceled => tracing::info!("was stopped"),
            }
            connect.release(attempt);
            tasks.remove(attempt);
            events.send(driver::terminal(attempt, outcome, &counters));
        });
        spawned.map(drop).map_err(|error| {
            self.connect.release(attempt);
            self.tasks.remove(attempt);
            no_thread(&error)
        })
    }

    /// The enumerator of a source at the head of subtask 0.
    fn enumerator(&self, driver: &Driver) -> Result<Option<Enumerator>, Failure> {
        let head = driver.task.operators.first().copied();
        let (0, Some(operator)) = (driver.task.attempt.subtask, head) else {
            return Ok(None);
        };
        let ProgramCode::Source(source) = &self.blueprint.code(operator)?.code else {
            return Ok(None);
        };
        let enumeration = Enumeration {
            source: Arc::clone(source),
            operator,
            context: self.blueprint.operator_context(&driver.task, operator)?,
            events: self.events.clone(),
            mailbox: Arc::clone(&driver.mailbox),
        };
        Enumerator::start(enumeration).map(Some).map_err(|error| no_thread(&error))
    }

    /// Runs what a sink does once for the whole job on a thread of its own. A job has few sinks, and each is asked once, so
    /// these threads need no queue.
    fn beside(
        &self,
        what: &str,
        sink: Result<Arc<dyn ErasedSink>, Failure>,
        work: impl FnOnce(&dyn ErasedSink) -> Result<(), Failure> + Send + 'static,
        report: impl FnOnce(Result<(), Failure>) + Send + 'static,
    ) {
        let tasks = Arc::clone(&self.tasks);
        let work = move || {
            // One at a time: what is asked twice must find the first one done, not under way.
            let turn = tasks.sinks.lock().unwrap_or_else(PoisonError::into_inner);
            let result = sink.and_then(|sink| panics::catch(|| work(sink.as_ref())).map_err(Failure::user)?);
            drop(turn);
            report(result);
            tasks.end_beside();
        };
        self.tasks.lock().beside += 1;
        if let Err(error) = thread::Builder::new().name(what.to_owned()).spawn(work) {
            self.tasks.end_beside();
            // Without an answer the job keeps waiting, and asks again after a restart.
            tracing::error!(%error, what, "no thread for a sink's output");
        }
    }

    fn sink(&self, operator: NodeIndex) -> Result<Arc<dyn ErasedSink>, Failure> {
        match &self.blueprint.code(operator)?.code {
            ProgramCode::Sink(sink) => Ok(Arc::clone(sink)),
            ProgramCode::Source(_) | ProgramCode::Operator(_) => {
                Err(Failure::permanent(format!("operator {operator} is no sink")))
            }
        }
    }
}

impl Alive {
    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.beside == 0
    }
}

impl Tasks {
    fn end_beside(&self) {
        self.lock().beside -= 1;
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Alive> {
        // Held for single map operations, none of which leaves the map half changed.
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, attempt: ExecutionAttemptId) {
        let task = self.lock().running.remove(&attempt);
        self.ended.notify_all();
        drop(task);
    }
}

fn no_thread(error: &std::io::Error) -> Failure {
    Failure::transient(format!("{}: cannot start a thread for the task", crate::rpc::io_cause(error)))
}
