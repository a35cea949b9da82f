//! Why an application waits: found out when somebody asks, from the state as it is. Nothing is kept for it.

use super::applications::{Entry, Stage};
use super::assign::is_named;
use super::keys::EntryKey;
use super::nodes::Node;
use super::users;
use super::{AppKey, Reason, Scheduler, Standing, Waiting};
use crate::ids::NodeId;
use crate::resource::Resource;
use crate::time::Now;

/// Why one node does not serve one ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReason {
    /// The node.
    pub node: NodeId,
    /// One line: `needs 4096 MB, free 3200 MB`.
    pub why: String,
}

impl Scheduler {
    /// What an application wants and has not got, most urgent first, with reasons.
    pub(crate) fn waiting(&self, key: AppKey, now: Now) -> Vec<Waiting> {
        let Some(app) = self.apps.get(key.index()) else { return Vec::new() };
        let masters_first = app.entries.iter().rev().filter(|((master, _), _)| *master);
        let workers = app.entries.iter().filter(|((master, _), _)| !*master);
        let entries = masters_first.chain(workers).map(|(_, entry)| *entry);
        let wanted = entries.filter(|entry| self.entry(*entry).wanted > 0);
        wanted.map(|entry| self.waiting_entry(entry, now)).collect()
    }

    /// Whether an application wants anything that it has not got.
    #[cfg(test)]
    pub(crate) fn wants(&self, key: AppKey) -> bool {
        self.apps.get(key.index()).is_some_and(|app| !app.entries.is_empty())
    }

    fn waiting_entry(&self, key: EntryKey, now: Now) -> Waiting {
        let entry = self.entry(key);
        let reason = self.by_limits(entry).or_else(|| self.by_nodes(entry, now)).unwrap_or_else(|| {
            let queue = self.queues.get(self.app(entry.app).leaf).path.clone();
            Reason::Turn { queue }
        });
        Waiting { key: entry.key.clone(), master: entry.master, count: entry.wanted, reason }
    }

    /// What queue and user have to do with it.
    pub(super) fn by_limits(&self, entry: &Entry) -> Option<Reason> {
        if let Some(unknown) = &entry.unknown {
            return Some(Reason::UnknownKind { name: unknown.0.clone() });
        }
        // Without nodes every limit is nothing, and no reason.
        if self.nodes.partition(entry.partition).active == 0 {
            return None;
        }
        let app = self.app(entry.app);
        let leaf = self.queues.get(app.leaf);
        let share = &leaf.shares[entry.partition.index()];
        let resource = |amount: &super::Amount| self.kinds.resource(amount);
        let asked = resource(&entry.amount);
        if let Some(label) = entry.label.as_ref().filter(|_| share.most.is_zero()) {
            return Some(Reason::NoAccess { queue: leaf.path.clone(), label: label.clone() });
        }
        let all = self.queues.all(entry.partition);
        let limited = entry.master && !app.is_command && leaf.running > 0 && share.masters_most != *all;
        if limited && !share.masters_most.fits(&share.masters.plus(&entry.amount)) {
            let (used, limit) = (resource(&share.masters), resource(&share.masters_most));
            return Some(Reason::MasterShare { queue: leaf.path.clone(), used, limit, asked });
        }
        if let Some(full) = self.at_parallel_maximum(app.leaf).filter(|_| entry.master) {
            let full = self.queues.get(full);
            let limit = full.config.max_parallel_apps.unwrap_or_default();
            return Some(Reason::ParallelApplications { queue: full.path.clone(), limit });
        }
        if let Some(full) = self.queues.at_maximum(app.leaf, entry.partition, &entry.amount) {
            let full = self.queues.get(full);
            let share = &full.shares[entry.partition.index()];
            let (used, limit) = (resource(&share.used.plus(&share.reserved)), resource(&share.most));
            return Some(Reason::QueueMaximum { queue: full.path.clone(), used, limit, asked });
        }
        let user = &leaf.users[app.user];
        users::is_at_limit(leaf, user, entry.partition, &entry.amount, all).then(|| Reason::UserLimit {
            user: user.name.clone(),
            queue: leaf.path.clone(),
            used: resource(&user.used[entry.partition.index()]),
            limit: resource(&users::limit(leaf, user, entry.partition, &entry.amount)),
        })
    }

