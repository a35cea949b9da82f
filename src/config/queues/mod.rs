//! The tree of queues: who may use how much of the cluster (`conf/queues.yaml`).
//!
//! ```text
//! queues.yaml ─► serde ─► check (every problem at once, with the queue's path) ─► QueuesConfig ─► scheduler
//! ```
//! Words and meanings are those of YARN's CapacityScheduler. A [`QueuesConfig`] that was read has been checked.

mod capacity;
mod check;
mod difference;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

pub use self::capacity::{Capacity, InvalidCapacity};
use crate::resource::Resource;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QueuesConfig {
    /// The root; its queues share the cluster.
    pub root: Queue,
    /// Which queue an application goes to; the first rule that fits decides. Without rules: the queue it names.
    #[serde(default)]
    pub placement: Vec<PlacementRule>,
    /// Members of groups, for placement and access lists.
    #[serde(default)]
    pub groups: BTreeMap<String, Vec<String>>,
    /// Labels that nodes may have. Each divides the cluster: a node has one label or none.
    #[serde(default)]
    pub labels: BTreeMap<String, Label>,
    /// How the scheduler waits and reserves.
    #[serde(default)]
    pub scheduler: SchedulerOptions,
}

/// One queue.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Queue {
    /// Child queues by name. A queue without is a *leaf*: only leaves take applications.
    pub queues: BTreeMap<String, Queue>,
    /// What it is promised of its parent. Siblings use one mode; where none says anything they share evenly.
    pub capacity: Option<Capacity>,
    /// What it may use of its parent at most; default all.
    pub maximum_capacity: Option<Capacity>,
    /// Whether it takes applications.
    pub state: QueueState,
    /// Larger numbers are served first among siblings that are alike below or above their promise.
    pub priority: i32,
    /// Which application is served first.
    pub ordering_policy: OrderingPolicy,
    /// Each active user is promised at least this much of the queue, in percent; default 100.
    pub minimum_user_limit_percent: Option<f64>,
    /// One user may use so many times the queue's promise; default 1, -1 for no such limit.
    pub user_limit_factor: Option<f64>,
    /// How much more than others a user's limit is; default 1.
    pub user_weights: BTreeMap<String, f64>,
    /// Which part of the queue masters may use, 0 to 1; default: `resourcemanager.am.share`.
    pub maximum_am_resource_percent: Option<f64>,
    /// How many applications may wait or run at a time; default 10,000.
    pub maximum_applications: Option<u32>,
    /// How many applications may run at a time, the others wait; default: no limit.
    pub max_parallel_apps: Option<u32>,
    /// The largest container; default: the cluster's.
    #[serde(deserialize_with = "capacity::optional_resource")]
    pub maximum_allocation: Option<Resource>,
    /// Who may submit: `user1,user2 group1,group2`, `*` for all, a blank for nobody. Who may submit to a queue may submit to
    /// every queue below; default `*` at the root, nobody more below.
    pub acl_submit_applications: Option<String>,
    /// Who may end and move others' applications; written and inherited as for submitting.
    pub acl_administer_queue: Option<String>,
    /// Priority of applications that name none.
    pub default_application_priority: Option<u32>,
    /// Applications that name no lifetime end after so long.
    #[serde(deserialize_with = "optional_duration")]
    pub default_application_lifetime: Option<Duration>,
    /// No application lives longer.
    #[serde(deserialize_with = "optional_duration")]
    pub maximum_application_lifetime: Option<Duration>,
    /// Labels whose nodes it may use, with its share of them.
    pub accessible_node_labels: BTreeMap<String, LabelShare>,
    /// Whether what applications here and below have is never taken from them for others.
    pub disable_preemption: bool,
    /// The label of asks that name none.
    pub default_node_label_expression: Option<String>,
}

/// A queue's share of the nodes with a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LabelShare {
    /// Percent of the parent's share; default 0: only what others leave.
    pub capacity: f64,
    /// At most this percent of the parent's share; default 100.
    pub maximum_capacity: Option<f64>,
}

/// Whether a queue takes applications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum QueueState {
    /// It does.
    #[default]
    Running,
    /// It takes none; those it has go on. It shows as DRAINING until they have ended.
    Stopped,
}

/// Which application of a queue is served first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderingPolicy {
    /// Higher priority, then the one submitted earlier.
    #[default]
    Fifo,
    /// The one that has least, by its dominant resource.
    Fair,
}

/// A label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Label {
    /// Whether its nodes are only for asks that name it; otherwise others may use what those leave.
    #[serde(default = "yes")]
    pub exclusive: bool,
}

/// Where applications go. `%user` and `%primary_group` in a queue stand for the submitter's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "rule")]
pub enum PlacementRule {
    /// Those of a user.
    User {
        /// Who.
        user: String,
        /// Where to.
        queue: String,
    },
    /// Those of a group's members.
    Group {
        /// Which.
        group: String,
        /// Where to.
        queue: String,
    },
    /// Those with a name.
    Application {
        /// Which.
        name: String,
        /// Where to.
        queue: String,
    },
    /// To the queue that the submission names, if there is one of that name.
    Specified,
    /// All others.
    Default {
        /// Where to.
        queue: String,
    },
    /// Refuse all others.
    Reject,
}

