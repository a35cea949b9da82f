//! Nodes by partition and rack: what each has free, and which of them has room.
//!
//! ```text
//! partition (label) ─► tree over racks ─► tree over a rack's nodes ─► node: total, used
//! place (host, host:port, /rack) ─► its nodes, and who waits for room there
//! ```
//! Invariant: a leaf shows what the node has free if it may be used and is not reserved, and nothing otherwise.

use std::collections::{BTreeMap, BTreeSet};

use super::amount::Amount;
use super::keys::{EntryKey, NodeKey, PartitionKey, PlaceKey};
use super::room::MaxTree;
use super::{Placement, Standing};
use crate::ids::NodeId;

/// Once a node is found, so many others are looked at that may be better. Of fewer nodes the very best is taken.
const PATIENCE: usize = 16;
/// The nodes without a label.
pub(super) const UNLABELLED: usize = 0;

/// A node that has been known at some time.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) partition: PartitionKey,
    pub(super) rack: PlaceKey,
    /// By host name, and by `host:port`.
    pub(super) names: [PlaceKey; 2],
    pub(super) total: Amount,
    pub(super) used: Amount,
    pub(super) standing: Standing,
    /// For whom it is held free.
    pub(super) reserved: Option<EntryKey>,
    /// Rack of its partition, leaf in that rack.
    leaf: (usize, usize),
    shown: Amount,
}

impl Node {
    pub(super) fn free(&self) -> Amount {
        self.total.minus(&self.used)
    }
}

/// Something nodes are asked by.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: String,
    nodes: Vec<NodeKey>,
    pub(super) waiting: BTreeSet<EntryKey>,
}

#[derive(Debug, Default)]
struct Rack {
    room: MaxTree,
    nodes: Vec<Option<NodeKey>>,
    vacant: Vec<usize>,
}

/// The nodes of one label.
#[derive(Debug, Default)]
pub(super) struct Partition {
    /// Empty for nodes without.
    pub(super) label: String,
    pub(super) exclusive: bool,
    /// What its active nodes offer.
    pub(super) total: Amount,
    /// What can be granted there now.
    pub(super) free: Amount,
    pub(super) active: usize,
    pub(super) usable: usize,
    racks: Vec<Rack>,
    by_place: BTreeMap<PlaceKey, usize>,
    top: MaxTree,
    /// What active nodes offer, by node.
    sizes: MaxTree,
}

/// Every node.
#[derive(Debug)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    by_id: BTreeMap<NodeId, NodeKey>,
    places: Vec<Place>,
    by_name: BTreeMap<String, PlaceKey>,
    partitions: Vec<Partition>,
    placement: Placement,
}

impl Nodes {
    pub(super) fn new(placement: Placement) -> Self {
        Self {
            nodes: Vec::new(),
            by_id: BTreeMap::new(),
            places: Vec::new(),
            by_name: BTreeMap::new(),
            partitions: vec![Partition::default()],
            placement,
        }
    }

    /// The nodes with this label, of which there may be none yet.
    pub(super) fn partition_of(&mut self, label: &str) -> PartitionKey {
        match self.partitions.iter().position(|partition| partition.label == label) {
            Some(index) => PartitionKey::new(index),
            None => {
                self.partitions.push(Partition { label: label.to_owned(), exclusive: true, ..Partition::default() });
                PartitionKey::new(self.partitions.len() - 1)
            }
        }
    }

    pub(super) fn set_exclusive(&mut self, partition: PartitionKey, exclusive: bool) {
        self.partitions[partition.index()].exclusive = exclusive;
    }

    pub(super) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    pub(super) fn partition(&self, key: PartitionKey) -> &Partition {
        &self.partitions[key.index()]
    }

    /// The key of a name, known or not: nodes may come later.
    pub(super) fn place(&mut self, name: &str) -> PlaceKey {
        if let Some(key) = self.by_name.get(name) {
            return *key;
        }
        let key = PlaceKey::new(self.places.len());
        self.places.push(Place { name: name.to_owned(), nodes: Vec::new(), waiting: BTreeSet::new() });
        self.by_name.insert(name.to_owned(), key);
        key
    }

    pub(super) fn place_at(&self, key: PlaceKey) -> &Place {
        &self.places[key.index()]
    }

