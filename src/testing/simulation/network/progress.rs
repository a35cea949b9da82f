//! Links step by step: connecting, being let in, delivering, noticing, coming back.

use super::super::messages::{Hello, LinkEvent, Welcome};
use super::super::world::{Input, World};
use super::{
    Caller, Item, LOST_AFTER, Link, LinkId, NetEvent, RECONNECT_FIRST_MS, RECONNECT_MAX_MS, SESSION_KEPT_MS, Side,
};

impl World {
    /// Lets the network take its next step.
    pub(in super::super) fn network(&mut self, event: NetEvent) {
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

    pub(super) fn connect(&mut self, id: LinkId) {
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

    pub(super) fn hello_arrives(&mut self, id: LinkId, connection: u64) {
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
        let of_another = link.accepted_by.is_some_and(|by| by != server);
        let resumed = link.server == Some(server) && kept && !of_another;
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

    pub(super) fn accepted(&mut self, id: LinkId, connection: u64, welcome: Welcome) {
        let now = self.now;
        let Some(link) = self.net.links.get_mut(&id).filter(|link| link.connection == connection) else { return };
        if !link.resuming && link.accepted_by.is_some() {
            link.to_server.queue.clear();
        }
        let resumed = link.resuming && link.accepted_by.is_some();
        (link.accepted_by, link.client_up, link.client_told) = (link.server, true, false);
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

    pub(super) fn attempt_failed(&mut self, id: LinkId, connection: u64) {
        let now = self.now;
        let Some(link) = self.net.links.get_mut(&id).filter(|link| link.connection == connection) else { return };
        let gives_up = |limit: u64| now.since(link.down_since).as_millis() >= u128::from(limit);
        if link.give_up_after_ms.is_some_and(gives_up) {
            return self.refused(id, "unreachable");
        }
        self.come_back(id);
    }

    /// Tells the client that it has no connection, once, and lets it try again.
    pub(super) fn come_back(&mut self, id: LinkId) {
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

    pub(super) fn refused(&mut self, id: LinkId, code: &'static str) {
        if let Some(link) = self.net.links.remove(&id) {
            self.hand(link.client, Input::Link(id, LinkEvent::Refused(code)));
        }
    }

    pub(super) fn noticed(&mut self, id: LinkId, connection: u64, side: Side) {
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

    pub(super) fn deliver_message(&mut self, id: LinkId, connection: u64, to: Side) {
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

    pub(super) fn end_of_client(&mut self, id: LinkId, why: &str, resumable: bool) {
        let Some(link) = self.net.links.remove(&id) else { return };
        if let Some(server) = link.server.filter(|_| !link.server_told) {
            self.hand(server, Input::Link(id, LinkEvent::Broken { why: why.to_owned(), resumable }));
        }
    }
}
