//! The link to the ResourceManager.

use std::cell::RefCell;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Service;
use crate::ids::ApplicationId;
use crate::nodemanager::admission::Registration;
use crate::nodemanager::core::Event;
use crate::nodemanager::error::Error;
use crate::protocol::container::ContainerStatus;
use crate::protocol::node::{PATH, Platform, Register, Registered, ToNode, ToResourceManager};
use crate::rpc::SECRET_HEADER;
use crate::rpc::link::{self, LinkEvent, LinkOptions, LinkReceiver, LinkSender, LinkTarget, Refusal};
use crate::rpc::token::SigningKey;

/// The link, whether or not it is open at the moment.
pub(super) struct ResourceManagerLink {
    address: String,
    sender: LinkSender<ToResourceManager>,
    receiver: LinkReceiver<Register, Registered, ToNode>,
    open: bool,
    /// What would be said at a reconnect; absent if that was never set.
    shown: RefCell<Option<(Vec<ContainerStatus>, Vec<ApplicationId>)>>,
    ended: bool,
}

/// What came by link, understood.
pub(super) enum Seen {
    Registered {
        registration: Registration,
        resumed: bool,
    },
    Event(Event),
    /// The ResourceManager does not want this node (any more).
    Unwanted(Error, String),
    Nothing,
}

impl ResourceManagerLink {
    /// Begins to connect, and never stops trying.
    pub(super) fn open(tasks: &mut JoinSet<()>, service: &Service, cancel: CancellationToken) -> Self {
        let config = &service.config;
        let mut target = LinkTarget::new(config.resource_manager.clone(), PATH).with_tls(&config.security.tls);
        if let Some(secret) = &config.secret {
            target = target.with_header(SECRET_HEADER, secret.reveal());
        }
        let mut options = LinkOptions::new(format!("node {}", service.node));
        options.heartbeat = config.heartbeat;
        options.frozen_after = config.frozen_after;
        let (sender, receiver) = link::open(tasks, target, &hello(service), options, cancel);
        let address = config.resource_manager.clone();
        Self { address, sender, receiver, open: false, shown: RefCell::new(None), ended: false }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// What comes next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Seen {
        if self.ended {
            return std::future::pending().await;
        }
        match self.receiver.next().await {
            Some(LinkEvent::Opened { welcome, resumed }) => self.opened(welcome, resumed),
            Some(LinkEvent::Message(message)) => self.said(message),
            Some(LinkEvent::Broken { cause }) => {
                self.open = false;
                tracing::warn!(address = self.address, cause, "no link to the ResourceManager; containers run on");
                Seen::Nothing
            }
            Some(LinkEvent::Refused(refusal)) => self.unwanted(refusal),
            None => {
                self.open = false;
                self.ended = true;
                Seen::Nothing
            }
        }
    }

    fn opened(&mut self, welcome: Registered, resumed: bool) -> Seen {
        let Ok(key) = SigningKey::from_hex(&welcome.container_token_key) else {
            let what = "the key it sent is none; both must be of the same flott version";
            return self.unwanted(Refusal::new(Refusal::MALFORMED, what));
        };
        self.open = true;
        let Registered { resource_manager, epoch, .. } = welcome;
        tracing::info!(address = self.address, resource_manager, epoch, resumed, "registered with the ResourceManager");
        Seen::Registered { registration: Registration { resource_manager, epoch, key }, resumed }
    }

    fn said(&self, message: ToNode) -> Seen {
        Seen::Event(match message {
            ToNode::StartContainer(start) => Event::Start { request: None, start },
            ToNode::StopContainers { containers, cause } => Event::Stop { containers, cause },
            ToNode::ApplicationsFinished { applications } => Event::ApplicationsFinished(applications),
            ToNode::CompletionsAcknowledged { containers } => Event::CompletionsAcknowledged(containers),
            ToNode::Shutdown { why } => {
                let refusal = Refusal::new(Refusal::CLOSED, why.clone());
                return Seen::Unwanted(Error::Refused { address: self.address.clone(), refusal }, why);
            }
        })
    }

    fn unwanted(&mut self, refusal: Refusal) -> Seen {
        self.open = false;
        let why = format!("the ResourceManager refused this node: {refusal}");
        Seen::Unwanted(Error::Refused { address: self.address.clone(), refusal }, why)
    }

    pub(super) fn report(&self, containers: Vec<ContainerStatus>) {
        if !containers.is_empty() {
            self.send(ToResourceManager::ContainersChanged { containers });
        }
    }

    pub(super) fn health(&self, report: String) {
        self.send(ToResourceManager::Health { healthy: report.is_empty(), report });
    }

    pub(super) fn utilization(&self, node_memory_mb: u64, containers_memory_mb: u64) {
        self.send(ToResourceManager::Utilization { node_memory_mb, containers_memory_mb });
    }

    pub(super) fn unregister(&self) {
        self.send(ToResourceManager::Unregister);
    }

    fn send(&self, message: ToResourceManager) {
        // Full or ended: the session is given up, and the next registration says everything again.
        if let Err(error) = self.sender.send(message) {
            tracing::debug!(%error, "a message to the ResourceManager was dropped");
        }
    }

    /// Keeps what would be said at a reconnect up to date, and tells health when it changed.
    pub(super) fn show(&self, service: &Service) {
        let shows = (service.core.statuses(), service.core.application_ids());
        if self.shown.borrow().as_ref() != Some(&shows) {
            self.receiver.set_hello(&hello(service));
            *self.shown.borrow_mut() = Some(shows);
        }
    }
}

fn hello(service: &Service) -> Register {
    let platform = &service.platform;
    Register {
        node: service.node.clone(),
        http_address: service.node.to_string(),
        capability: service.capability(),
        rack: service.config.rack.clone(),
        label: service.config.label.clone(),
        incarnation: service.incarnation,
        containers: service.core.statuses(),
        applications: service.core.application_ids(),
        platform: Platform {
            architecture: platform.architecture.clone(),
            glibc: platform.glibc.map(|version| version.to_string()),
        },
        secret: service.config.secret.as_ref().map(|secret| secret.reveal().to_owned()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
