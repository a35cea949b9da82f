//! What a tree of queues must keep to. Every problem is found, not only the first.

use super::{Capacity, PlacementRule, Queue, QueuesConfig};

/// Percentages are written by people: thirds do not add up to 100.
const PERCENT_SLACK: f64 = 0.1;

/// What is wrong, one line each.
pub(super) fn problems(config: &QueuesConfig) -> Vec<String> {
    let mut problems = Vec::new();
    if config.root.queues.is_empty() {
        problems.push("root has no queues; give it at least one, e.g. `default: {}`".to_owned());
    }
    if config.root.capacity.is_some() || config.root.maximum_capacity.is_some() {
        problems.push("root is the whole cluster; remove its capacity".to_owned());
    }
    for (path, queue) in config.walk() {
        one(&path, queue, config, &mut problems);
        siblings(&path, queue, &mut problems);
    }
    let options = &config.scheduler;
    if !(options.preemption_round_percent > 0.0 && options.preemption_round_percent <= 100.0) {
        let percent = options.preemption_round_percent;
        problems.push(format!("preemption-round-percent is {percent}; it must be above 0 and at most 100"));
    }
    if !(options.preemption_dead_zone_percent >= 0.0 && options.preemption_dead_zone_percent.is_finite()) {
        let percent = options.preemption_dead_zone_percent;
        problems.push(format!("preemption-dead-zone-percent is {percent}; it must not be below 0"));
    }
    if options.preemption_interval.is_zero() {
        problems.push("preemption-interval is 0; rounds need a pause between them, e.g. 3 s".to_owned());
    }
    for rule in &config.placement {
        placement(rule, config, &mut problems);
    }
    problems
}

fn one(path: &str, queue: &Queue, config: &QueuesConfig, problems: &mut Vec<String>) {
    let mut problem = |text: String| problems.push(format!("{path}: {text}"));
    for name in queue.queues.keys().filter(|name| name.is_empty() || name.contains(['.', '/', ' ', '%'])) {
        problem(format!("`{name}` is no queue's name; use letters, digits, - and _"));
    }
    if let (Some(Capacity::Percent(least)), Some(Capacity::Percent(most))) = (&queue.capacity, &queue.maximum_capacity)
        && most < least
    {
        problem(format!("maximum-capacity {most}% is below its capacity {least}%"));
    }
    if let (Some(Capacity::Absolute(least)), Some(Capacity::Absolute(most))) =
        (&queue.capacity, &queue.maximum_capacity)
        && !most.fits(least)
    {
        problem(format!("maximum-capacity {most} is below its capacity {least}"));
    }
    if let Some(most @ Capacity::Weight(_)) = &queue.maximum_capacity {
        problem(format!("maximum-capacity {most} is a weight; write a percentage or amounts"));
    }
    if let Some(percent) = queue.minimum_user_limit_percent
        && !(percent > 0.0 && percent <= 100.0)
    {
        problem(format!("minimum-user-limit-percent is {percent}; it must be above 0 and at most 100"));
    }
    if let Some(factor) = queue.user_limit_factor
        && !(factor > 0.0 || (factor + 1.0).abs() < f64::EPSILON)
    {
        problem(format!("user-limit-factor is {factor}; it must be above 0, or -1 for no such limit"));
    }
    if let Some(share) = queue.maximum_am_resource_percent
        && !(share > 0.0 && share <= 1.0)
    {
        problem(format!("maximum-am-resource-percent is {share}; it must be above 0 and at most 1"));
    }
    for (user, weight) in queue.user_weights.iter().filter(|(_, weight)| !(weight.is_finite() && **weight > 0.0)) {
        problem(format!("the weight of user {user} is {weight}; it must be above 0"));
    }
    if let (Some(usual), Some(most)) = (queue.default_application_lifetime, queue.maximum_application_lifetime)
        && usual > most
    {
        problem("default-application-lifetime is above maximum-application-lifetime".to_owned());
    }
    let named = queue.accessible_node_labels.keys().chain(&queue.default_node_label_expression);
    for label in named.filter(|label| !config.labels.contains_key(*label)) {
        problem(format!("there is no label {label}; name it under `labels`"));
    }
}