    pub(super) fn place_mut(&mut self, key: PlaceKey) -> &mut Place {
        &mut self.places[key.index()]
    }

    pub(super) fn key(&self, id: &NodeId) -> Option<NodeKey> {
        self.by_id.get(id).copied()
    }

    pub(super) fn node(&self, key: NodeKey) -> &Node {
        &self.nodes[key.index()]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Takes a node in, or takes note of how it is now.
    pub(super) fn set(&mut self, id: &NodeId, rack: &str, label: &str, total: Amount, standing: Standing) -> NodeKey {
        let partition = self.partition_of(label);
        let rack = self.place(rack);
        let key = match self.by_id.get(id) {
            Some(key) => *key,
            None => self.enter(id, rack, partition),
        };
        if (self.node(key).partition, self.node(key).rack) != (partition, rack) {
            self.leave_rack(key);
            let node = &mut self.nodes[key.index()];
            (node.partition, node.rack) = (partition, rack);
            self.enter_rack(key);
        }
        self.count(key, false);
        let node = &mut self.nodes[key.index()];
        (node.total, node.standing) = (total, standing);
        let size = if standing == Standing::Gone { Amount::ZERO } else { total };
        self.partitions[partition.index()].sizes.set(key.index(), size);
        self.count(key, true);
        self.show(key);
        key
    }

    fn enter(&mut self, id: &NodeId, rack: PlaceKey, partition: PartitionKey) -> NodeKey {
        let key = NodeKey::new(self.nodes.len());
        let names = [self.place(&id.host), self.place(&id.to_string())];
        for name in names {
            self.place_mut(name).nodes.push(key);
        }
        self.nodes.push(Node {
            id: id.clone(),
            partition,
            rack,
            names,
            total: Amount::ZERO,
            used: Amount::ZERO,
            standing: Standing::Gone,
            reserved: None,
            leaf: (0, 0),
            shown: Amount::ZERO,
        });
        self.by_id.insert(id.clone(), key);
        self.enter_rack(key);
        key
    }

    fn enter_rack(&mut self, key: NodeKey) {
        let node = &mut self.nodes[key.index()];
        let partition = &mut self.partitions[node.partition.index()];
        let rack = *partition.by_place.entry(node.rack).or_insert_with(|| {
            partition.racks.push(Rack::default());
            partition.racks.len() - 1
        });
        let nodes = &mut partition.racks[rack];
        let leaf = nodes.vacant.pop().unwrap_or_else(|| {
            nodes.nodes.push(None);
            nodes.nodes.len() - 1
        });
        nodes.nodes[leaf] = Some(key);
        node.leaf = (rack, leaf);
    }

    fn leave_rack(&mut self, key: NodeKey) {
        self.count(key, false);
        let node = &mut self.nodes[key.index()];
        node.standing = Standing::Gone;
        let (partition, (rack, leaf)) = (node.partition, node.leaf);
        self.partitions[partition.index()].sizes.set(key.index(), Amount::ZERO);
        self.show(key);
        let rack = &mut self.partitions[partition.index()].racks[rack];
        rack.nodes[leaf] = None;
        rack.vacant.push(leaf);
    }

    fn count(&mut self, key: NodeKey, in_or_out: bool) {
        let node = &self.nodes[key.index()];
        let partition = &mut self.partitions[node.partition.index()];
        let (active, usable) = match node.standing {
            Standing::Gone => (0, 0),
            Standing::Silent => (1, 0),
            Standing::Usable => (1, 1),
        };
        if active == 1 && in_or_out {
            partition.total.add(&node.total);
        } else if active == 1 {
            partition.total.subtract(&node.total);
        }
        let change = |count: usize, by: usize| if in_or_out { count + by } else { count - by };
        partition.active = change(partition.active, active);
        partition.usable = change(partition.usable, usable);
    }

    /// Brings the trees up to date with a node.
    fn show(&mut self, key: NodeKey) {
        let node = &mut self.nodes[key.index()];
        let open = node.standing == Standing::Usable && node.reserved.is_none();
        let shown = if open { node.total.minus(&node.used) } else { Amount::ZERO };
        let partition = &mut self.partitions[node.partition.index()];
        partition.free.subtract(&node.shown);
        partition.free.add(&shown);
        node.shown = shown;
        let (rack, leaf) = node.leaf;
        let room = &mut partition.racks[rack].room;
        room.set(leaf, shown);
        let most = *room.most();
        partition.top.set(rack, most);
    }

    pub(super) fn take(&mut self, key: NodeKey, amount: &Amount) {
        self.nodes[key.index()].used.add(amount);
        self.show(key);
    }

    pub(super) fn give_back(&mut self, key: NodeKey, amount: &Amount) {
        self.nodes[key.index()].used.subtract(amount);
        self.show(key);
    }

    pub(super) fn reserve(&mut self, key: NodeKey, entry: Option<EntryKey>) {
        self.nodes[key.index()].reserved = entry;
        self.show(key);
    }

    /// The best node of a partition for `need`, in one rack or anywhere.
    pub(super) fn find(
        &self,
        partition: PartitionKey,
        rack: Option<PlaceKey>,
        need: &Amount,
        accept: &dyn Fn(&Node) -> bool,
    ) -> Option<NodeKey> {
        let partition = &self.partitions[partition.index()];
        match rack {
            Some(rack) => self.in_rack(&partition.racks[*partition.by_place.get(&rack)?], need, accept),
            None => self.anywhere(partition, need, accept),
        }
    }

    fn anywhere(&self, partition: &Partition, need: &Amount, accept: &dyn Fn(&Node) -> bool) -> Option<NodeKey> {
        let mut found = None;
        match self.placement {
            Placement::Spread => partition.top.search(need, None, &mut { PATIENCE }, &mut |rack, best, patience| {
                let better = self.freest(&partition.racks[rack], need, best, patience, accept)?;
                found = Some(better);
                Some(self.node(better).shown.memory())
            }),
            Placement::Pack => {
                partition.top.first(need, &mut |rack| {
                    found = self.first(&partition.racks[rack], need, accept);
                    found.is_some()
                });
            }
        }
        found
    }

    fn in_rack(&self, rack: &Rack, need: &Amount, accept: &dyn Fn(&Node) -> bool) -> Option<NodeKey> {
        match self.placement {
            Placement::Spread => self.freest(rack, need, None, &mut { PATIENCE }, accept),
            Placement::Pack => self.first(rack, need, accept),
        }
    }

    /// The node of a rack with most free memory, if that is more than `best`.
    fn freest(
        &self,
        rack: &Rack,
        need: &Amount,
        best: Option<u64>,
        patience: &mut usize,
        accept: &dyn Fn(&Node) -> bool,
    ) -> Option<NodeKey> {
        let mut found = None;
        rack.room.search(need, best, patience, &mut |leaf, _, _| {
            let key = rack.nodes[leaf].filter(|key| accept(self.node(*key)))?;
            found = Some(key);
            Some(self.node(key).shown.memory())
        });
        found
    }

    /// The first node of a rack.
    fn first(&self, rack: &Rack, need: &Amount, accept: &dyn Fn(&Node) -> bool) -> Option<NodeKey> {
        let taken = |leaf: usize| rack.nodes[leaf].filter(|key| accept(self.node(*key)));
        let leaf = rack.room.first(need, &mut |leaf| taken(leaf).is_some())?;
        rack.nodes[leaf]
    }

    /// The freest node of that name with room, whatever its rack.
    pub(super) fn of_host(
        &self,
        host: PlaceKey,
        partition: PartitionKey,
        need: &Amount,
        accept: &dyn Fn(&Node) -> bool,
    ) -> Option<NodeKey> {
        let fits = |key: &&NodeKey| {
            let node = self.node(**key);
            node.partition == partition && node.shown.fits(need) && accept(node)
        };
        let of_name = self.place_at(host).nodes.iter().filter(fits);
        of_name.max_by_key(|key| (self.node(**key).shown.memory(), std::cmp::Reverse(**key))).copied()
    }

    /// The most of each kind that is free on a node of the partition.
    pub(super) fn most_free(&self, partition: PartitionKey) -> Amount {
        *self.partitions[partition.index()].top.most()
    }

    /// The most of each kind that a node of the partition offers.
    pub(super) fn largest(&self, partition: PartitionKey) -> Amount {
        *self.partitions[partition.index()].sizes.most()
    }
}
