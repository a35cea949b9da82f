//! What an attempt's master is to be told, until it acknowledges it.
//!
//! News gather during one `apply` and become one response with the next id. A response stays until the master's next request
//! carries its id (or a later one), and is sent again when the master's link begins afresh.

use std::collections::VecDeque;

use crate::ids::{ContainerId, NodeId};
use crate::protocol::application_master::{AllocateResponse, NodeReport};
use crate::protocol::container::ContainerStatus;
use crate::protocol::node::NodeState;

/// How a master is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Not registered, or its link is broken.
    #[default]
    Silent,
    /// It holds a link: responses go out by themselves.
    Link,
    /// It asks by HTTP: each request gets the oldest response there is.
    Pull,
}

/// News and unacknowledged responses.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    pub(crate) channel: Channel,
    /// Granted, not yet told.
    pub(crate) granted: Vec<ContainerId>,
    /// Ended, with the node to be told that the master knows; not yet told.
    pub(crate) completed: Vec<(ContainerStatus, NodeId)>,
    /// Nodes that changed; not yet told.
    pub(crate) nodes: Vec<NodeReport>,
    /// Whether the reasons of waiting asks changed in kind.
    pub(crate) reasons_changed: bool,
    /// Whether other containers than before are on notice.
    pub(crate) notices_changed: bool,
    /// Set after a restart of the ResourceManager: a surviving master that speaks HTTP counts on from an id that only its next
    /// request tells. On a new link ids begin anew.
    pub(crate) held: bool,
    last_id: u64,
    unacknowledged: VecDeque<(AllocateResponse, Vec<(ContainerId, NodeId)>)>,
}

/// A master acknowledged what it cannot have, or asked what was answered long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid response id {given}: the last one sent is {last}")]
pub(crate) struct InvalidResponseId {
    given: u64,
    last: u64,
}

impl Mailbox {
    /// Whether there is something to tell.
    pub(crate) fn has_news(&self) -> bool {
        let any = self.reasons_changed
            || self.notices_changed
            || !(self.granted.is_empty() && self.completed.is_empty() && self.nodes.is_empty());
        any && !self.held
    }

    /// Notes a node's change, replacing an older one that was not told yet.
    pub(crate) fn node_changed(&mut self, node: &NodeId, state: NodeState) {
        self.nodes.retain(|report| report.node != *node);
        self.nodes.push(NodeReport { node: node.clone(), state });
    }

    /// Keeps `response` until it is acknowledged; gives it its id.
    pub(crate) fn send(
        &mut self,
        mut response: AllocateResponse,
        ended: Vec<(ContainerId, NodeId)>,
    ) -> AllocateResponse {
        self.last_id += 1;
        response.response_id = self.last_id;
        self.unacknowledged.push_back((response.clone(), ended));
        response
    }

    /// Takes note that the master has everything up to `response_id`; returns whose completions it thereby knows.
    ///
    /// # Errors
    /// [`InvalidResponseId`] if that was never sent; nothing changes then.
    pub(crate) fn acknowledge(&mut self, response_id: u64) -> Result<Vec<(ContainerId, NodeId)>, InvalidResponseId> {
        if self.held {
            self.held = false;
            self.last_id = response_id;
        }
        if response_id > self.last_id {
            return Err(InvalidResponseId { given: response_id, last: self.last_id });
        }
        let mut known = Vec::new();
        while self.unacknowledged.front().is_some_and(|(response, _)| response.response_id <= response_id) {
            known.extend(self.unacknowledged.pop_front().into_iter().flat_map(|(_, ended)| ended));
        }
        Ok(known)
    }

    /// Whether the master has not acknowledged yet that this container has ended.
    pub(crate) fn owes(&self, container: ContainerId) -> bool {
        let told = self.unacknowledged.iter().flat_map(|(_, ended)| ended);
        self.completed.iter().any(|(status, _)| status.container == container)
            || told.into_iter().any(|(ended, _)| *ended == container)
    }

    /// What the master has not acknowledged, oldest first.
    pub(crate) fn unacknowledged(&self) -> impl Iterator<Item = &AllocateResponse> {
        self.unacknowledged.iter().map(|(response, _)| response)
    }

    /// The last id given.
    pub(crate) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Ends the conversation; returns every completion that was not acknowledged.
    pub(crate) fn close(&mut self) -> Vec<(ContainerId, NodeId)> {
        let mut ended: Vec<_> = self.completed.drain(..).map(|(status, node)| (status.container, node)).collect();
        ended.extend(self.unacknowledged.drain(..).flat_map(|(_, ended)| ended));
        self.granted.clear();
        self.nodes.clear();
        self.reasons_changed = false;
        self.notices_changed = false;
        self.channel = Channel::Silent;
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_stay_until_acknowledged_and_ids_never_jump() {
        let mut mailbox = Mailbox::default();
        for _ in 0..3 {
            mailbox.send(AllocateResponse::default(), Vec::new());
        }
        assert_eq!(mailbox.acknowledge(4), Err(InvalidResponseId { given: 4, last: 3 }));
        mailbox.acknowledge(2).unwrap();
        assert_eq!(mailbox.unacknowledged().map(|r| r.response_id).collect::<Vec<_>>(), [3]);
        mailbox.acknowledge(1).unwrap();
        assert_eq!(mailbox.unacknowledged().count(), 1, "an older acknowledgement changes nothing");
    }

    #[test]
    fn after_a_restart_ids_go_on_from_where_the_master_is() {
        let mut mailbox = Mailbox { held: true, reasons_changed: true, ..Mailbox::default() };
        assert!(!mailbox.has_news(), "nothing is sent before its first request");
        mailbox.acknowledge(17).unwrap();
        assert!(mailbox.has_news());
        assert_eq!(mailbox.send(AllocateResponse::default(), Vec::new()).response_id, 18);
    }
}
