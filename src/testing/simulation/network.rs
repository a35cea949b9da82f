//! Links and HTTP requests between simulated processes, with the promises of [`crate::rpc::link`] and no more.
//!
//! A link outlives its connections. Each direction is a lane: what is sent stays there, in order, until it is delivered; a
//! broken connection stops deliveries, and a resumed one goes on where they stopped. A process at the accepting end that does
//! not know the session says `resumed: false`, and what was in the lanes is gone.

mod breaks;
mod http;
mod progress;

use std::collections::{BTreeMap, VecDeque};

use super::job_manager::LOST_AFTER;
use super::messages::{Answer, Hello, LinkEvent, Message, Request, Welcome};
use super::world::{Happening, Input, Pid, World};
use crate::time::Now;

/// Names a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkId(u64);

/// Names an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HttpId(pub(super) u64);

/// Where a hello came in; to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) link: LinkId,
    connection: u64,
}

const RECONNECT_FIRST_MS: u64 = 20;
const RECONNECT_MAX_MS: u64 = 1_000;
/// How long the ResourceManager remembers a session without connection.
const SESSION_KEPT_MS: u64 = 60_000;
/// How long an HTTP request waits for a host that does not answer.
const HTTP_TIMEOUT_MS: u64 = 5_000;

/// All links and requests under way.
#[derive(Default)]
pub(super) struct Net {
    last_id: u64,
    links: BTreeMap<LinkId, Link>,
    requests: BTreeMap<HttpId, (Pid, String, Option<Pid>)>,
    listeners: BTreeMap<String, Pid>,
    /// Hosts that nobody else reaches before this moment.
    isolated: BTreeMap<String, Now>,
    /// Answers to the next requests get lost.
    pub(super) answers_to_lose: u32,
    /// Planted: what was in the lanes when a connection broke is lost although the session is resumed.
    pub(super) forgets_on_resume: bool,
}

struct Link {
    client: Pid,
    client_host: String,
    address: String,
    hello: Hello,
    give_up_after_ms: Option<u64>,
    /// Who knows the session.
    server: Option<Pid>,
    /// The server that the client knows to have accepted it last.
    accepted_by: Option<Pid>,
    /// Grows with each connection and each break: what belongs to an older one is void.
    connection: u64,
    resuming: bool,
    client_up: bool,
    server_up: bool,
    client_told: bool,
    server_told: bool,
    down_since: Now,
    server_down_since: Now,
    pause_ms: u64,
    cut_until: Now,
    /// The client has said goodbye, or is gone.
    leaving: bool,
    to_server: Lane,
    to_client: Lane,
}

#[derive(Default)]
struct Lane {
    queue: VecDeque<Item>,
    last_at: Now,
}

/// What lies in a lane.
enum Item {
    Message(Box<Message>),
    /// The process at the other end is gone.
    End,
    Goodbye,
    Refuse(&'static str),
}

/// A side of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// What happens in the network.
#[derive(Debug)]
pub(super) enum NetEvent {
    Connect(LinkId),
    HelloArrives(LinkId, u64),
    AttemptFailed(LinkId, u64),
    Accepted(LinkId, u64, Box<Welcome>),
    Refused(LinkId, u64, &'static str),
    Deliver(LinkId, u64, Side),
    Noticed(LinkId, u64, Side),
    RequestArrives(HttpId, Box<Request>),
    AnswerArrives(HttpId, Box<Result<Answer, String>>),
}

/// Which links there are, for faults.
pub(super) struct LinkEnds {
    pub(super) link: LinkId,
    pub(super) client: Pid,
    pub(super) server: Pid,
}

impl Net {
    pub(super) fn listen(&mut self, address: impl Into<String>, pid: Pid) {
        self.listeners.insert(address.into(), pid);
    }

    /// What the client of a link says at its next reconnect.
    pub(super) fn set_hello(&mut self, link: LinkId, hello: Hello) {
        if let Some(link) = self.links.get_mut(&link) {
            link.hello = hello;
        }
    }

    /// Links that are up.
    pub(super) fn established(&self) -> Vec<LinkEnds> {
        let up = self.links.iter().filter(|(_, link)| link.client_up && link.server_up && !link.leaving);
        up.filter_map(|(id, link)| Some(LinkEnds { link: *id, client: link.client, server: link.server? })).collect()
    }

    /// Links that a process is an end of.
    pub(super) fn links_of(&self, pid: Pid) -> Vec<LinkId> {
        let of = |link: &Link| link.client == pid || link.server == Some(pid);
        self.links.iter().filter(|(_, link)| of(link)).map(|(id, _)| *id).collect()
    }

    /// The process that has to run for it: what has been sent arrives by itself, but nobody connects for a process that is frozen.
    pub(super) fn needs(&self, event: &NetEvent) -> Option<Pid> {
        match event {
            NetEvent::Connect(link) => self.links.get(link).map(|link| link.client),
            _ => None,
        }
    }

