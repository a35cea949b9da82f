//! Who is at the other end of which link. The one place where messages of links that have been replaced are dropped.

use std::collections::BTreeMap;

use crate::rpc::link::{Answer, LinkSender, PeerId};

/// The peers of one acceptor: who they are (`K`), and how to reach them.
#[derive(Debug)]
pub(super) struct Peers<K, Out> {
    current: BTreeMap<K, PeerId>,
    who: BTreeMap<PeerId, K>,
    senders: BTreeMap<PeerId, LinkSender<Out>>,
}

impl<K: Clone + Ord, Out> Peers<K, Out> {
    pub(super) fn new() -> Self {
        Self { current: BTreeMap::new(), who: BTreeMap::new(), senders: BTreeMap::new() }
    }

    /// From now on `key` is this peer and no other.
    pub(super) fn enter(&mut self, key: &K, peer: PeerId) {
        if let Some(before) = self.current.insert(key.clone(), peer)
            && before != peer
        {
            self.who.remove(&before);
            self.senders.remove(&before);
        }
        self.who.insert(peer, key.clone());
    }

    /// Lets a peer in and keeps its sender.
    pub(super) fn accept<W>(&mut self, peer: PeerId, answer: Answer<W, Out>, welcome: W) {
        let sender = answer.accept(welcome);
        if self.who.contains_key(&peer) {
            self.senders.insert(peer, sender);
        }
    }

    /// Who `peer` is; none if it has been replaced.
    pub(super) fn who(&self, peer: PeerId) -> Option<&K> {
        self.who.get(&peer)
    }

    /// Its connection ended for good: nothing can be sent there any more.
    pub(super) fn leave(&mut self, peer: PeerId) {
        self.senders.remove(&peer);
        if let Some(key) = self.who.remove(&peer) {
            self.current.remove(&key);
        }
    }

    /// The sender to `key`, connected or to be resumed.
    pub(super) fn sender(&self, key: &K) -> Option<&LinkSender<Out>> {
        self.current.get(key).and_then(|peer| self.senders.get(peer))
    }
}
