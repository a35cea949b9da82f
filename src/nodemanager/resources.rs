//! Localised resources: which copies there are on this node, and who waits for which. Pure.
//!
//! A copy is named by what it is and who shares it, so its path says everything and a restart forgets nothing: a file that is
//! at its path is complete. Only downloads on the way are remembered here.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{ApplicationId, ContainerId};
use crate::protocol::container::{LocalResource, LocalResourceType, Visibility};

/// Names a copy on this node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    /// Who shares it.
    pub scope: Scope,
    /// What is in it.
    pub content: Content,
    /// Whether it is unpacked.
    pub unpacked: bool,
    /// Whether it may be executed.
    pub executable: bool,
}

/// Who shares a copy. YARN's visibilities with their owners.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everybody.
    Public,
    /// One user.
    Private(String),
    /// One application of a user.
    Application(String, ApplicationId),
}

/// What a copy holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// Known by its SHA-256, wherever it came from.
    Sha256(String),
    /// Known by where it came from, and its size.
    Source {
        /// The address.
        url: String,
        /// In bytes.
        bytes: u64,
    },
}

impl ResourceKey {
    /// Of `resource`, wanted by `application` of `user`.
    pub fn new(resource: &LocalResource, user: &str, application: ApplicationId) -> Self {
        let scope = match resource.visibility {
            Visibility::Public => Scope::Public,
            Visibility::Private => Scope::Private(user.to_owned()),
            Visibility::Application => Scope::Application(user.to_owned(), application),
        };
        let content = match &resource.sha256 {
            Some(digest) => Content::Sha256(digest.to_ascii_lowercase()),
            None => Content::Source { url: resource.url.clone(), bytes: resource.size },
        };
        let unpacked = match resource.kind {
            LocalResourceType::File => false,
            LocalResourceType::Archive => true,
        };
        Self { scope, content, unpacked, executable: resource.executable }
    }
}

/// Downloads on the way, each with those who wait for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Downloads {
    waiting: BTreeMap<ResourceKey, BTreeSet<ContainerId>>,
}

impl Downloads {
    /// Lets `container` wait for `key`; true if nobody did before, so that it has to be fetched.
    pub(super) fn wait(&mut self, key: ResourceKey, container: ContainerId) -> bool {
        let waiting = self.waiting.entry(key).or_default();
        waiting.insert(container);
        waiting.len() == 1
    }

    /// The download has ended, one way or the other: who waited for it.
    pub(super) fn ended(&mut self, key: &ResourceKey) -> BTreeSet<ContainerId> {
        self.waiting.remove(key).unwrap_or_default()
    }

    /// `container` waits no longer; true if nobody does now, so that the download may be given up.
    pub(super) fn leave(&mut self, key: &ResourceKey, container: ContainerId) -> bool {
        let Some(waiting) = self.waiting.get_mut(key) else {
            return false;
        };
        waiting.remove(&container);
        if !waiting.is_empty() {
            return false;
        }
        self.waiting.remove(key);
        true
    }
}