fn siblings(path: &str, parent: &Queue, problems: &mut Vec<String>) {
    let names = || parent.queues.keys().map(|name| format!("{path}.{name}")).collect::<Vec<_>>().join(", ");
    let stated: Vec<&Capacity> = parent.queues.values().filter_map(|queue| queue.capacity.as_ref()).collect();
    let Some(first) = stated.first() else { return };
    if stated.len() < parent.queues.len() {
        problems.push(format!("{path}: some of {} have a capacity and some have not; give all one, or none", names()));
        return;
    }
    if stated.iter().any(|capacity| capacity.mode() != first.mode()) {
        problems.push(format!("{path}: {} mix percentages, weights and amounts; use one of them", names()));
        return;
    }
    let sum: f64 = stated.iter().map(|capacity| percent(capacity)).sum();
    if matches!(first, Capacity::Percent(_)) && (sum - 100.0).abs() > PERCENT_SLACK {
        problems.push(format!("{path}: the shares of {} add up to {sum}%, not to 100%", names()));
    }
    if matches!(first, Capacity::Weight(_)) && stated.iter().all(|capacity| **capacity == Capacity::Weight(0.0)) {
        problems.push(format!("{path}: the weights of {} are all 0", names()));
    }
    let mut labels: Vec<&String> =
        parent.queues.values().flat_map(|queue| queue.accessible_node_labels.keys()).collect();
    labels.sort();
    labels.dedup();
    for label in labels {
        let shares = parent.queues.values().filter_map(|queue| queue.accessible_node_labels.get(label));
        let sum: f64 = shares.map(|share| share.capacity).sum();
        if sum > 100.0 + PERCENT_SLACK {
            problems.push(format!("{path}: the shares of label {label} add up to {sum}%, more than 100%"));
        }
    }
}

fn percent(capacity: &Capacity) -> f64 {
    match capacity {
        Capacity::Percent(percent) => *percent,
        Capacity::Weight(_) | Capacity::Absolute(_) => 0.0,
    }
}

fn placement(rule: &PlacementRule, config: &QueuesConfig, problems: &mut Vec<String>) {
    let queue = match rule {
        PlacementRule::User { queue, .. }
        | PlacementRule::Application { queue, .. }
        | PlacementRule::Default { queue } => queue,
        PlacementRule::Group { group, queue } => {
            if !config.groups.contains_key(group) {
                problems.push(format!("placement: there is no group {group}; name its members under `groups`"));
            }
            queue
        }
        PlacementRule::Specified | PlacementRule::Reject => return,
    };
    if !queue.contains('%') && !is_leaf(config, queue) {
        problems.push(format!("placement: {queue} is no queue that takes applications"));
    }
}

/// By path, or by a name that only one leaf has.
fn is_leaf(config: &QueuesConfig, name: &str) -> bool {
    let leaves = config.walk();
    let mut leaves = leaves.iter().filter(|(_, queue)| queue.queues.is_empty());
    leaves.any(|(path, _)| path == name || path.rsplit('.').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Resource;

    fn refused(text: &str) -> Vec<String> {
        QueuesConfig::parse(text).unwrap_err().problems
    }

    #[test]
    fn every_problem_is_named_with_its_queue() {
        let text = "root:\n  queues:\n    a: {capacity: 50%, maximum-capacity: 40%}\n    b: {capacity: 40%, user-limit-factor: 0}\n";
        assert_eq!(
            refused(text),
            [
                "root: the shares of root.a, root.b add up to 90%, not to 100%",
                "root.a: maximum-capacity 40% is below its capacity 50%",
                "root.b: user-limit-factor is 0; it must be above 0, or -1 for no such limit",
            ]
        );
        let mixed = "root: {queues: {a: {capacity: 50%}, b: {capacity: 1w}}}";
        assert_eq!(refused(mixed), ["root: root.a, root.b mix percentages, weights and amounts; use one of them"]);
        let partly = "root: {queues: {a: {capacity: 50%}, b: {}}}";
        assert!(refused(partly)[0].contains("give all one, or none"));
        let nowhere = "root: {queues: {a: {}}}\nplacement: [{rule: user, user: u, queue: root.b}]";
        assert_eq!(refused(nowhere), ["placement: root.b is no queue that takes applications"]);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let problem = refused("root:\n  queues:\n    a: {capcity: 100%}\n").remove(0);
        assert!(problem.contains("capcity") && problem.contains('3'), "{problem}");
    }

    #[test]
    fn the_three_modes_are_read() {
        let text = "root:\n  queues:\n    a:\n      capacity: '[memory=1024, vcores=2]'\n      maximum-allocation: memory=512, vcores=1\n\
            \x20     queues:\n        x: {capacity: 2w}\n        y: {capacity: 1w, maximum-application-lifetime: 1 h}\n";
        let config = QueuesConfig::parse(text).unwrap();
        let a = &config.root.queues["a"];
        assert_eq!(a.capacity, Some(Capacity::Absolute(Resource::new(1024, 2))));
        assert_eq!(a.maximum_allocation, Some(Resource::new(512, 1)));
        assert_eq!(a.queues["x"].capacity, Some(Capacity::Weight(2.0)));
        let paths: Vec<String> = config.walk().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["root", "root.a", "root.a.x", "root.a.y"]);
    }
}
