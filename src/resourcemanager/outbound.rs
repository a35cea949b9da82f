//! What waits for the store: effects and answers, in order, behind the Persists that precede them; and who waits for changes.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot;

use super::event::Effect;
use super::handle::Reply;
use super::report::ApplicationReport;
use crate::ids::ApplicationId;

/// Clients that wait for a change. Above, they are answered at once, and poll.
const WATCHES_MAX: usize = 4096;

/// The queue between decisions and the world.
#[derive(Default)]
pub(super) struct Outbound {
    queue: VecDeque<Waiting>,
    durable: u64,
    watches: BTreeMap<ApplicationId, Vec<Watch>>,
    watches_len: usize,
}

enum Waiting {
    /// Nothing passes before this ticket is durable.
    Barrier(u64),
    Effect(Effect),
    Reply(Reply),
}

/// What may leave.
pub(super) enum Ready {
    Effect(Effect),
    Reply(Reply),
}

/// Somebody who waits for a version above `since`.
pub(super) struct Watch {
    pub(super) since: u64,
    pub(super) answer: oneshot::Sender<Option<ApplicationReport>>,
}

impl Outbound {
    pub(super) fn barrier(&mut self, ticket: u64) {
        self.queue.push_back(Waiting::Barrier(ticket));
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.queue.push_back(Waiting::Effect(effect));
    }

    pub(super) fn reply(&mut self, reply: Reply) {
        self.queue.push_back(Waiting::Reply(reply));
    }

    /// Everything up to `ticket` is on the disk.
    pub(super) fn durable(&mut self, ticket: u64) {
        self.durable = self.durable.max(ticket);
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The next thing that may leave; none while the store is waited for.
    pub(super) fn next(&mut self) -> Option<Ready> {
        loop {
            match self.queue.front()? {
                Waiting::Barrier(ticket) if *ticket > self.durable => return None,
                Waiting::Barrier(_) | Waiting::Effect(_) | Waiting::Reply(_) => match self.queue.pop_front()? {
                    Waiting::Barrier(_) => {}
                    Waiting::Effect(effect) => return Some(Ready::Effect(effect)),
                    Waiting::Reply(reply) => return Some(Ready::Reply(reply)),
                },
            }
        }
    }

    /// Remembers who waits. Dropped at once if there are too many: then its sender sees that nobody answers.
    pub(super) fn watch(&mut self, id: ApplicationId, watch: Watch) {
        if self.watches_len >= WATCHES_MAX {
            // Those who gave up are still counted; look which.
            for waiting in self.watches.values_mut() {
                waiting.retain(|watch| !watch.answer.is_closed());
            }
            self.watches.retain(|_, waiting| !waiting.is_empty());
            self.watches_len = self.watches.values().map(Vec::len).sum();
        }
        if self.watches_len < WATCHES_MAX {
            self.watches.entry(id).or_default().push(watch);
            self.watches_len += 1;
        }
    }

    /// Takes those for whom `version` is new.
    pub(super) fn watchers(&mut self, id: ApplicationId, version: u64) -> Vec<Watch> {
        let Some(waiting) = self.watches.get_mut(&id) else { return Vec::new() };
        let mut content = Vec::new();
        let mut kept = Vec::new();
        for watch in waiting.drain(..) {
            if watch.answer.is_closed() {
                self.watches_len -= 1;
            } else if version > watch.since {
                self.watches_len -= 1;
                content.push(watch);
            } else {
                kept.push(watch);
            }
        }
        if kept.is_empty() {
            self.watches.remove(&id);
        } else {
            *waiting = kept;
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(version: u64) -> Effect {
        Effect::ApplicationChanged { application: ApplicationId { cluster_timestamp: 1, sequence: 1 }, version }
    }

    #[test]
    fn nothing_passes_a_barrier_before_it_is_durable() {
        let mut outbound = Outbound::default();
        outbound.push(changed(1));
        outbound.barrier(7);
        outbound.push(changed(2));
        outbound.barrier(8);
        outbound.push(changed(3));
        let versions = |outbound: &mut Outbound| {
            let mut seen = Vec::new();
            while let Some(Ready::Effect(Effect::ApplicationChanged { version, .. })) = outbound.next() {
                seen.push(version);
            }
            seen
        };
        assert_eq!(versions(&mut outbound), [1]);
        outbound.durable(7);
        assert_eq!(versions(&mut outbound), [2]);
        outbound.durable(8);
        assert_eq!(versions(&mut outbound), [3]);
    }
}
