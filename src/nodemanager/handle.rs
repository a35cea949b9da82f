//! How others ask a NodeManager.

use axum::Router;
use tokio::sync::{mpsc, oneshot};

use super::directories::Directories;
use super::error::Refused;
use crate::ids::{ApplicationId, ContainerId, NodeId};
use crate::process::Identity;
use crate::protocol::container::Exit;
use crate::protocol::node::{StartContainer, Started, StopContainers};
use crate::resource::Resource;
use crate::time::Now;

/// Requests that wait. When full, more are refused with [`Refused::Busy`].
pub(super) const REQUESTS_LEN_MAX: usize = 1024;

/// A request to the service. Its answer may find nobody waiting any more; that is fine.
pub(super) enum Request {
    Start(StartContainer, oneshot::Sender<Result<Vec<ContainerId>, Refused>>),
    Stop(StopContainers, oneshot::Sender<Result<Vec<ContainerId>, Refused>>),
    View(oneshot::Sender<NodeView>),
}

/// Asks a running NodeManager. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) directories: Directories,
    pub(super) node: NodeId,
    pub(super) scheme: &'static str,
}

impl Handle {
    /// The node.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Starts a container. Returned means: durable here and being localised.
    ///
    /// # Errors
    /// [`Refused`] says why not.
    pub async fn start(&self, start: StartContainer) -> Result<Started, Refused> {
        let containers = self.ask(|answer| Request::Start(start, answer)).await??;
        containers.into_iter().next().map(|container| Started { container }).ok_or(Refused::Busy)
    }

    /// Begins the end of containers; returns those it concerns.
    ///
    /// # Errors
    /// [`Refused`] if one of the tokens is not sound; nothing is stopped then.
    pub async fn stop(&self, stop: StopContainers) -> Result<Vec<ContainerId>, Refused> {
        self.ask(|answer| Request::Stop(stop, answer)).await?
    }

    /// The node as it stands.
    ///
    /// # Errors
    /// [`Refused::Busy`] if the service is overrun or has ended.
    pub async fn view(&self) -> Result<NodeView, Refused> {
        self.ask(Request::View).await
    }

    /// Where a container's logs are, or were.
    pub fn logs_of(&self, container: ContainerId) -> std::path::PathBuf {
        self.directories.logs_of(container)
    }

    /// Endpoints of links: a NodeManager opens its links and accepts none.
    pub fn links(&self) -> Router {
        Router::new()
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Refused> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(request(answer)).map_err(|_| Refused::Busy)?;
        answered.await.map_err(|_| Refused::Busy)
    }
}

/// A node at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    /// The node.
    pub node: NodeId,
    /// What it offers.
    pub capability: Resource,
    /// When this NodeManager started.
    pub started_at: Now,
    /// Counts its starts.
    pub incarnation: u64,
    /// Why it is unfit; empty if it is fit.
    pub health_report: String,
    /// When its health was looked at last.
    pub health_checked_at: Now,
    /// Whether the link to the ResourceManager is open.
    pub connected: bool,
    /// Applications with directories here.
    pub applications: Vec<ApplicationView>,
    /// Containers not yet forgotten.
    pub containers: Vec<ContainerView>,
}

/// An application on a node.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplicationView {
    /// The application.
    pub application: ApplicationId,
    /// Who submitted it.
    pub user: String,
    /// YARN's name for its state on a node.
    pub state: &'static str,
}

/// A container on a node.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerView {
    /// The container.
    pub container: ContainerId,
    /// Whose it is.
    pub user: String,
    /// YARN's name for its state on a node.
    pub state: &'static str,
    /// What it was granted.
    pub resource: Resource,
    /// When it was taken.
    pub accepted_at: Now,
    /// The leader of its processes.
    pub process: Option<Identity>,
    /// Memory used, in bytes, when last measured.
    pub rss_bytes: u64,
    /// The most memory it was seen to use, in MiB.
    pub peak_mb: u64,
    /// How it ended.
    pub exit: Option<Exit>,
}
