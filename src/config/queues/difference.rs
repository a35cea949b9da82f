//! What changes between two trees of queues, in words.

use std::collections::BTreeMap;

use super::{Queue, QueuesConfig};

impl QueuesConfig {
    /// One line for each queue that comes, goes or changes, and for each other part that does.
    pub fn differences(&self, next: &Self) -> Vec<String> {
        let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (self.walk().into_iter().collect(), next.walk().into_iter().collect());
        let mut lines = Vec::new();
        for (path, queue) in &new {
            match old.get(path) {
                None => lines.push(format!("+ {path}: {}", share(queue))),
                Some(before) => {
                    lines.extend(changes(before, queue).into_iter().map(|change| format!("~ {path}: {change}")))
                }
            }
        }
        lines.extend(old.keys().filter(|path| !new.contains_key(*path)).map(|path| format!("- {path}")));
        for (part, changed) in [
            ("placement", self.placement != next.placement),
            ("groups", self.groups != next.groups),
            ("labels", self.labels != next.labels),
            ("scheduler", self.scheduler != next.scheduler),
        ] {
            if changed {
                lines.push(format!("~ {part}"));
            }
        }
        lines
    }
}

fn share(queue: &Queue) -> String {
    queue.capacity.as_ref().map_or_else(|| "an even share".to_owned(), |capacity| format!("capacity {capacity}"))
}

fn changes(before: &Queue, after: &Queue) -> Vec<String> {
    let mut changes = Vec::new();
    if before.capacity != after.capacity {
        changes.push(format!("{} -> {}", share(before), share(after)));
    }
    let text = |capacity: &Option<super::Capacity>| capacity.as_ref().map_or("100%".to_owned(), ToString::to_string);
    if before.maximum_capacity != after.maximum_capacity {
        let (from, to) = (text(&before.maximum_capacity), text(&after.maximum_capacity));
        changes.push(format!("maximum-capacity {from} -> {to}"));
    }
    if before.state != after.state {
        changes.push(format!("state {:?} -> {:?}", before.state, after.state).to_uppercase().replace("STATE", "state"));
    }
    let plain = |queue: &Queue| Queue {
        queues: BTreeMap::new(),
        capacity: None,
        maximum_capacity: None,
        state: super::QueueState::Running,
        ..queue.clone()
    };
    if plain(before) != plain(after) {
        changes.push("limits, order, access or labels".to_owned());
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_named_once() {
        let parse = |text| QueuesConfig::parse(text).unwrap();
        let old = parse("root: {queues: {a: {capacity: 60%}, b: {capacity: 40%}}}");
        let new = parse("root: {queues: {a: {capacity: 50%, state: STOPPED}, c: {capacity: 50%, priority: 1}}}");
        let lines = [
            "~ root.a: capacity 60% -> capacity 50%",
            "~ root.a: state RUNNING -> STOPPED",
            "+ root.c: capacity 50%",
            "- root.b",
        ];
        assert_eq!(old.differences(&new), lines);
        assert_eq!(old.differences(&old), Vec::<String>::new());
    }
}
