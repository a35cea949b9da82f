//! The link to the JobManager.

use std::cell::RefCell;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Service;
use crate::ids::WorkerId;
use crate::protocol::task_manager::{PATH, Register, Registered, ToJobManager, ToTaskManager, WRONG_SECRET};
use crate::rpc::SECRET_HEADER;
use crate::rpc::link::{self, LinkEvent, LinkOptions, LinkReceiver, LinkSender, LinkTarget, Refusal};
use crate::taskmanager::core::Event;
use crate::taskmanager::error::Error;

/// The link, whether or not it is open at the moment.
pub(super) struct JobManagerLink {
    address: String,
    sender: LinkSender<ToJobManager>,
    receiver: LinkReceiver<Register, Registered, ToTaskManager>,
    /// Workers that a reconnect would name.
    shown: RefCell<Vec<WorkerId>>,
    ended: bool,
    /// Whether another JobManager may come elsewhere.
    has_successors: bool,
    /// Ends it when it is dropped.
    _stop: DropGuard,
}

/// What came by link, understood.
pub(super) enum Seen {
    Event(Event),
    Refused(Error),
    Nothing,
}

impl JobManagerLink {
    /// Begins to connect, and never stops trying: the core's patience decides.
    pub(super) fn open(tasks: &mut JoinSet<()>, service: &Service, cancel: CancellationToken) -> Self {
        let settings = &service.settings;
        let address = settings.job_manager.clone();
        let mut target = LinkTarget::new(address.clone(), PATH).with_tls(&settings.tls);
        if let Some(secret) = &settings.secret {
            target = target.with_header(SECRET_HEADER, secret.clone());
        }
        let mut options = LinkOptions::new(format!("TaskManager {}", settings.id));
        options.heartbeat = settings.heartbeat;
        options.frozen_after = settings.frozen_after;
        let (sender, receiver) = link::open(tasks, target, &hello(service), options, cancel.clone());
        let has_successors = settings.leaders.is_some();
        let shown = RefCell::new(service.core.worker_ids());
        Self { address, sender, receiver, shown, ended: false, has_successors, _stop: cancel.drop_guard() }
    }

    /// What comes next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Seen {
        if self.ended {
            return std::future::pending().await;
        }
        match self.receiver.next().await {
            Some(LinkEvent::Opened { welcome: Registered { attempt }, resumed }) => {
                tracing::info!(address = self.address, attempt, resumed, "registered with the JobManager");
                Seen::Event(Event::LinkOpened)
            }
            Some(LinkEvent::Message(message)) => Seen::Event(understood(message)),
            Some(LinkEvent::Broken { cause }) => {
                tracing::warn!(address = self.address, cause, "no link to the JobManager");
                Seen::Event(Event::LinkBroken)
            }
            // Its port is somebody else's by now.
            Some(LinkEvent::Refused(refusal)) if self.has_successors && is_a_stranger(&refusal) => {
                tracing::warn!(address = self.address, %refusal, "the JobManager is gone");
                Seen::Event(Event::LinkBroken)
            }
            Some(LinkEvent::Refused(refusal)) => {
                Seen::Refused(Error::Refused { address: self.address.clone(), refusal })
            }
            None => {
                self.ended = true;
                Seen::Nothing
            }
        }
    }

    pub(super) fn report(&self, message: ToJobManager) {
        // Full or ended: the session is given up, and the next registration says which workers live.
        if let Err(error) = self.sender.send(message) {
            tracing::debug!(%error, "a message to the JobManager was dropped");
        }
    }

    /// Keeps what would be said at a reconnect up to date.
    pub(super) fn show(&self, service: &Service) {
        let workers = service.core.worker_ids();
        if *self.shown.borrow() != workers {
            self.receiver.set_hello(&hello(service));
            *self.shown.borrow_mut() = workers;
        }
    }
}

/// Whether who answers is no JobManager, or not that of this application.
fn is_a_stranger(refusal: &Refusal) -> bool {
    [Refusal::HTTP, WRONG_SECRET].contains(&refusal.code.as_str())
}

fn understood(message: ToTaskManager) -> Event {
    match message {
        ToTaskManager::StartWorker(start) => Event::StartWorker(start),
        ToTaskManager::StopWorker { worker, grace_ms } => {
            Event::StopWorker { worker, grace: Duration::from_millis(grace_ms) }
        }
        ToTaskManager::JobEnded { job } => Event::JobEnded { job },
        ToTaskManager::Shutdown { why } => Event::Leave { why },
    }
}

fn hello(service: &Service) -> Register {
    let settings = &service.settings;
    let cores = available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    Register {
        task_manager: settings.id.clone(),
        container: settings.container,
        host: settings.host.clone(),
        http_address: format!("{}:{}", settings.host, settings.http_port),
        slots: settings.slots,
        memory: settings.memory,
        cores,
        pid: std::process::id(),
        secret: settings.secret.clone(),
        workers: service.core.worker_ids(),
    }
}
