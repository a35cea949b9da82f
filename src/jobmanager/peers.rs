//! Who is at the other end of which link.

use std::collections::BTreeMap;

use serde::Serialize;
use tracing::warn;

use crate::rpc::link::{LinkSender, PeerId, Refusal};

/// Peers of one kind, by their name and by their link.
pub(super) struct Peers<K, Out> {
    by_key: BTreeMap<K, (PeerId, LinkSender<Out>)>,
    by_peer: BTreeMap<PeerId, K>,
}

impl<K: Ord + Clone + std::fmt::Display, Out: Serialize> Peers<K, Out> {
    pub(super) fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_peer: BTreeMap::new() }
    }

    /// A link of `key`; one it had before is forgotten.
    pub(super) fn insert(&mut self, key: K, peer: PeerId, sender: LinkSender<Out>) {
        self.by_peer.insert(peer, key.clone());
        if let Some((before, _)) = self.by_key.insert(key, (peer, sender))
            && before != peer
        {
            self.by_peer.remove(&before);
        }
    }

    pub(super) fn key(&self, peer: PeerId) -> Option<&K> {
        self.by_peer.get(&peer)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.by_key.keys()
    }

    pub(super) fn remove_peer(&mut self, peer: PeerId) -> Option<K> {
        let key = self.by_peer.remove(&peer)?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// Forgets `key`, telling it why if there is a refusal.
    pub(super) fn remove(&mut self, key: &K, refusal: Option<Refusal>) {
        if let Some((peer, sender)) = self.by_key.remove(key) {
            self.by_peer.remove(&peer);
            if let Some(refusal) = refusal {
                sender.close(refusal);
            }
        }
    }

    /// Sends to `key`. To nobody: its loss is or was an event of its own.
    pub(super) fn send(&self, key: &K, message: Out) {
        if let Some((_, sender)) = self.by_key.get(key)
            && let Err(error) = sender.send(message)
        {
            // A full queue gives the session up, which comes back as a broken link.
            warn!(peer = %key, %error, "message not sent");
        }
    }
}
