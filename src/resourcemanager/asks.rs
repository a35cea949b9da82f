//! The ask table of one attempt: absolute asks by (priority, request id, capability) and resource name.

use std::collections::BTreeMap;
use std::fmt;

use crate::protocol::application_master::{ANY, ResourceRequest};
use crate::resource::Resource;

/// The rack of every node, until there is a rack table.
pub(crate) const DEFAULT_RACK: &str = "/default-rack";

/// What makes asks belong together: one container of the key answers one of the `*` row and of the local rows it satisfies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AskKey {
    /// Smaller numbers first.
    pub(crate) priority: u32,
    /// Chosen by the master.
    pub(crate) allocation_request_id: u64,
    /// One container, rounded up. Ordered, unlike [`Resource`].
    capability: (u64, u32, Vec<(String, u64)>),
}

impl AskKey {
    /// The key of asks for `capability`.
    pub(crate) fn new(priority: u32, allocation_request_id: u64, capability: &Resource) -> Self {
        let named = capability.named.iter().map(|(name, amount)| (name.clone(), *amount)).collect();
        Self { priority, allocation_request_id, capability: (capability.memory_mb, capability.vcores, named) }
    }

    /// One container's resources.
    pub(crate) fn capability(&self) -> Resource {
        let (memory_mb, vcores, named) = &self.capability;
        Resource { memory_mb: *memory_mb, vcores: *vcores, named: named.iter().cloned().collect() }
    }
}

/// One row: how many, and whether placing may fall back to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// How many are still wanted.
    pub(crate) count: u32,
    /// On a rack's or the `*` row: whether placing may fall back to here.
    pub(crate) relax_locality: bool,
}

/// Rows of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// By host, `host:port`, or rack.
    pub(crate) local: BTreeMap<String, Row>,
    /// The `*` row: nothing is placed beyond its count.
    pub(crate) any: Option<Row>,
    /// Label that nodes must have.
    pub(crate) label: Option<String>,
}

impl Group {
    /// How many containers are still wanted.
    pub(crate) fn wanted(&self) -> u32 {
        self.any.map_or(0, |row| row.count)
    }
}

/// An ask that no cluster of this configuration can ever satisfy. YARN's `InvalidResourceRequestException`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid resource request: {asked} is more than the largest container allowed, {largest}; ask for less or raise \
         the ResourceManager's maximum allocation"
)]
pub(crate) struct InvalidAsk {
    /// What was asked for.
    asked: Resource,
    /// The limit.
    largest: Resource,
}

/// Smallest and largest container, and the rounding between.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Memory is rounded up to multiples of this.
    pub(crate) minimum_mb: u64,
    /// No container may be larger.
    pub(crate) maximum: Resource,
}

impl Bounds {
    /// `asked`, rounded up to what is granted.
    ///
    /// # Errors
    /// [`InvalidAsk`] if that is over the maximum.
    pub(crate) fn round(&self, asked: &Resource) -> Result<Resource, InvalidAsk> {
        let mut granted = asked.clone();
        granted.memory_mb = asked.memory_mb.max(1).next_multiple_of(self.minimum_mb.max(1));
        granted.vcores = asked.vcores.max(1);
        granted.named.retain(|_, amount| *amount > 0);
        let named_fit =
            granted.named.iter().all(|(name, amount)| self.maximum.named.get(name).is_none_or(|most| amount <= most));
        if asked.memory_mb > self.maximum.memory_mb || granted.vcores > self.maximum.vcores || !named_fit {
            return Err(InvalidAsk { asked: asked.clone(), largest: self.maximum.clone() });
        }
        granted.memory_mb = granted.memory_mb.min(self.maximum.memory_mb);
        Ok(granted)
    }
}

/// Every outstanding ask of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AskTable {
    groups: BTreeMap<AskKey, Group>,
}

impl AskTable {
    /// Replaces the row that `request` names; a count of 0 removes it. `capability` is the rounded one.
    pub(crate) fn replace(&mut self, request: &ResourceRequest, capability: &Resource) {
        let key = AskKey::new(request.priority, request.allocation_request_id, capability);
        let row = (request.count > 0).then_some(Row { count: request.count, relax_locality: request.relax_locality });
        let group = self.groups.entry(key.clone()).or_default();
        if request.resource_name == ANY {
            group.any = row;
            group.label = request.node_label.clone().filter(|label| !label.is_empty());
        } else {
            match row {
                Some(row) => group.local.insert(request.resource_name.clone(), row),
                None => group.local.remove(&request.resource_name),
            };
        }
        if group.any.is_none() && group.local.is_empty() {
            self.groups.remove(&key);
        }
    }

