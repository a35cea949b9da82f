//! Nodes that are to leave the cluster, or must not join it: the list of the excluded, and what it does to nodes.
//!
//! ```text
//! decommission ─► RUNNING ─► DECOMMISSIONING (takes nothing new) ─ empty, or out of time ─► DECOMMISSIONED (told to shut down)
//! recommission ─────────────────┘ RUNNING again                       SHUTDOWN, and may register ◄──┘
//! ```
//! Invariant: the list is stored before anybody is told; a node on it whose time is up is refused when it registers.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Core, Saved};
use crate::ids::NodeId;
use crate::protocol::container::ExitCause;
use crate::protocol::node::{NodeState, ToNode};
use crate::resourcemanager::error::{RefusalCode, Refused};
use crate::resourcemanager::event::{Answer, Effect, Exclusion};
use crate::resourcemanager::node;
use crate::resourcemanager::record::{Excluded, Key, Record};
use crate::resourcemanager::timers::Timer;
use crate::time::Now;

impl Core {
    /// Changes the list, and what stands on it.
    pub(super) fn exclude(&mut self, change: Exclusion, now: Now, out: &mut Vec<Effect>) -> Result<Answer, Refused> {
        let (leave, come_back) = self.difference(change, now)?;
        let told: BTreeSet<String> = leave.iter().map(|entry| entry.node.clone()).chain(come_back.clone()).collect();
        self.excluded.retain(|entry| !told.contains(&entry.node));
        self.excluded.extend(leave.iter().cloned());
        let record = Record::Excluded { nodes: self.excluded.clone() };
        self.persist(Key::Excluded, Some(record), Saved::Nothing, out);
        for name in &come_back {
            for id in self.named(name) {
                self.timers.disarm(&Timer::Decommission(id.clone()));
                let _ = self.node_input(&id, &node::Input::Recommissioned, ExitCause::NodeLost, now);
            }
        }
        for entry in &leave {
            for id in self.named(&entry.node) {
                self.begin_to_leave(&id, entry.until, now, out);
            }
        }
        let nodes = self.nodes.iter().filter(|(id, _)| told.contains(&id.host) || told.contains(&id.to_string()));
        Ok(Answer::NodesExcluded { nodes: nodes.map(|(id, node)| (id.clone(), node.state)).collect() })
    }

    /// Who goes on the list, and who comes off it.
    fn difference(&self, change: Exclusion, now: Now) -> Result<(Vec<Excluded>, Vec<String>), Refused> {
        let entry = |node: String, grace: Duration| Excluded { node, until: now + grace };
        let listed = |name: &String| self.excluded.iter().any(|entry| entry.node == *name);
        match change {
            Exclusion::Add { nodes, grace } => {
                if let Some(unknown) = nodes.iter().find(|name| self.named(name).is_empty()) {
                    let why =
                        format!("there is no node {unknown}; give host or host:port as `flott node list` shows it");
                    return Err(Refused::new(RefusalCode::NotFound, why));
                }
                Ok((nodes.into_iter().map(|node| entry(node, grace)).collect(), Vec::new()))
            }
            Exclusion::Remove { nodes } => {
                if let Some(other) = nodes.iter().find(|name| !listed(name)) {
                    let known: Vec<_> = self.excluded.iter().map(|entry| entry.node.as_str()).collect();
                    let known = if known.is_empty() {
                        "nobody is".to_owned()
                    } else {
                        format!("those are: {}", known.join(", "))
                    };
                    let why = format!("{other} is not excluded; {known}");
                    return Err(Refused::new(RefusalCode::BadRequest, why));
                }
                Ok((Vec::new(), nodes))
            }
            // A list may name nodes that are not there yet.
            Exclusion::Replace { nodes, grace } => {
                let gone = self.excluded.iter().map(|entry| entry.node.clone()).filter(|name| !nodes.contains(name));
                let gone = gone.collect();
                let fresh = nodes.into_iter().filter(|name| !listed(name));
                Ok((fresh.map(|node| entry(node, grace)).collect(), gone))
            }
        }
    }

    /// Nodes by host, or by `host:port`.
    fn named(&self, name: &str) -> Vec<NodeId> {
        self.nodes.keys().filter(|id| id.host == name || id.to_string() == name).cloned().collect()
    }

    /// Until when a node may stay, if it is on the list.
    pub(super) fn excluded_until(&self, id: &NodeId) -> Option<Now> {
        let text = id.to_string();
        let of = self.excluded.iter().filter(|entry| entry.node == id.host || entry.node == text);
        of.map(|entry| entry.until).min()
    }

    /// A node takes nothing new; it is gone when it is empty, or when its time is up.
    pub(super) fn begin_to_leave(&mut self, id: &NodeId, until: Now, now: Now, out: &mut Vec<Effect>) {
        let _ = self.node_input(id, &node::Input::Excluded, ExitCause::NodeLost, now);
        let Some(node) = self.nodes.get(id) else { return };
        if node.state != NodeState::Decommissioning {
            return;
        }
        if node.containers.is_empty() || until <= now {
            self.decommission(id, now, out);
        } else {
            self.timers.arm(Timer::Decommission(id.clone()), until);
        }
    }

    /// What is left on a node ends, and so does the node.
    pub(super) fn decommission(&mut self, id: &NodeId, now: Now, out: &mut Vec<Effect>) {
        self.timers.disarm(&Timer::Decommission(id.clone()));
        self.timers.disarm(&Timer::Node(id.clone()));
        let cause = ExitCause::Aborted { why: "its node was decommissioned".to_owned() };
        if self.node_input(id, &node::Input::Drained, cause, now).is_err() {
            return;
        }
        self.flush_stops(out);
        let why =
            "the node was decommissioned; to have it back: flott node recommission, and start it again".to_owned();
        out.push(Effect::ToNode { node: id.clone(), message: Box::new(ToNode::Shutdown { why }) });
    }

    /// Nodes that were waited for and have become empty.
    pub(super) fn decommission_empty(&mut self, now: Now, out: &mut Vec<Effect>) {
        let empty = |node: &&node::Node| node.state == NodeState::Decommissioning && node.containers.is_empty();
        let gone: Vec<_> =
            self.leaving.iter().filter(|id| self.nodes.get(id).as_ref().is_some_and(empty)).cloned().collect();
        for id in gone {
            self.leaving.remove(&id);
            self.decommission(&id, now, out);
        }
    }
}
