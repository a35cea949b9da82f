//! What the ResourceManager's core is told, and what it wants done.

use std::time::Duration;

use super::error::Refused;
use super::record::{Key, Record};
use crate::ids::{ApplicationAttemptId, ApplicationId, NodeId};
use crate::protocol::application_master::{self as am, AllocateRequest, Finish, ToApplicationMaster};
use crate::protocol::node::{self, NodeState, ToNode};
use crate::protocol::submission::Submission;
use crate::resource::Resource;
use crate::time::Now;

/// Names a request until its answer; chosen by whoever drives the core.
pub type RequestId = u64;

/// What the core is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first event of all: what the store holds; nothing, for a new cluster.
    Recover(Vec<Record>),
    /// Everything up to this ticket is durable.
    Persisted(u64),
    /// A deadline may have passed ([`Core::next_wake`](super::core::Core::next_wake)).
    Wake,
    /// A client wants an application id.
    NewApplication {
        /// Answered by [`Answer::NewApplication`].
        request: RequestId,
    },
    /// A client submits.
    Submit {
        /// Answered by [`Answer::Submitted`], once it is durable.
        request: RequestId,
        /// What.
        submission: Box<Submission>,
    },
    /// A client wants an application to end.
    Kill {
        /// Answered by [`Answer::Killing`].
        request: RequestId,
        /// Which.
        application: ApplicationId,
        /// Why, for its diagnostics.
        diagnostics: String,
    },
    /// An administrator replaces the tree of queues.
    ApplyQueues {
        /// Answered by [`Answer::QueuesApplied`], once it is durable, or a refusal that lists why not.
        request: RequestId,
        /// A queues file's text.
        text: String,
        /// Only say what would change.
        dry_run: bool,
    },
    /// A client moves an application to another queue.
    MoveApplication {
        /// Answered by [`Answer::Moved`].
        request: RequestId,
        /// Which.
        application: ApplicationId,
        /// Where to.
        queue: String,
    },
    /// A client gives an application another priority.
    SetPriority {
        /// Answered by [`Answer::Prioritised`].
        request: RequestId,
        /// Which.
        application: ApplicationId,
        /// Larger numbers first.
        priority: u32,
    },
    /// An administrator changes which nodes are to leave or stay out.
    Exclude {
        /// Answered by [`Answer::NodesExcluded`], once it is durable.
        request: RequestId,
        /// How.
        change: Exclusion,
    },
    /// A client sets when an application ends at the latest.
    SetLifetime {
        /// Answered by [`Answer::LifetimeSet`].
        request: RequestId,
        /// Which.
        application: ApplicationId,
        /// When; none: never, as far as its queue allows.
        until: Option<Now>,
    },
    /// A node opened a link.
    NodeHello {
        /// Answered by [`Answer::NodeRegistered`].
        request: RequestId,
        /// What it says.
        register: Box<node::Register>,
        /// Whether its link goes on where it was: no message was lost.
        resumed: bool,
    },
    /// A node said something.
    NodeSays {
        /// Who.
        node: NodeId,
        /// What.
        message: node::ToResourceManager,
    },
    /// A node's link broke.
    NodeSilent {
        /// Whose.
        node: NodeId,
    },
    /// A master opened a link, or registered by HTTP.
    MasterHello {
        /// Answered by [`Answer::MasterRegistered`].
        request: RequestId,
        /// What it says.
        register: Box<am::Register>,
        /// How it will be spoken to.
        by: Registering,
    },
    /// A master asks, releases, acknowledges.
    Allocate {
        /// Answered by [`Answer::AllocateTaken`] or a refusal; absent on a link, where refusals go into the reasons.
        request: Option<RequestId>,
        /// Who.
        attempt: ApplicationAttemptId,
        /// What.
        allocate: Box<AllocateRequest>,
    },
    /// A master unregisters.
    Finish {
        /// As for [`Event::Allocate`].
        request: Option<RequestId>,
        /// Who.
        attempt: ApplicationAttemptId,
        /// How it went.
        finish: Finish,
    },
    /// A master's link broke.
    MasterSilent {
        /// Whose.
        attempt: ApplicationAttemptId,
    },
}

/// A change of the list of nodes that are to leave or stay out. Nodes are named by host, or by `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// These as well.
    Add {
        /// Which.
        nodes: Vec<String>,
        /// How long their containers may go on.
        grace: Duration,
    },
    /// These no more.
    Remove {
        /// Which.
        nodes: Vec<String>,
    },
    /// These and no others.
    Replace {
        /// Which.
        nodes: Vec<String>,
        /// How long the containers of those that are new on it may go on.
        grace: Duration,
    },
}

/// How a master registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registering {
    /// By a new link.
    Link,
    /// By a link that goes on where it was.
    ResumedLink,
    /// By HTTP.
    Pull,
}

/// What the core wants done, in this order. Nothing after a [`Effect::Persist`], of this or of a later `apply`, may leave the
/// process before that is durable, nor may any read made after it.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Store (or, without a record, remove); [`Event::Persisted`] with the ticket follows.
    Persist {
        /// Grows by one.
        ticket: u64,
        /// Where.
        key: Key,
        /// What.
        record: Option<Box<Record>>,
    },
    /// Send to a node.
    ToNode {
        /// Whom.
        node: NodeId,
        /// What.
        message: Box<ToNode>,
    },
    /// Send to a master, or keep as the answer of its next request.
    ToMaster {
        /// Whom.
        attempt: ApplicationAttemptId,
        /// What.
        message: Box<ToApplicationMaster>,
    },
    /// Answer a request.
    Answer {
        /// Which.
        request: RequestId,
        /// How.
        answer: Box<Result<Answer, Refused>>,
    },
    /// An application looks different: long polls look again.
    ApplicationChanged {
        /// Which.
        application: ApplicationId,
        /// Its version now.
        version: u64,
    },
}

/// Answers to requests.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Event::NewApplication`].
    NewApplication {
        /// To be submitted with.
        application: ApplicationId,
        /// The largest container that can be asked for.
        maximum: Resource,
    },
    /// To [`Event::Submit`].
    Submitted,
    /// To [`Event::Kill`].
    Killing {
        /// The internal state's name, as YARN shows it here.
        state: String,
        /// Whether nothing comes after.
        ended: bool,
    },
    /// To [`Event::ApplyQueues`]: what changes, a line each.
    QueuesApplied {
        /// Empty if nothing does.
        differences: Vec<String>,
    },
    /// To [`Event::MoveApplication`].
    Moved {
        /// The path of the queue it is in now.
        queue: String,
    },
    /// To [`Event::SetPriority`].
    Prioritised {
        /// What it has now.
        priority: u32,
    },
    /// To [`Event::Exclude`]: the nodes it concerned, as they stand now.
    NodesExcluded {
        /// By id.
        nodes: Vec<(NodeId, NodeState)>,
    },
    /// To [`Event::SetLifetime`].
    LifetimeSet {
        /// When it ends at the latest: its queue may allow less than was wanted.
        until: Option<Now>,
    },
    /// To [`Event::NodeHello`].
    NodeRegistered(node::Registered),
    /// To [`Event::MasterHello`].
    MasterRegistered(am::Registered),
    /// To [`Event::Allocate`]: taken; its news come by [`Effect::ToMaster`].
    AllocateTaken {
        /// The last response id given.
        response_id: u64,
    },
    /// To [`Event::Finish`]: taken; [`ToApplicationMaster::Unregistered`] follows when it is durable.
    FinishTaken,
}
