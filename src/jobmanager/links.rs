//! The links of TaskManagers and workers: who may come in, who said what, who is gone.

use std::time::Duration;

use axum::Router;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::core::Core;
use super::event::Event;
use super::peers::Peers;
use crate::ids::{TaskManagerId, WorkerId};
use crate::protocol::{task_manager, worker};
use crate::rpc::ClusterSecret;
use crate::rpc::link::{Acceptor, LinkOptions, PeerEvent, PeerEvents, Refusal, acceptor};

/// What comes in from TaskManagers and workers.
pub(super) enum LinkInput {
    TaskManager(TaskManagerEvent),
    Worker(WorkerEvent),
}

type TaskManagerEvent = PeerEvent<
    task_manager::Register,
    task_manager::Registered,
    task_manager::ToJobManager,
    task_manager::ToTaskManager,
>;
type WorkerEvent = PeerEvent<worker::Register, worker::Registered, worker::ToJobManager, worker::ToWorker>;

/// How long what is queued may take to leave at the end.
const CLOSING: Duration = Duration::from_secs(1);

/// All links of a JobManager.
pub(super) struct Links {
    task_manager_route: Acceptor,
    task_manager_events: PeerEvents<
        task_manager::Register,
        task_manager::Registered,
        task_manager::ToJobManager,
        task_manager::ToTaskManager,
    >,
    task_managers: Peers<TaskManagerId, task_manager::ToTaskManager>,
    worker_route: Acceptor,
    worker_events: PeerEvents<worker::Register, worker::Registered, worker::ToJobManager, worker::ToWorker>,
    workers: Peers<WorkerId, worker::ToWorker>,
    task_manager_secret: Option<ClusterSecret>,
    worker_secret: String,
    attempt: u32,
    tasks: JoinSet<()>,
    cancel: CancellationToken,
}

impl Links {
    pub(super) fn new(
        options: &LinkOptions,
        lost_after: Duration,
        task_manager_secret: Option<ClusterSecret>,
        worker_secret: String,
        attempt: u32,
    ) -> Self {
        let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
        // A peer that is away for longer registers anew.
        let options = LinkOptions { session_kept: lost_after, ..options.clone() };
        let (task_manager_route, task_manager_events) = acceptor(&mut tasks, options.clone(), cancel.child_token());
        let (worker_route, worker_events) = acceptor(&mut tasks, options, cancel.child_token());
        Self {
            task_manager_route,
            task_manager_events,
            task_managers: Peers::new(),
            worker_route,
            worker_events,
            workers: Peers::new(),
            task_manager_secret,
            worker_secret,
            attempt,
            tasks,
            cancel,
        }
    }

    pub(super) fn router(&self) -> Router {
        Router::new()
            .route(task_manager::PATH, self.task_manager_route.route())
            .route(worker::PATH, self.worker_route.route())
    }

    /// Where further links of this process run.
    pub(super) fn tasks(&mut self) -> (&mut JoinSet<()>, CancellationToken) {
        (&mut self.tasks, self.cancel.child_token())
    }

    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> LinkInput {
        tokio::select! {
            biased;
            Some(event) = self.task_manager_events.recv() => LinkInput::TaskManager(event),
            Some(event) = self.worker_events.recv() => LinkInput::Worker(event),
            else => std::future::pending().await,
        }
    }

    /// Judges what comes in; what concerns the core becomes an event.
    pub(super) fn admit(&mut self, input: LinkInput, core: &Core) -> Option<Event> {
        match input {
            LinkInput::TaskManager(event) => self.admit_task_manager(event),
            LinkInput::Worker(event) => self.admit_worker(event, core),
        }
    }