    fn reaches(&self, from: &str, to: &str, now: Now) -> bool {
        let isolated = |host: &str| self.isolated.get(host).is_some_and(|until| now < *until);
        from == to || !(isolated(from) || isolated(to))
    }
}

impl Link {
    fn server_host(&self) -> &str {
        host_of(&self.address)
    }
}

fn host_of(address: &str) -> &str {
    address.split(':').next().unwrap_or(address)
}

impl World {
    fn net_after(&mut self, delay_ms: u64, event: NetEvent) {
        let at = self.now + std::time::Duration::from_millis(delay_ms);
        self.schedule(at, Happening::Net(event));
    }

    fn message_delay(&mut self) -> u64 {
        match self.rng.u32(0..100) {
            0 => self.rng.u64(20..200),
            1..=10 => self.rng.u64(5..20),
            _ => self.rng.u64(0..4),
        }
    }

    /// Opens a link; events follow.
    pub(super) fn open_link(
        &mut self,
        client: Pid,
        client_host: &str,
        address: &str,
        hello: Hello,
        give_up_after_ms: Option<u64>,
    ) -> LinkId {
        self.net.last_id += 1;
        let id = LinkId(self.net.last_id);
        let link = Link {
            client,
            client_host: client_host.to_owned(),
            address: address.to_owned(),
            hello,
            give_up_after_ms,
            server: None,
            accepted_by: None,
            connection: 0,
            resuming: false,
            client_up: false,
            server_up: false,
            client_told: false,
            server_told: true,
            down_since: self.now,
            server_down_since: self.now,
            pause_ms: RECONNECT_FIRST_MS,
            cut_until: Now(0),
            leaving: false,
            to_server: Lane::default(),
            to_client: Lane::default(),
        };
        self.net.links.insert(id, link);
        self.net_after(1, NetEvent::Connect(id));
        id
    }

    /// Puts a message behind all others of its direction. `from` is either end; on a link that is gone it is lost.
    pub(super) fn send(&mut self, from: Pid, link: LinkId, message: impl Into<Message>) {
        self.push(from, link, Item::Message(Box::new(message.into())));
    }

    fn push(&mut self, from: Pid, id: LinkId, item: Item) {
        let delay = self.message_delay();
        let now = self.now;
        let Some(link) = self.net.links.get_mut(&id) else { return };
        let to = if link.client == from { Side::Server } else { Side::Client };
        let (lane, up) = match to {
            Side::Server => (&mut link.to_server, link.client_up),
            Side::Client => (&mut link.to_client, link.server_up),
        };
        lane.queue.push_back(item);
        if up {
            lane.last_at = lane.last_at.max(now + std::time::Duration::from_millis(delay));
            let (at, connection) = (lane.last_at, link.connection);
            self.schedule(at, Happening::Net(NetEvent::Deliver(id, connection, to)));
        }
    }

    /// Lets a caller in. What is sent from now on follows.
    pub(super) fn accept(&mut self, server: Pid, caller: Caller, welcome: Welcome) {
        let delay = self.message_delay();
        let now = self.now;
        let Some(link) = self.net.links.get_mut(&caller.link) else {
            // Gone while its hello waited here: the welcome meets a reset.
            let why = "connection reset".to_owned();
            return self.hand(server, Input::Link(caller.link, LinkEvent::Broken { why, resumable: true }));
        };
        if link.connection != caller.connection {
            return;
        }
        (link.server_up, link.server_told) = (true, false);
        let at = now + std::time::Duration::from_millis(delay);
        link.to_client.last_at = link.to_client.last_at.max(at);
        let (at, queued) = (link.to_client.last_at, link.to_client.queue.len());
        let accepted = NetEvent::Accepted(caller.link, caller.connection, Box::new(welcome));
        self.schedule(at, Happening::Net(accepted));
        for _ in 0..queued {
            self.schedule(at, Happening::Net(NetEvent::Deliver(caller.link, caller.connection, Side::Client)));
        }
    }

    /// Sends a caller away for good.
    pub(super) fn refuse(&mut self, caller: Caller, code: &'static str) {
        let delay = self.message_delay();
        if let Some(link) = self.net.links.get_mut(&caller.link) {
            link.server = None;
        }
        self.net_after(delay, NetEvent::Refused(caller.link, caller.connection, code));
    }

    /// The client closes its link, after what it has sent.
    pub(super) fn say_goodbye(&mut self, client: Pid, id: LinkId) {
        let Some(link) = self.net.links.get_mut(&id) else { return };
        if link.client_up {
            link.leaving = true;
            self.push(client, id, Item::Goodbye);
        } else {
            // Nobody hears it: the server notices the broken connection, if it has not yet.
            self.client_gone(client, id, true);
        }
    }

    /// The server sends an accepted client away, after what it has sent.
    pub(super) fn send_away(&mut self, server: Pid, id: LinkId, code: &'static str) {
        let Some(link) = self.net.links.get_mut(&id) else { return };
        link.server_told = true;
        if link.server_up {
            self.push(server, id, Item::Refuse(code));
        }
        if let Some(link) = self.net.links.get_mut(&id) {
            link.server = None;
        }
    }
}
