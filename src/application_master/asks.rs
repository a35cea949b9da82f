//! What a master wants and has not got: kept as asks, said as rows of YARN's table.

use std::collections::BTreeMap;

use crate::protocol::application_master::{ANY, ResourceRequest};
use crate::protocol::container::Allocation;
use crate::resource::Resource;

/// So many containers of one kind, in all. Asking again with the same `priority` and `id` replaces the ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Smaller numbers are served first.
    pub priority: u32,
    /// Chosen by the master; each grant carries the id of the ask it answers.
    pub id: u64,
    /// One container. Granted is as much, rounded up.
    pub capability: Resource,
    /// How many are wanted and not granted yet. 0 takes the ask back.
    pub count: u32,
    /// Hosts where they are best placed.
    pub hosts: Vec<String>,
    /// Racks (`/name`) that come next; those of `hosts`, if one is wanted to fall back to.
    pub racks: Vec<String>,
    /// Whether other nodes will do, after a while, if `hosts` and `racks` have no room.
    pub relax_locality: bool,
    /// Only nodes with this label; none: only nodes without.
    pub node_label: Option<String>,
}

impl Ask {
    /// `count` containers on any nodes, as ask 0 of that priority.
    pub fn anywhere(priority: u32, capability: Resource, count: u32) -> Self {
        Self {
            priority,
            id: 0,
            capability,
            count,
            hosts: Vec::new(),
            racks: Vec::new(),
            relax_locality: true,
            node_label: None,
        }
    }

    /// The rows that say it. Each replaces the row of its key.
    fn rows(&self, count: u32) -> Vec<ResourceRequest> {
        let row = |name: &str, relax_locality: bool, node_label: Option<String>| ResourceRequest {
            priority: self.priority,
            allocation_request_id: self.id,
            resource_name: name.to_owned(),
            capability: self.capability.clone(),
            count,
            relax_locality,
            node_label,
        };
        let hosts = self.hosts.iter().map(|host| row(host, true, None));
        // A named rack is wanted for itself; where hosts are named too, it is what they may fall back to.
        let racks = self.racks.iter().map(|rack| row(rack, true, None));
        let local = !(self.hosts.is_empty() && self.racks.is_empty());
        let any = row(ANY, self.relax_locality || !local, self.node_label.clone());
        hosts.chain(racks).chain([any]).collect()
    }
}

/// Every ask that is not satisfied, by priority and id.
#[derive(Debug, Default)]
pub(super) struct Asks(BTreeMap<(u32, u64), Ask>);

impl Asks {
    /// Takes note of an ask; returns the rows to say.
    pub(super) fn ask(&mut self, ask: Ask) -> Vec<ResourceRequest> {
        let key = (ask.priority, ask.id);
        // Rows of the ask before that the new one does not replace.
        let mut rows: Vec<_> = self.0.remove(&key).map(|before| before.rows(0)).unwrap_or_default();
        let fresh = ask.rows(ask.count);
        let same = |a: &ResourceRequest, b: &ResourceRequest| {
            a.resource_name == b.resource_name && a.capability == b.capability
        };
        rows.retain(|old| !fresh.iter().any(|new| same(old, new)));
        rows.extend(fresh);
        if ask.count > 0 {
            self.0.insert(key, ask);
        }
        rows
    }

    /// One container has been granted.
    pub(super) fn granted(&mut self, allocation: &Allocation) {
        let key = (allocation.priority, allocation.allocation_request_id);
        let Some(ask) = self.0.get_mut(&key) else { return };
        ask.count -= 1;
        if ask.count == 0 {
            self.0.remove(&key);
        }
    }

    /// The whole table, for a ResourceManager that has forgotten it.
    pub(super) fn rows(&self) -> Vec<ResourceRequest> {
        self.0.values().flat_map(|ask| ask.rows(ask.count)).collect()
    }

    /// How many containers are wanted and not granted.
    pub(super) fn pending(&self) -> u32 {
        self.0.values().map(|ask| ask.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ApplicationId, NodeId};
    use crate::rpc::token::Token;

    fn allocation(priority: u32, id: u64) -> Allocation {
        let attempt = ApplicationId { cluster_timestamp: 1, sequence: 1 }.attempt(1);
        Allocation {
            container: crate::ids::ContainerId::new(attempt, 0, 1),
            node: NodeId::new("n1", 1),
            node_http_address: "n1:1".to_owned(),
            resource: Resource::new(64, 1),
            priority,
            allocation_request_id: id,
            token: Token { kind: String::new(), service: String::new(), identifier: Vec::new(), password: Vec::new() },
        }
    }

    fn said(rows: &[ResourceRequest]) -> Vec<(String, u64, u32, bool)> {
        rows.iter()
            .map(|row| (row.resource_name.clone(), row.capability.memory_mb, row.count, row.relax_locality))
            .collect()
    }

    #[test]
    fn strict_hosts_close_the_row_for_any_node_and_no_other() {
        let ask = Ask {
            hosts: vec!["n1".to_owned()],
            racks: vec!["/r1".to_owned()],
            relax_locality: false,
            ..Ask::anywhere(1, Resource::new(64, 1), 2)
        };
        let rows = Asks::default().ask(ask);
        let expected = [("n1", 64, 2, true), ("/r1", 64, 2, true), ("*", 64, 2, false)];
        assert_eq!(said(&rows), expected.map(|(name, mb, count, relax)| (name.to_owned(), mb, count, relax)));
    }

    #[test]
    fn an_ask_asked_again_takes_back_what_it_does_not_replace() {
        let mut asks = Asks::default();
        asks.ask(Ask { hosts: vec!["n1".to_owned()], ..Ask::anywhere(1, Resource::new(64, 1), 2) });
        let rows = asks.ask(Ask::anywhere(1, Resource::new(64, 1), 3));
        assert_eq!(said(&rows), [("n1".to_owned(), 64, 0, true), ("*".to_owned(), 64, 3, true)]);
        let rows = asks.ask(Ask::anywhere(1, Resource::new(128, 1), 3));
        assert_eq!(said(&rows), [("*".to_owned(), 64, 0, true), ("*".to_owned(), 128, 3, true)]);
    }

    #[test]
    fn grants_count_down_the_ask_they_answer_and_the_rest_is_said_again_whole() {
        let mut asks = Asks::default();
        asks.ask(Ask::anywhere(1, Resource::new(64, 1), 2));
        asks.ask(Ask { id: 7, ..Ask::anywhere(1, Resource::new(64, 1), 1) });
        asks.granted(&allocation(1, 7));
        asks.granted(&allocation(1, 0));
        asks.granted(&allocation(9, 9));
        assert_eq!(asks.pending(), 1);
        assert_eq!(said(&asks.rows()), [("*".to_owned(), 64, 1, true)]);
    }
}
