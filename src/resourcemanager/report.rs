//! What the ResourceManager tells of its state: plain data, made by the core for whoever asks.

use crate::config::queues::Preemption;
use crate::ids::{ApplicationAttemptId, ApplicationId, ContainerId, NodeId};
use crate::protocol::application_master::{FinalStatus, Pending};
use crate::protocol::container::{ContainerState, Exit, ExitCause};
use crate::protocol::node::NodeState;
use crate::protocol::submission::ApplicationState;
use crate::resource::Resource;
use crate::resourcemanager::container::Container;
use crate::time::Now;

/// A container that ended, as remembered by its attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndedContainer {
    pub(crate) node: NodeId,
    pub(crate) http_address: String,
    pub(crate) resource: Resource,
    pub(crate) priority: u32,
    pub(crate) started_at: Now,
    pub(crate) ended_at: Now,
    pub(crate) exit: Exit,
}

impl EndedContainer {
    pub(crate) fn new(container: &Container, exit: Exit, http_address: String, now: Now) -> Self {
        Self {
            node: container.node.clone(),
            http_address,
            resource: container.resource.clone(),
            priority: container.priority,
            started_at: container.allocated_at,
            ended_at: now,
            exit,
        }
    }
}

/// An application as clients see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplicationReport {
    /// Its id.
    pub id: ApplicationId,
    /// Who submitted it.
    pub user: String,
    /// For people.
    pub name: String,
    /// Short name of its queue.
    pub queue: String,
    /// `FLOTT`, or what its submitter says.
    pub application_type: String,
    /// Free tags.
    pub tags: Vec<String>,
    /// Larger numbers first.
    pub priority: u32,
    /// The public state.
    pub state: ApplicationState,
    /// The internal state's name.
    pub internal_state: String,
    /// How it ended.
    pub final_status: FinalStatus,
    /// From 0 to 1.
    pub progress: f32,
    /// The cause, if it ended.
    pub diagnostics: String,
    /// When it was submitted.
    pub submitted_at: Now,
    /// When its first master was launched.
    pub launched_at: Option<Now>,
    /// When it ended.
    pub finished_at: Option<Now>,
    /// The attempt that runs or ran last.
    pub attempt: Option<AttemptReport>,
    /// What its live containers have.
    pub allocated: Resource,
    /// How many there are.
    pub running_containers: usize,
    /// MB-seconds so far.
    pub memory_seconds: u64,
    /// Core-seconds so far.
    pub vcore_seconds: u64,
    /// Unsatisfied asks of its master, with reasons.
    pub pending: Vec<Pending>,
    /// Why it waits; none if it does not.
    pub waiting_reason: Option<String>,
    /// When it is killed at the latest, if it does not end before.
    pub ends_by: Option<Now>,
    /// What was taken from it for others.
    pub preempted: super::Preempted,
    /// Grows with each change.
    pub version: u64,
}

/// An attempt as clients see it.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptReport {
    /// Its id.
    pub id: ApplicationAttemptId,
    /// YARN's name of its state.
    pub state: String,
    /// When it began.
    pub started_at: Now,
    /// When it ended.
    pub finished_at: Option<Now>,
    /// Container, node and that node's HTTP address.
    pub master: Option<(ContainerId, NodeId, String)>,
    /// Host and port that its master gave.
    pub rpc_address: Option<(String, u16)>,
    /// What its master called its tracking URL.
    pub tracking_url: String,
    /// Hosts that its master does not want.
    pub blacklist: Vec<String>,
    /// Nodes that failed earlier masters.
    pub avoided: Vec<String>,
    /// The cause, if it ended.
    pub diagnostics: String,
    /// How its master's container ended.
    pub exit: Option<ExitCause>,
}

/// A container as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerReport {
    /// Its id.
    pub id: ContainerId,
    /// Where it runs or ran.
    pub node: NodeId,
    /// That node's HTTP address.
    pub http_address: String,
    /// Who submitted its application.
    pub user: String,
    /// What it has or had.
    pub resource: Resource,
    /// Of the ask.
    pub priority: u32,
    /// Its public state.
    pub state: ContainerState,
    /// When it was granted.
    pub started_at: Now,
    /// When it ended.
    pub finished_at: Option<Now>,
    /// How it ended.
    pub exit: Option<Exit>,
}