    /// What nodes have to do with it.
    fn by_nodes(&self, entry: &Entry, now: Now) -> Option<Reason> {
        let partition = self.nodes.partition(entry.partition);
        let of = |node: &&Node| node.partition == entry.partition;
        if partition.usable == 0 {
            let known = self.nodes.iter().filter(of).count();
            return Some(match &entry.label {
                Some(label) => Reason::NoLabel { label: label.clone(), known },
                None if partition.active == 0 => Reason::NoNode { gone: known },
                None => Reason::NoUsableNode { nodes: partition.active },
            });
        }
        let app = self.app(entry.app);
        let asked = self.kinds.resource(&entry.amount);
        if let Some(node) = entry.reserved {
            let node = self.nodes.node(node);
            let free = self.kinds.resource(&node.free());
            return Some(Reason::Reserved { node: node.id.to_string(), asked, free });
        }
        if entry.stage(now, &self.delays) != Stage::Anywhere {
            let names = entry.local.iter().map(|row| self.nodes.place_at(row.place).name.clone()).collect();
            return Some(Reason::Locality { names });
        }
        let blacklisted = if app.blacklist.is_empty() {
            0
        } else {
            self.nodes.iter().filter(of).filter(|n| is_usable(n) && is_named(&app.blacklist, n)).count()
        };
        let allowed = partition.usable - blacklisted;
        if allowed == 0 {
            return Some(Reason::AllBlacklisted { nodes: blacklisted });
        }
        let largest = self.nodes.largest(entry.partition);
        if !largest.fits(&entry.amount) {
            let largest = self.plain(&largest);
            return Some(Reason::TooLarge { asked, nodes: allowed, largest });
        }
        let free = match blacklisted {
            0 => self.nodes.most_free(entry.partition),
            _ => {
                let open = self.nodes.iter().filter(of).filter(|n| is_usable(n) && !is_named(&app.blacklist, n));
                open.fold(super::Amount::ZERO, |most, node| most.greater(&node.free()))
            }
        };
        let accept = |node: &Node| !is_named(&app.blacklist, node);
        if self.nodes.find(entry.partition, None, &entry.amount, &accept).is_some() {
            return None;
        }
        Some(Reason::NoRoom { asked, nodes: allowed, blacklisted, largest: self.plain(&free) })
    }

    /// Memory and cores only, as the texts show them.
    fn plain(&self, amount: &super::Amount) -> Resource {
        let resource = self.kinds.resource(amount);
        Resource::new(resource.memory_mb, resource.vcores)
    }

    /// Why each node does not serve what the application wants most, at most `most` nodes.
    pub(crate) fn why_not_nodes(&self, key: AppKey, most: usize) -> Vec<NodeReason> {
        let Some(app) = self.apps.get(key.index()) else { return Vec::new() };
        let first = app.entries.values().rev().find(|entry| self.entry(**entry).master);
        let first = first.or_else(|| app.entries.values().find(|entry| self.entry(**entry).wanted > 0));
        let Some(entry) = first.map(|entry| self.entry(*entry)) else { return Vec::new() };
        let reason = |node: &Node| NodeReason { node: node.id.clone(), why: self.why_not(entry, node) };
        self.nodes.iter().filter(|node| node.standing != Standing::Gone).take(most).map(reason).collect()
    }

    fn why_not(&self, entry: &Entry, node: &Node) -> String {
        if node.standing == Standing::Silent {
            return "takes no containers now: disconnected, unfit or leaving".to_owned();
        }
        let label = &self.nodes.partition(node.partition).label;
        if node.partition != entry.partition && !label.is_empty() && self.nodes.partition(node.partition).exclusive {
            return format!("is only for asks with label {label}");
        }
        if node.partition != entry.partition && label.is_empty() {
            return format!("has no label {}", entry.label.as_deref().unwrap_or_default());
        }
        if is_named(&self.app(entry.app).blacklist, node) {
            return "is blacklisted by the application".to_owned();
        }
        let free = node.free();
        if !free.fits(&entry.amount) {
            let (needs, has) = (self.kinds.resource(&entry.amount), self.kinds.resource(&free));
            return match () {
                () if needs.memory_mb > has.memory_mb => {
                    format!("needs {} MB, free {} MB", needs.memory_mb, has.memory_mb)
                }
                () if needs.vcores > has.vcores => format!("needs {} vcores, free {} vcores", needs.vcores, has.vcores),
                () => format!("needs {needs}, free {has}"),
            };
        }
        if node.reserved.is_some() {
            return "is held free for a larger container".to_owned();
        }
        "has room; a limit of queue or user, or locality, stands in the way".to_owned()
    }
}

fn is_usable(node: &Node) -> bool {
    node.standing == Standing::Usable
}
