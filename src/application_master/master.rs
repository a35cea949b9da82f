//! The master's side of its link to the ResourceManager, and of requests to nodes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::asks::Asks;
use super::{Ask, Error, Event, Identity};
use crate::ids::ContainerId;
use crate::protocol::application_master::{
    AllocateRequest, AllocateResponse, FinalStatus, Finish, PATH, Register, Registered, ToApplicationMaster,
    ToResourceManager,
};
use crate::protocol::container::{Allocation, LaunchContext};
use crate::protocol::node::{CONTAINERS_PATH, StartContainer, Started, StopContainers};
use crate::resource::Resource;
use crate::rpc::Tls;
use crate::rpc::http::Client;
use crate::rpc::link::{self, LinkEvent, LinkOptions, LinkReceiver, LinkSender, LinkTarget};

/// How long the link may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// How a master can be reached. Empty: it cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// Host it can be reached at.
    pub host: String,
    /// Port of its own protocol; 0 if it has none.
    pub rpc_port: u16,
    /// Its web interface, which the ResourceManager proxies under `/proxy/{application}/`.
    pub tracking_url: String,
}

/// A registered application master.
///
/// One owner drives it: [`next`](Self::next) waits for what is new, everything else returns at once or is a request to a node. Its
/// link lives in tasks of its own, so the ResourceManager knows that the master lives however long its owner is busy; a
/// ResourceManager that restarts is registered at again and told everything that is open, without the owner noticing.
pub struct ApplicationMaster {
    sender: LinkSender<ToResourceManager>,
    events: LinkReceiver<Register, Registered, ToApplicationMaster>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    registered: Registered,
    asks: Asks,
    blacklist: BTreeSet<String>,
    /// Granted, not known to have ended.
    live: BTreeMap<ContainerId, Allocation>,
    /// Given back, not known to have ended.
    releasing: BTreeSet<ContainerId>,
    progress: f32,
    last_response: u64,
    headroom: Resource,
    cluster_nodes: u32,
    news: VecDeque<Event>,
    nodes: BTreeMap<String, Client>,
    tls: Tls,
}

impl ApplicationMaster {
    /// Registers, and waits until the ResourceManager has taken note.
    ///
    /// # Errors
    /// [`Error::Shutdown`] if this attempt is not the current one any more. A ResourceManager that does not answer is tried until it
    /// does.
    pub async fn register(identity: &Identity, registration: Registration) -> Result<Self, Error> {
        let hello = Register {
            attempt: identity.attempt,
            token: identity.token.clone(),
            host: registration.host,
            rpc_port: registration.rpc_port,
            tracking_url: registration.tracking_url,
        };
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let target = LinkTarget::new(identity.resource_manager.as_str(), PATH).with_tls(&identity.tls);
        let options = LinkOptions::new(identity.attempt.to_string());
        let (sender, mut events): (_, LinkReceiver<_, Registered, _>) =
            link::open(&mut tasks, target, &hello, options, stop.clone());
        let registered = loop {
            match events.next().await {
                Some(LinkEvent::Opened { welcome, .. }) => break welcome,
                Some(LinkEvent::Refused(refusal)) => return Err(Error::Shutdown { why: refusal.message }),
                Some(LinkEvent::Message(_) | LinkEvent::Broken { .. }) => {}
                None => return Err(Error::Shutdown { why: "the link has ended".to_owned() }),
            }
        };
        let kept = registered.containers_from_previous_attempts.iter().map(|kept| (kept.container, kept.clone()));
        Ok(Self {
            sender,
            events,
            tasks,
            stop,
            live: kept.collect(),
            registered,
            asks: Asks::default(),
            blacklist: BTreeSet::new(),
            releasing: BTreeSet::new(),
            progress: 0.0,
            last_response: 0,
            headroom: Resource::default(),
            cluster_nodes: 0,
            tls: identity.tls.clone(),
            news: VecDeque::new(),
            nodes: BTreeMap::new(),
        })
    }