    /// Counts one container of `key` on a node as given: its host's, its rack's and the `*` row each want one less.
    /// `level` is the row that placed it; a container placed by a wider row leaves narrower ones as they are.
    pub(crate) fn satisfied(&mut self, key: &AskKey, level: &Level, rack: &str) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let local: &[&str] = match level {
            Level::Host(name) => &[name.as_str(), rack],
            Level::Rack(name) => &[name.as_str()],
            Level::Any => &[],
        };
        for name in local {
            if let Some(row) = group.local.get_mut(*name) {
                row.count = row.count.saturating_sub(1);
            }
        }
        group.local.retain(|_, row| row.count > 0);
        group.any = group.any.map(|row| Row { count: row.count.saturating_sub(1), ..row }).filter(|row| row.count > 0);
        if group.any.is_none() && group.local.is_empty() {
            self.groups.remove(key);
        }
    }

    /// Takes back [`AskTable::satisfied`]: the container was lost before its master heard of it.
    pub(crate) fn restore(&mut self, key: &AskKey, level: &Level, rack: &str) {
        let group = self.groups.entry(key.clone()).or_default();
        let local: &[&str] = match level {
            Level::Host(name) => &[name.as_str(), rack],
            Level::Rack(name) => &[name.as_str()],
            Level::Any => &[],
        };
        for name in local {
            group.local.entry((*name).to_owned()).or_insert(Row { count: 0, relax_locality: true }).count += 1;
        }
        group.any.get_or_insert(Row { count: 0, relax_locality: *level == Level::Any }).count += 1;
    }

    /// The groups, most urgent first.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&AskKey, &Group)> {
        self.groups.iter()
    }

    /// The group of `key`.
    pub(crate) fn group(&self, key: &AskKey) -> Option<&Group> {
        self.groups.get(key)
    }

    /// Forgets every ask.
    pub(crate) fn clear(&mut self) {
        self.groups.clear();
    }
}

/// Which row placed a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The row of its host (or `host:port`).
    Host(String),
    /// The row of its rack.
    Rack(String),
    /// The `*` row.
    Any,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) | Self::Rack(name) => f.write_str(name),
            Self::Any => f.write_str(ANY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, count: u32) -> ResourceRequest {
        ResourceRequest {
            priority: 1,
            allocation_request_id: 0,
            resource_name: name.to_owned(),
            capability: Resource::new(100, 1),
            count,
            relax_locality: true,
            node_label: None,
        }
    }

    #[test]
    fn asks_replace_and_a_count_of_zero_removes() {
        let mut table = AskTable::default();
        let granted = Resource::new(128, 1);
        table.replace(&ask(ANY, 3), &granted);
        table.replace(&ask(ANY, 2), &granted);
        let key = AskKey::new(1, 0, &granted);
        assert_eq!(table.group(&key).unwrap().wanted(), 2);
        table.replace(&ask(ANY, 0), &granted);
        assert_eq!(table, AskTable::default());
    }

    #[test]
    fn a_local_container_counts_on_host_rack_and_any() {
        let mut table = AskTable::default();
        let granted = Resource::new(128, 1);
        for name in ["n1", DEFAULT_RACK, ANY] {
            table.replace(&ask(name, 2), &granted);
        }
        let key = AskKey::new(1, 0, &granted);
        table.satisfied(&key, &Level::Host("n1".to_owned()), DEFAULT_RACK);
        let group = table.group(&key).unwrap();
        assert_eq!((group.local["n1"].count, group.local[DEFAULT_RACK].count, group.wanted()), (1, 1, 1));
        table.satisfied(&key, &Level::Any, DEFAULT_RACK);
        let group = table.group(&key).unwrap();
        assert_eq!((group.local["n1"].count, group.wanted()), (1, 0));
    }

    #[test]
    fn memory_is_rounded_up_and_more_than_the_maximum_is_an_error() {
        let bounds = Bounds { minimum_mb: 64, maximum: Resource::new(1000, 4) };
        assert_eq!(bounds.round(&Resource::new(65, 0)).unwrap(), Resource::new(128, 1));
        assert_eq!(bounds.round(&Resource::new(990, 1)).unwrap(), Resource::new(1000, 1));
        let error = bounds.round(&Resource::new(1001, 1)).unwrap_err().to_string();
        assert!(error.contains("<memory:1001 MB, vCores:1>") && error.contains("<memory:1000 MB"), "{error}");
        assert!(bounds.round(&Resource::new(1, 5)).is_err());
    }
}
