//! What a node hears, and what it has done about it.

use crate::ids::{ApplicationId, ContainerId};
use crate::nodemanager::admission::Registration;
use crate::nodemanager::container::{ContainerRecord, Lease};
use crate::nodemanager::error::Refused;
use crate::nodemanager::resources::ResourceKey;
use crate::process::{Ended, Identity, Signal};
use crate::protocol::container::{ContainerStatus, ExitCause, LaunchContext, LocalResource};
use crate::protocol::node::StartContainer;
use crate::rpc::token::Token;
use crate::time::Now;

/// Names a request that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What a node hears.
#[derive(Debug)]
pub enum Event {
    /// The ResourceManager has taken this node.
    Registered(Registration),
    /// A container is to be started; without a request it is the ResourceManager who asks, on its link.
    Start {
        /// Who waits for an answer.
        request: Option<RequestId>,
        /// What to start, and the right to.
        start: StartContainer,
    },
    /// The ResourceManager wants containers ended.
    Stop {
        /// Which.
        containers: Vec<ContainerId>,
        /// Becomes the exit's cause.
        cause: ExitCause,
    },
    /// A master wants containers ended.
    StopByMaster {
        /// Who waits for an answer.
        request: RequestId,
        /// The containers' tokens.
        tokens: Vec<Token>,
    },
    /// A download has ended.
    Localised {
        /// Which copy.
        resource: ResourceKey,
        /// The cause in words if it failed.
        outcome: Result<(), String>,
    },
    /// A container's process runs.
    Launched {
        /// Whose.
        container: ContainerId,
        /// Its leader.
        process: Identity,
    },
    /// A container's process could not be started.
    LaunchFailed {
        /// Whose.
        container: ContainerId,
        /// The cause in words.
        why: String,
    },
    /// A container's process has ended, and nothing is left of its tree.
    Exited {
        /// Whose.
        container: ContainerId,
        /// How; absent if that could not be learned (it was not our child and left no exit code).
        ended: Option<Ended>,
        /// The tail of its error output.
        diagnostics: String,
    },
    /// A container's process tree has been measured.
    Measured {
        /// Whose.
        container: ContainerId,
        /// Its resident memory.
        rss_bytes: u64,
    },
    /// Applications that ended.
    ApplicationsFinished(Vec<ApplicationId>),
    /// Ended containers that the ResourceManager knows of.
    CompletionsAcknowledged(Vec<ContainerId>),
    /// Take nothing more, end everything.
    Drain {
        /// The reason in words.
        why: String,
    },
    /// A moment asked for with [`Effect::WakeAt`] has come, or may have.
    Wake,
}

/// A container whose files are all here.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The container.
    pub lease: Lease,
    /// How it is launched.
    pub context: Box<LaunchContext>,
}

/// What is to be done, in order. Behind a [`Effect::Persist`] nothing leaves the process before it is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make a record durable.
    Persist(ContainerRecord),
    /// Remove a record.
    Forget(ContainerId),
    /// Answer a request.
    Answer {
        /// Which.
        request: RequestId,
        /// The containers concerned.
        outcome: Result<Vec<ContainerId>, Refused>,
    },
    /// Fetch a file, unless it is there.
    Localise {
        /// Which copy.
        key: ResourceKey,
        /// From where.
        resource: LocalResource,
    },
    /// Nobody waits for a download any more.
    AbandonLocalisation(ResourceKey),
    /// Start a process.
    Launch(Launch),
    /// Signal a container's process tree.
    Signal {
        /// Whose.
        container: ContainerId,
        /// Its leader.
        process: Identity,
        /// What to send.
        signal: Signal,
    },
    /// Tell the ResourceManager.
    Report(Vec<ContainerStatus>),
    /// Delete a container's work directory; its logs stay.
    DeleteContainer {
        /// Which.
        container: ContainerId,
        /// Whose directory it lies in.
        user: String,
    },
    /// Delete an application's directories; its logs stay.
    DeleteApplication {
        /// Which.
        application: ApplicationId,
        /// Whose directory it lies in.
        user: String,
    },
    /// Say [`Event::Wake`] at this moment.
    WakeAt(Now),
    /// Nothing runs any more, and nothing will.
    Drained,
}