/// How the scheduler waits and reserves.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SchedulerOptions {
    /// How long an ask waits for its hosts before its racks will do; default 0.
    #[serde(deserialize_with = "duration")]
    pub node_locality_delay: Duration,
    /// How much longer it waits for its racks before any node will do; default 0.
    #[serde(deserialize_with = "duration")]
    pub rack_locality_additional_delay: Duration,
    /// After so long an ask that fits nowhere, while smaller ones are served, gets a node reserved; default 5 s.
    #[serde(deserialize_with = "duration")]
    pub reservation_delay: Duration,
    /// Whether containers are taken from who has more than its promise for who has less and waits; default `none`.
    pub preemption: Preemption,
    /// Between two looks for who starves, and how long one must wait to count; default 3 s.
    #[serde(deserialize_with = "duration")]
    pub preemption_interval: Duration,
    /// Between the notice to a container's application and its end; default 15 s.
    #[serde(deserialize_with = "duration")]
    pub preemption_grace: Duration,
    /// At most this percent of the cluster is on notice at a time; default 10.
    pub preemption_round_percent: f64,
    /// A queue this percent above its promise is left alone; default 10.
    pub preemption_dead_zone_percent: f64,
}

/// From whom containers are taken for others that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preemption {
    /// From nobody: who waits, waits for ends.
    #[default]
    None,
    /// From queues above their promise, for queues below theirs.
    BetweenQueues,
    /// So, and within a queue from lower priorities, and from users above their limit for users below theirs.
    WithinQueues,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self {
            node_locality_delay: Duration::ZERO,
            rack_locality_additional_delay: Duration::ZERO,
            reservation_delay: Duration::from_secs(5),
            preemption: Preemption::None,
            preemption_interval: Duration::from_secs(3),
            preemption_grace: Duration::from_secs(15),
            preemption_round_percent: 10.0,
            preemption_dead_zone_percent: 10.0,
        }
    }
}

/// One queue, `root.default`, that has everything.
impl Default for QueuesConfig {
    fn default() -> Self {
        let root = Queue { queues: [("default".to_owned(), Queue::default())].into(), ..Queue::default() };
        Self {
            root,
            placement: Vec::new(),
            groups: BTreeMap::new(),
            labels: BTreeMap::new(),
            scheduler: SchedulerOptions::default(),
        }
    }
}

impl QueuesConfig {
    /// Reads and checks the text of a queues file.
    ///
    /// # Errors
    /// [`InvalidQueues`] lists everything that is wrong.
    ///
    /// ```
    /// use flott::config::QueuesConfig;
    /// let text = "root:\n  queues:\n    etl: {capacity: 60%}\n    web: {capacity: 30%}\n";
    /// let error = QueuesConfig::parse(text).unwrap_err().to_string();
    /// assert!(error.contains("the shares of root.etl, root.web add up to 90%"), "{error}");
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidQueues> {
        let config: Self = serde_saphyr::from_str_with_options(text, super::yaml::options())
            .map_err(|error| InvalidQueues { problems: vec![super::yaml::explain(&error)] })?;
        let problems = check::problems(&config);
        if problems.is_empty() { Ok(config) } else { Err(InvalidQueues { problems }) }
    }

    /// Every queue with its path, parents before children.
    pub fn walk(&self) -> Vec<(String, &Queue)> {
        fn below<'a>(path: String, queue: &'a Queue, all: &mut Vec<(String, &'a Queue)>) {
            all.push((path.clone(), queue));
            for (name, child) in &queue.queues {
                below(format!("{path}.{name}"), child, all);
            }
        }
        let mut all = Vec::new();
        below("root".to_owned(), &self.root, &mut all);
        all
    }
}

/// What is wrong with a queues file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct InvalidQueues {
    /// Each in one line, the queue's path first.
    pub problems: Vec<String>,
}

fn yes() -> bool {
    true
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?)
}

fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Option::<String>::deserialize(deserializer)?.map(|text| parse(&text)).transpose()
}

fn parse<E: serde::de::Error>(text: &str) -> Result<Duration, E> {
    super::parse_duration(text).ok_or_else(|| E::custom(format!("`{text}` is no duration; write 500 ms, 30 s, 2 h")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_the_default_and_its_example_can_be_used() {
        let shipped = include_str!("../../../conf/queues.yaml");
        assert_eq!(QueuesConfig::parse(shipped).unwrap(), QueuesConfig::default());
        let (_, example) = shipped.split_once("\n\n# root:").unwrap();
        let example: String =
            format!("# root:{example}").lines().map(|line| format!("{}\n", line.get(2..).unwrap_or(""))).collect();
        let config = QueuesConfig::parse(&example).unwrap();
        assert_eq!(config.walk().len(), 5);
    }
}