    /// The largest container that can be asked for.
    pub fn maximum_capability(&self) -> &Resource {
        &self.registered.maximum_capability
    }

    /// The queue the application runs in.
    pub fn queue(&self) -> &str {
        &self.registered.queue
    }

    /// Containers of the application that live, as far as is known: those kept of earlier attempts, and those granted since.
    pub fn live(&self) -> impl Iterator<Item = &Allocation> {
        self.live.values()
    }

    /// How many containers are asked for and not granted.
    pub fn pending(&self) -> u32 {
        self.asks.pending()
    }

    /// What the application could still get, when that was told last.
    pub fn headroom(&self) -> &Resource {
        &self.headroom
    }

    /// Nodes that could run containers, when that was told last.
    pub fn cluster_nodes(&self) -> u32 {
        self.cluster_nodes
    }

    /// Wants containers. Asks are absolute: one of the same priority and id is replaced, and counts are of what is still wanted,
    /// beside what has been granted.
    ///
    /// # Errors
    /// [`Error::Unsent`]; so for the other calls that return at once.
    pub fn ask(&mut self, ask: Ask) -> Result<(), Error> {
        let asks = self.asks.ask(ask);
        self.allocate(AllocateRequest { asks, ..AllocateRequest::default() })
    }

    /// Gives a container back, started or not. Its completion comes as that of any other.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn release(&mut self, container: ContainerId) -> Result<(), Error> {
        self.releasing.insert(container);
        self.allocate(AllocateRequest { releases: vec![container], ..AllocateRequest::default() })
    }

    /// Hosts (or `/racks`) not to place on from now, and those allowed again.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn blacklist(&mut self, additions: Vec<String>, removals: Vec<String>) -> Result<(), Error> {
        self.blacklist.extend(additions.iter().cloned());
        for removed in &removals {
            self.blacklist.remove(removed);
        }
        let request = AllocateRequest {
            blacklist_additions: additions,
            blacklist_removals: removals,
            ..AllocateRequest::default()
        };
        self.allocate(request)
    }

    /// Says how far the application is, from 0 to 1.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn set_progress(&mut self, progress: f32) -> Result<(), Error> {
        self.progress = progress.clamp(0.0, 1.0);
        self.allocate(AllocateRequest::default())
    }

    /// Waits for what is new. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Shutdown`] if the attempt is over; the master must exit then, without unregistering.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.news.pop_front() {
                return Ok(event);
            }
            let event = self.events.next().await;
            self.heard(event)?;
        }
    }

    /// Takes in what the link brings. Returns whether the application is unregistered.
    fn heard(&mut self, event: Option<LinkEvent<Registered, ToApplicationMaster>>) -> Result<bool, Error> {
        match event {
            Some(LinkEvent::Opened { welcome, resumed }) => {
                debug!(epoch = welcome.epoch, resumed, "registered at the ResourceManager again");
                self.registered = welcome;
                if !resumed {
                    self.say_everything()?;
                }
            }
            Some(LinkEvent::Message(ToApplicationMaster::Allocated(response))) => self.allocated(response)?,
            Some(LinkEvent::Message(ToApplicationMaster::Unregistered)) => return Ok(true),
            Some(LinkEvent::Message(ToApplicationMaster::Shutdown { why })) => return Err(Error::Shutdown { why }),
            Some(LinkEvent::Broken { cause }) => debug!(cause, "the link to the ResourceManager is broken"),
            Some(LinkEvent::Refused(refusal)) => return Err(Error::Shutdown { why: refusal.message }),
            None => return Err(Error::Shutdown { why: "the link has ended".to_owned() }),
        }
        Ok(false)
    }

    /// A ResourceManager that has restarted knows nothing of what was open; on a new link responses count from one.
    fn say_everything(&mut self) -> Result<(), Error> {
        self.last_response = 0;
        self.allocate(AllocateRequest {
            asks: self.asks.rows(),
            releases: self.releasing.iter().copied().collect(),
            blacklist_additions: self.blacklist.iter().cloned().collect(),
            ..AllocateRequest::default()
        })
    }

    fn allocated(&mut self, response: AllocateResponse) -> Result<(), Error> {
        if response.response_id <= self.last_response {
            return Ok(()); // Repeated: our acknowledgement crossed it.
        }
        self.last_response = response.response_id;
        self.headroom = response.headroom;
        self.cluster_nodes = response.cluster_nodes;
        for allocation in response.allocated {
            self.asks.granted(&allocation);
            self.live.insert(allocation.container, allocation.clone());
            self.news.push_back(Event::Granted(Box::new(allocation)));
        }
        for status in response.completed {
            self.releasing.remove(&status.container);
            // One that is told of again has left before.
            if self.live.remove(&status.container).is_some() {
                self.news.push_back(Event::Completed(status));
            }
        }
        self.news.extend(response.updated_nodes.into_iter().map(Event::NodeChanged));
        if !response.pending.is_empty() {
            self.news.push_back(Event::Waiting(response.pending));
        }
        self.news.extend(response.preempting.map(Event::Preempting));
        self.news.extend(response.stop_requested.map(Event::StopRequested));
        self.allocate(AllocateRequest::default())
    }

    fn allocate(&self, request: AllocateRequest) -> Result<(), Error> {
        let request = AllocateRequest { response_id: self.last_response, progress: self.progress, ..request };
        self.send(ToResourceManager::Allocate(request))
    }

    fn send(&self, message: ToResourceManager) -> Result<(), Error> {
        self.sender.send(message).map_err(|error| Error::Unsent { cause: error.to_string() })
    }

    /// Has a granted container's node start it. A node that has just come back, or is not reached, is asked for up to ten seconds.
    ///
    /// # Errors
    /// [`Error::Node`]; the container is still the application's then: try again, or release it.
    pub async fn start(&mut self, container: &Allocation, context: LaunchContext) -> Result<(), Error> {
        let request = StartContainer { token: container.token.clone(), context };
        let node = self.node(&container.node_http_address);
        node.post_when_ready::<_, Started>(CONTAINERS_PATH, &request).await?;
        Ok(())
    }

    /// Has a container stopped by its node. Its completion comes as that of any other.
    ///
    /// # Errors
    /// [`Error::Node`].
    pub async fn stop(&mut self, container: &Allocation) -> Result<(), Error> {
        let request = StopContainers { tokens: vec![container.token.clone()] };
        let node = self.node(&container.node_http_address);
        node.post::<_, serde_json::Value>(&format!("{CONTAINERS_PATH}/stop"), &request).await?;
        Ok(())
    }

    /// A client of a node, which keeps its connection.
    fn node(&mut self, address: &str) -> &Client {
        self.nodes.entry(address.to_owned()).or_insert_with(|| Client::new(address).with_tls(&self.tls))
    }

    /// Unregisters: the application ends so. Returns once that is durable; whatever containers are left are stopped.
    ///
    /// # Errors
    /// [`Error::Shutdown`] if the attempt was over before.
    pub async fn finish(mut self, final_status: FinalStatus, diagnostics: &str) -> Result<(), Error> {
        let goodbye = Finish { final_status, diagnostics: diagnostics.to_owned(), tracking_url: String::new() };
        self.send(ToResourceManager::Finish(goodbye.clone()))?;
        loop {
            let event = self.events.next().await;
            let anew = matches!(event, Some(LinkEvent::Opened { resumed: false, .. }));
            if self.heard(event)? {
                break;
            }
            if anew {
                self.send(ToResourceManager::Finish(goodbye.clone()))?;
            }
        }
        self.stop.cancel();
        // The goodbye is a courtesy: without it the session is forgotten by itself.
        let _ = timeout(GOODBYE, async { while self.tasks.join_next().await.is_some() {} }).await;
        Ok(())
    }
}

impl fmt::Debug for ApplicationMaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplicationMaster")
            .field("queue", &self.registered.queue)
            .field("live", &self.live.len())
            .field("pending", &self.asks.pending())
            .finish_non_exhaustive()
    }
}
