//! Links and HTTP requests between simulated processes, with the promises of [`crate::rpc::link`] and no more.
//!
//! A link outlives its connections. Each direction is a lane: what is sent stays there, in order, until it is delivered; a
//! broken connection stops deliveries, and a resumed one goes on where they stopped. A process at the accepting end that does
//! not know the session says `resumed: false`, and what was in the lanes is gone.

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
    /// Whether a server has ever accepted the client.
    known: bool,
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
            known: false,
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
    pub(super) fn accept(&mut self, caller: Caller, welcome: Welcome) {
        let delay = self.message_delay();
        let now = self.now;
        let Some(link) = self.net.links.get_mut(&caller.link).filter(|link| link.connection == caller.connection)
        else {
            return;
        };
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
        link.leaving = true;
        if link.client_up {
            self.push(client, id, Item::Goodbye);
        } else {
            self.net.links.remove(&id);
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

    /// Breaks a link's connection; it cannot come back before `cut_until`. Each side notices after so many milliseconds.
    pub(super) fn break_link(&mut self, id: LinkId, cut_until: Now, client_notices_ms: u64, server_notices_ms: u64) {
        let now = self.now;
        let Some(link) = self.net.links.get_mut(&id) else { return };
        link.cut_until = link.cut_until.max(cut_until);
        link.connection += 1;
        let connection = link.connection;
        let server_was_up = link.server_up;
        (link.client_up, link.server_up) = (false, false);
        (link.down_since, link.server_down_since) = (now, now);
        self.net_after(client_notices_ms, NetEvent::Noticed(id, connection, Side::Client));
        if server_was_up {
            self.net_after(server_notices_ms, NetEvent::Noticed(id, connection, Side::Server));
        }
    }

    /// Cuts a host off from all others.
    pub(super) fn isolate(&mut self, host: &str, until: Now, notice_ms: u64) {
        self.net.isolated.insert(host.to_owned(), until);
        let crossing = |link: &Link| (link.client_host == host) != (link.server_host() == host);
        let links: Vec<LinkId> = self.net.links.iter().filter(|(_, link)| crossing(link)).map(|(id, _)| *id).collect();
        for id in links {
            let (client, server) = (self.rng.u64(0..=notice_ms), self.rng.u64(0..=notice_ms));
            self.break_link(id, Now(0), client, server);
        }
    }

    /// Ends what a process had open. `orderly`: what it has sent arrives.
    pub(super) fn close_all_of(&mut self, pid: Pid, orderly: bool) {
        self.net.listeners.retain(|_, listener| *listener != pid);
        let ids: Vec<LinkId> = self.net.links.keys().copied().collect();
        for id in ids {
            let ends = self.net.links.get(&id).map(|link| (link.client == pid, link.server == Some(pid)));
            match ends {
                Some((true, _)) => self.client_gone(pid, id, orderly),
                Some((_, true)) => self.server_gone(pid, id, orderly),
                Some(_) | None => {}
            }
        }
        let unanswered: Vec<HttpId> =
            self.net.requests.iter().filter(|(_, (_, _, to))| *to == Some(pid)).map(|(id, _)| *id).collect();
        for id in unanswered {
            let delay = self.message_delay();
            self.net_after(delay, NetEvent::AnswerArrives(id, Box::new(Err("connection reset".to_owned()))));
        }
    }

    /// A killed process's last messages: some have left, some have not.
    fn truncate(&mut self, id: LinkId, to: Side) {
        let Some(link) = self.net.links.get_mut(&id) else { return };
        let lane = match to {
            Side::Server => &mut link.to_server,
            Side::Client => &mut link.to_client,
        };
        let keep = self.rng.usize(0..=lane.queue.len());
        lane.queue.truncate(keep);
    }

    fn client_gone(&mut self, pid: Pid, id: LinkId, orderly: bool) {
        let Some(link) = self.net.links.get_mut(&id) else { return };
        if link.leaving && link.client_up {
            return;
        }
        link.leaving = true;
        let (up, accepted, told) = (link.client_up, link.server_up, link.server_told);
        if up {
            if !orderly {
                self.truncate(id, Side::Server);
            }
            self.push(pid, id, Item::End);
        } else if accepted {
            // The welcome is on its way to nobody.
            self.break_link(id, Now(0), 0, 1);
        } else if told {
            self.net.links.remove(&id);
        }
        // Else the server notices by itself what it has not yet been told.
    }

    fn server_gone(&mut self, pid: Pid, id: LinkId, orderly: bool) {
        let now = self.now;
        let Some(link) = self.net.links.get_mut(&id) else { return };
        let up = link.server_up;
        link.server = None;
        link.server_told = true;
        link.down_since = now;
        if up {
            if !orderly {
                self.truncate(id, Side::Client);
            }
            self.push(pid, id, Item::End);
        } else {
            link.connection += 1;
            let connection = link.connection;
            self.net_after(1, NetEvent::AttemptFailed(id, connection));
        }
    }

    /// Asks something by HTTP; [`Input::Answered`] follows.
    pub(super) fn request(&mut self, from: Pid, from_host: &str, address: &str, request: Request) -> HttpId {
        self.net.last_id += 1;
        let id = HttpId(self.net.last_id);
        self.net.requests.insert(id, (from, address.to_owned(), None));
        let delay = self.message_delay();
        if self.net.reaches(from_host, host_of(address), self.now) {
            self.net_after(delay, NetEvent::RequestArrives(id, Box::new(request)));
        } else {
            let unreachable = Err(format!("{address} does not answer"));
            self.net_after(HTTP_TIMEOUT_MS, NetEvent::AnswerArrives(id, Box::new(unreachable)));
        }
        id
    }

    /// Answers a request.
    pub(super) fn answer(&mut self, id: HttpId, answer: Answer) {
        let delay = self.message_delay();
        let answer = if self.net.answers_to_lose > 0 {
            self.net.answers_to_lose -= 1;
            self.note("fault", "an HTTP answer is lost");
            Err("connection reset".to_owned())
        } else {
            Ok(answer)
        };
        self.net_after(delay, NetEvent::AnswerArrives(id, Box::new(answer)));
    }

    /// Lets the network take its next step.
    pub(super) fn network(&mut self, event: NetEvent) {
        match event {
            NetEvent::Connect(id) => self.connect(id),
            NetEvent::HelloArrives(id, connection) => self.hello_arrives(id, connection),
            NetEvent::AttemptFailed(id, connection) => self.attempt_failed(id, connection),
            NetEvent::Accepted(id, connection, welcome) => self.accepted(id, connection, *welcome),
            NetEvent::Refused(id, connection, code) => {
                if self.net.links.get(&id).is_some_and(|link| link.connection == connection) {
                    self.refused(id, code);
                }
            }
            NetEvent::Deliver(id, connection, to) => self.deliver_message(id, connection, to),
            NetEvent::Noticed(id, connection, side) => self.noticed(id, connection, side),
            NetEvent::RequestArrives(id, request) => self.request_arrives(id, *request),
            NetEvent::AnswerArrives(id, answer) => {
                if let Some((from, _, _)) = self.net.requests.remove(&id) {
                    self.hand(from, Input::Answered(id, *answer));
                }
            }
        }
    }

    fn request_arrives(&mut self, id: HttpId, request: Request) {
        let Some((_, address, target)) = self.net.requests.get_mut(&id) else { return };
        match self.net.listeners.get(address.as_str()).copied() {
            Some(pid) => {
                *target = Some(pid);
                self.hand(pid, Input::Request(id, request));
            }
            None => {
                let why = format!("cannot connect to {address}: connection refused");
                self.net_after(1, NetEvent::AnswerArrives(id, Box::new(Err(why))));
            }
        }
    }

    fn connect(&mut self, id: LinkId) {
        let delay = self.message_delay();
        let now = self.now;
        let Some(link) = self.net.links.get_mut(&id) else { return };
        if link.client_up || link.leaving {
            return;
        }
        link.connection += 1;
        let (connection, cut) = (link.connection, now < link.cut_until);
        let (from, to) = (link.client_host.clone(), link.server_host().to_owned());
        if cut || !self.net.reaches(&from, &to, now) {
            self.net_after(delay + 100, NetEvent::AttemptFailed(id, connection));
        } else {
            self.net_after(delay, NetEvent::HelloArrives(id, connection));
        }
    }

    fn hello_arrives(&mut self, id: LinkId, connection: u64) {
        let now = self.now;
        let current = |link: &&mut Link| link.connection == connection && !link.leaving;
        let Some(link) = self.net.links.get_mut(&id).filter(current) else { return };
        let Some(server) = self.net.listeners.get(&link.address).copied() else {
            return self.attempt_failed(id, connection);
        };
        let kept_ms = match &link.hello {
            Hello::Node(_) | Hello::Master(_) => u128::from(SESSION_KEPT_MS),
            Hello::TaskManager(_) | Hello::Worker(_) => LOST_AFTER.as_millis(),
        };
        let kept = link.server_up || now.since(link.server_down_since).as_millis() <= kept_ms;
        let resumed = link.server == Some(server) && kept;
        let tell_first = link.server == Some(server) && !link.server_told;
        (link.server_told, link.server_up) = (true, false);
        if !resumed {
            link.server = Some(server);
            link.to_client.queue.clear();
        } else if self.net.forgets_on_resume {
            link.to_client.queue.clear();
            link.to_server.queue.clear();
        }
        link.resuming = resumed;
        let hello = Box::new(link.hello.clone());
        if tell_first {
            let why = "the peer has opened a new connection".to_owned();
            self.hand(server, Input::Link(id, LinkEvent::Broken { why, resumable: true }));
        }
        let caller = Caller { link: id, connection };
        self.hand(server, Input::Link(id, LinkEvent::Hello { hello, resumed, caller }));
    }

    fn accepted(&mut self, id: LinkId, connection: u64, welcome: Welcome) {
        let now = self.now;
        let Some(link) = self.net.links.get_mut(&id).filter(|link| link.connection == connection) else { return };
        if !link.resuming && link.known {
            link.to_server.queue.clear();
        }
        let resumed = link.resuming && link.known;
        (link.known, link.client_up, link.client_told) = (true, true, false);
        link.pause_ms = RECONNECT_FIRST_MS;
        link.to_server.last_at = link.to_server.last_at.max(now);
        let (client, queued) = (link.client, link.to_server.queue.len());
        self.hand(client, Input::Link(id, LinkEvent::Opened { welcome: Box::new(welcome), resumed }));
        for _ in 0..queued {
            self.net_after(1, NetEvent::Deliver(id, connection, Side::Server));
        }
        if let Some(link) = self.net.links.get_mut(&id) {
            link.to_server.last_at = link.to_server.last_at.max(now + std::time::Duration::from_millis(1));
        }
    }

    fn attempt_failed(&mut self, id: LinkId, connection: u64) {
        let now = self.now;
        let Some(link) = self.net.links.get_mut(&id).filter(|link| link.connection == connection) else { return };
        let gives_up = |limit: u64| now.since(link.down_since).as_millis() >= u128::from(limit);
        if link.give_up_after_ms.is_some_and(gives_up) {
            return self.refused(id, "unreachable");
        }
        self.come_back(id);
    }

    /// Tells the client that it has no connection, once, and lets it try again.
    fn come_back(&mut self, id: LinkId) {
        let jitter = self.rng.u64(50..=100);
        let Some(link) = self.net.links.get_mut(&id) else { return };
        let (client, told) = (link.client, link.client_told);
        let pause = link.pause_ms * jitter / 100;
        link.pause_ms = (link.pause_ms * 2).min(RECONNECT_MAX_MS);
        link.client_told = true;
        if !told {
            let why = "connection lost".to_owned();
            self.hand(client, Input::Link(id, LinkEvent::Broken { why, resumable: true }));
        }
        self.net_after(pause, NetEvent::Connect(id));
    }

    fn refused(&mut self, id: LinkId, code: &'static str) {
        if let Some(link) = self.net.links.remove(&id) {
            self.hand(link.client, Input::Link(id, LinkEvent::Refused(code)));
        }
    }

    fn noticed(&mut self, id: LinkId, connection: u64, side: Side) {
        let Some(link) = self.net.links.get_mut(&id) else { return };
        match side {
            // A client that has begun anew since, has noticed.
            Side::Client if link.connection == connection && !link.leaving => self.come_back(id),
            Side::Client => {}
            Side::Server => {
                if link.server_up || link.server_told {
                    return;
                }
                link.server_told = true;
                let (server, over) = (link.server, link.leaving);
                if let Some(server) = server {
                    let why = "connection lost".to_owned();
                    self.hand(server, Input::Link(id, LinkEvent::Broken { why, resumable: true }));
                }
                if over {
                    self.net.links.remove(&id);
                }
            }
        }
    }

    fn deliver_message(&mut self, id: LinkId, connection: u64, to: Side) {
        let Some(link) = self.net.links.get_mut(&id).filter(|link| link.connection == connection) else { return };
        let (lane, target) = match to {
            Side::Server => (&mut link.to_server, link.server),
            Side::Client => (&mut link.to_client, Some(link.client)),
        };
        let Some(item) = lane.queue.pop_front() else { return };
        match item {
            Item::Message(message) => {
                if let Some(target) = target {
                    self.hand(target, Input::Link(id, LinkEvent::Message(message)));
                }
            }
            Item::Goodbye => self.end_of_client(id, "closed by the peer", false),
            Item::End => match to {
                Side::Server => self.end_of_client(id, "connection reset", true),
                Side::Client => {
                    (link.client_up, link.server_up) = (false, false);
                    link.connection += 1;
                    link.down_since = self.now;
                    self.come_back(id);
                }
            },
            Item::Refuse(code) => self.refused(id, code),
        }
    }

    fn end_of_client(&mut self, id: LinkId, why: &str, resumable: bool) {
        let Some(link) = self.net.links.remove(&id) else { return };
        if let Some(server) = link.server.filter(|_| !link.server_told) {
            self.hand(server, Input::Link(id, LinkEvent::Broken { why: why.to_owned(), resumable }));
        }
    }
}