    fn admit_task_manager(&mut self, event: TaskManagerEvent) -> Option<Event> {
        match event {
            PeerEvent::Hello { peer, hello, resumed, answer } => {
                let shown = hello.secret.as_deref().unwrap_or_default();
                if self.task_manager_secret.as_ref().is_some_and(|secret| !secret.matches(shown)) {
                    let message = "the TaskManager shows another secret; set cluster.secret as at the JobManager";
                    warn!(task_manager = %hello.task_manager, "TaskManager refused: wrong secret");
                    answer.refuse(Refusal::new(task_manager::WRONG_SECRET, message));
                    return None;
                }
                let id = hello.task_manager.clone();
                let known = self.task_managers.key(peer) == Some(&id);
                let sender = answer.accept(task_manager::Registered { attempt: self.attempt });
                if resumed && known {
                    return Some(Event::TaskManagerBack { task_manager: id });
                }
                info!(task_manager = %id, host = %hello.host, slots = hello.slots, "TaskManager registered");
                self.task_managers.insert(id, peer, sender);
                Some(Event::TaskManagerRegistered(Box::new(hello)))
            }
            PeerEvent::Message { peer, message } => {
                let task_manager = self.task_managers.key(peer)?.clone();
                Some(Event::TaskManager { task_manager, message })
            }
            PeerEvent::Broken { peer, cause, resumable } => {
                let task_manager = self.task_managers.key(peer)?.clone();
                debug!(%task_manager, %cause, resumable, "link to a TaskManager broken");
                let why = format!("its link broke: {cause}");
                if resumable {
                    return Some(Event::TaskManagerAway { task_manager, why });
                }
                self.task_managers.remove_peer(peer);
                Some(Event::TaskManagerLost { task_manager, why })
            }
        }
    }

    fn admit_worker(&mut self, event: WorkerEvent, core: &Core) -> Option<Event> {
        match event {
            PeerEvent::Hello { peer, hello, resumed: _, answer } => {
                let secret = ClusterSecret::new(&self.worker_secret);
                if secret.is_some_and(|secret| !secret.matches(&hello.secret)) {
                    answer.refuse(Refusal::new("secret", "the worker shows another secret"));
                    return None;
                }
                if !core.admits(&hello.worker) {
                    debug!(worker = %hello.worker, "worker refused: it has been replaced");
                    answer.refuse(Refusal::new("fenced", "this worker has been replaced or its job has ended"));
                    return None;
                }
                let sender = answer.accept(worker::Registered { attempt: self.attempt });
                self.workers.insert(hello.worker.clone(), peer, sender);
                Some(Event::WorkerRegistered(hello))
            }
            PeerEvent::Message { peer, message } => {
                let worker = self.workers.key(peer)?.clone();
                Some(Event::Worker { worker, message })
            }
            // A worker does not come back: what its tasks sent and received meanwhile is not known.
            PeerEvent::Broken { peer, cause, resumable: _ } => {
                let worker = self.workers.remove_peer(peer)?;
                Some(Event::WorkerLost { worker, why: cause })
            }
        }
    }

    pub(super) fn to_task_manager(&self, task_manager: &TaskManagerId, message: task_manager::ToTaskManager) {
        self.task_managers.send(task_manager, message);
    }

    pub(super) fn to_worker(&self, worker: &WorkerId, message: worker::ToWorker) {
        self.workers.send(worker, message);
    }

    pub(super) fn task_manager_ids(&self) -> Vec<TaskManagerId> {
        self.task_managers.keys().cloned().collect()
    }

    /// Forgets a TaskManager. `fenced`: it may not come back, and is told so if it tries.
    pub(super) fn drop_task_manager(&mut self, task_manager: &TaskManagerId, why: &str, fenced: bool) {
        let refusal =
            fenced.then(|| Refusal::new("fenced", format!("the JobManager has given this TaskManager up: {why}")));
        self.task_managers.remove(task_manager, refusal);
    }

    /// Sends what is queued and closes all links.
    pub(super) async fn close(mut self) {
        self.cancel.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSING * 2, all).await.is_err() {
            warn!("links did not close in time");
            self.tasks.shutdown().await;
        }
    }
}
