//! A scheduler that does nothing but hand out the next node: what a run costs without one.

use std::collections::{BTreeMap, VecDeque};

use super::Schedules;
use crate::ids::{ApplicationId, NodeId};
use crate::protocol::application_master::{ANY, ResourceRequest};
use crate::resource::Resource;
use crate::resourcemanager::asks::AskKey;
use crate::resourcemanager::scheduler::{AllocationKey, AppKey, Grant};
use crate::time::Now;

/// It has no queues, no limits and no room to run out of, but for how many containers there may be.
#[derive(Debug)]
pub(super) struct Null {
    nodes: Vec<NodeId>,
    next: usize,
    apps: Vec<ApplicationId>,
    wanted: VecDeque<(AppKey, AskKey)>,
    counted: BTreeMap<(AppKey, AskKey), u32>,
    granted: usize,
    /// Containers at a time; the real scheduler's cluster is full at about as many.
    most: usize,
    live: usize,
}

impl Null {
    pub(super) fn new(most: usize) -> Self {
        Self {
            nodes: Vec::new(),
            next: 0,
            apps: Vec::new(),
            wanted: VecDeque::new(),
            counted: BTreeMap::new(),
            granted: 0,
            most,
            live: 0,
        }
    }
}

impl Schedules for Null {
    fn set_node(&mut self, node: &NodeId, _: &str, _: &Resource, up: bool) {
        if up && !self.nodes.contains(node) {
            self.nodes.push(node.clone());
        }
    }

    fn add_app(&mut self, id: ApplicationId, _: &str, _: &str, _: u32) -> Option<AppKey> {
        self.apps.push(id);
        Some(AppKey::new(self.apps.len() - 1))
    }

    fn remove_app(&mut self, _: AppKey) {}

    fn ask(&mut self, app: AppKey, row: &ResourceRequest, _: Now) {
        if row.resource_name != ANY {
            return;
        }
        let key = AskKey::new(row.priority, row.allocation_request_id, &row.capability);
        let known = self.counted.entry((app, key.clone())).or_default();
        for _ in *known..row.count {
            self.wanted.push_back((app, key.clone()));
        }
        *known = row.count.max(*known);
    }

    fn release(&mut self, _: AllocationKey) {
        self.live -= 1;
    }

    fn schedule(&mut self, _: Now) -> Vec<Grant> {
        let mut grants = Vec::new();
        while self.live < self.most {
            let Some((app, key)) = self.wanted.pop_front() else { break };
            if let Some(count) = self.counted.get_mut(&(app, key.clone())) {
                *count -= 1;
            }
            self.next = (self.next + 1) % self.nodes.len();
            self.granted += 1;
            self.live += 1;
            let (application, node) = (self.apps[app.index()], self.nodes[self.next].clone());
            let allocation = AllocationKey::new(self.granted);
            grants.push(Grant { app, application, key, master: false, node, allocation });
        }
        grants
    }

    fn audit(&self) -> Result<(), String> {
        Ok(())
    }

    fn shares(&self) -> Vec<(String, f64)> {
        Vec::new()
    }
}