/// A node as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSummary {
    /// Its id.
    pub id: NodeId,
    /// Where it answers HTTP.
    pub http_address: String,
    /// Its rack.
    pub rack: String,
    /// Its state.
    pub state: NodeState,
    /// Whether its link is up.
    pub connected: bool,
    /// What it offers.
    pub capability: Resource,
    /// Granted to containers.
    pub allocated: Resource,
    /// Neither granted nor reserved.
    pub free: Resource,
    /// How many containers it has.
    pub containers: usize,
    /// Memory really used on the machine, in MiB.
    pub used_memory_mb: u64,
    /// Memory really used by containers, in MiB.
    pub containers_memory_mb: u64,
    /// Why it is unfit.
    pub health_report: String,
    /// When it last said so.
    pub last_health_update: Now,
    /// flott's version there.
    pub version: String,
}

/// The cluster in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterSummary {
    /// The timestamp in every id.
    pub identity: u64,
    /// Counts restarts.
    pub epoch: u64,
    /// Applications by public state.
    pub applications: std::collections::BTreeMap<ApplicationState, usize>,
    /// Nodes by state.
    pub nodes: Vec<(NodeState, usize)>,
    /// What active nodes offer.
    pub total: Resource,
    /// What is granted.
    pub allocated: Resource,
    /// What is asked for and not granted.
    pub pending: Resource,
    /// Live containers.
    pub containers: usize,
    /// Containers asked for and not granted.
    pub containers_pending: u64,
    /// The largest container.
    pub maximum: Resource,
    /// The granularity of memory.
    pub minimum_mb: u64,
    /// What masters have.
    pub masters_used: Resource,
    /// What masters may have.
    pub masters_limit: Resource,
}

/// A queue as clients see it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueReport {
    /// From the root.
    pub path: String,
    /// Its last part.
    pub name: String,
    /// Path of the queue above.
    pub parent: Option<String>,
    /// Whether it takes applications.
    pub is_leaf: bool,
    /// `RUNNING`, `DRAINING` or `STOPPED`.
    pub state: &'static str,
    /// `percentage`, `weight` or `absolute`.
    pub mode: &'static str,
    /// Where its share is a weight.
    pub weight: Option<f64>,
    /// Larger numbers first, among siblings.
    pub priority: i32,
    /// `fifo` or `fair`.
    pub ordering: &'static str,
    /// By label; the first is that of nodes without.
    pub shares: Vec<ShareReport>,
    /// Asked for and not granted.
    pub pending: Resource,
    /// How many containers that is.
    pub pending_containers: u64,
    /// Live containers.
    pub containers: usize,
    /// Live applications.
    pub applications: usize,
    /// Of them, those with a master.
    pub running: usize,
    /// How many it takes.
    pub applications_max: u32,
    /// How many may run at a time.
    pub parallel_max: Option<u32>,
    /// What each active user is promised, in percent.
    pub user_limit_percent: f64,
    /// How often one user may have the promise.
    pub user_limit_factor: f64,
    /// Which part masters may use.
    pub masters_part: f64,
    /// The largest container, where it says.
    pub maximum_allocation: Option<Resource>,
    /// Who may submit, where it says.
    pub submit: Option<String>,
    /// Who may administer it, where it says.
    pub administer: Option<String>,
    /// Who may take containers from it.
    pub preemption: Preemption,
    /// Of applications that name none.
    pub default_priority: u32,
    /// Of applications, where it says.
    pub default_lifetime: Option<std::time::Duration>,
    /// Of applications, where it says.
    pub maximum_lifetime: Option<std::time::Duration>,
    /// Of asks that name none.
    pub default_label: Option<String>,
    /// Users with applications in it; leaves only.
    pub users: Vec<UserReport>,
}

/// A queue's part of the nodes with one label.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareReport {
    /// Empty for nodes without.
    pub label: String,
    /// What it is promised, as part of its parent's promise.
    pub of_parent: f64,
    /// What it may have, as part of what its parent may.
    pub most_of_parent: f64,
    /// What it is promised, as part of all.
    pub absolute: f64,
    /// What it may have, as part of all.
    pub absolute_most: f64,
    /// What it uses, as part of all.
    pub absolute_used: f64,
    /// What it uses, as part of its promise; above 1 where it uses what others leave.
    pub used_of_promised: f64,
    /// What it is promised.
    pub promised: Resource,
    /// What it may have.
    pub most: Resource,
    /// What it has.
    pub used: Resource,
    /// Held free for it.
    pub reserved: Resource,
    /// Of what it has, by masters.
    pub masters: Resource,
    /// What masters may have.
    pub masters_most: Resource,
}

/// A user of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct UserReport {
    /// Who.
    pub name: String,
    /// What they have.
    pub used: Resource,
    /// Of it, by masters.
    pub masters: Resource,
    /// What they may have now.
    pub limit: Resource,
    /// How much more than others.
    pub weight: f64,
    /// Live applications.
    pub applications: usize,
    /// Whether they want something.
    pub is_active: bool,
}
