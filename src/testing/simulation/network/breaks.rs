//! How connections break, and what is left of a process that is gone.

use super::super::world::{Pid, World};
use super::{HttpId, Item, Link, LinkId, NetEvent, Side};
use crate::time::Now;

impl World {
    /// Breaks a link's connection; it cannot come back before `cut_until`. Each side notices after so many milliseconds.
    pub(in super::super) fn break_link(
        &mut self,
        id: LinkId,
        cut_until: Now,
        client_notices_ms: u64,
        server_notices_ms: u64,
    ) {
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
    pub(in super::super) fn isolate(&mut self, host: &str, until: Now, notice_ms: u64) {
        self.net.isolated.insert(host.to_owned(), until);
        let crossing = |link: &Link| (link.client_host == host) != (link.server_host() == host);
        let links: Vec<LinkId> = self.net.links.iter().filter(|(_, link)| crossing(link)).map(|(id, _)| *id).collect();
        for id in links {
            let (client, server) = (self.rng.u64(0..=notice_ms), self.rng.u64(0..=notice_ms));
            self.break_link(id, Now(0), client, server);
        }
    }

    /// Ends what a process had open. `orderly`: what it has sent arrives.
    pub(in super::super) fn close_all_of(&mut self, pid: Pid, orderly: bool) {
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
    pub(super) fn truncate(&mut self, id: LinkId, to: Side) {
        let Some(link) = self.net.links.get_mut(&id) else { return };
        let lane = match to {
            Side::Server => &mut link.to_server,
            Side::Client => &mut link.to_client,
        };
        let keep = self.rng.usize(0..=lane.queue.len());
        lane.queue.truncate(keep);
    }

    pub(super) fn client_gone(&mut self, pid: Pid, id: LinkId, orderly: bool) {
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

    pub(super) fn server_gone(&mut self, pid: Pid, id: LinkId, orderly: bool) {
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
}
