//! What travels between simulated processes: the real messages, by kind.

use super::network::Caller;
use crate::ids::{ApplicationId, JobId, TriggerId};
use crate::nodemanager::Refused;
use crate::protocol::submission::Submission;
use crate::protocol::{application_master as am, node, task_manager as tm, worker};

/// Opens a link.
#[derive(Clone, Debug)]
pub(super) enum Hello {
    Node(node::Register),
    Master(am::Register),
    TaskManager(tm::Register),
    Worker(worker::Register),
}

/// Answers a [`Hello`].
#[derive(Clone, Debug)]
pub(super) enum Welcome {
    Node(node::Registered),
    Master(am::Registered),
    TaskManager,
    Worker,
}

/// A message on a link.
#[derive(Clone, Debug)]
pub(super) enum Message {
    NodeToResourceManager(node::ToResourceManager),
    ToNode(node::ToNode),
    MasterToResourceManager(am::ToResourceManager),
    ToMaster(am::ToApplicationMaster),
    TaskManagerToJobManager(tm::ToJobManager),
    ToTaskManager(tm::ToTaskManager),
    WorkerToJobManager(worker::ToJobManager),
    ToWorker(worker::ToWorker),
}

macro_rules! messages {
    ($($kind:ident($message:ty)),*) => {
        $(impl From<$message> for Message {
            fn from(message: $message) -> Self {
                Self::$kind(message)
            }
        })*
    };
}

messages!(
    NodeToResourceManager(node::ToResourceManager),
    ToNode(node::ToNode),
    MasterToResourceManager(am::ToResourceManager),
    ToMaster(am::ToApplicationMaster),
    TaskManagerToJobManager(tm::ToJobManager),
    ToTaskManager(tm::ToTaskManager),
    WorkerToJobManager(worker::ToJobManager),
    ToWorker(worker::ToWorker)
);

/// What happens on a link, as either end sees it.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// At the server: to be accepted or refused.
    Hello {
        hello: Box<Hello>,
        resumed: bool,
        caller: Caller,
    },
    /// At the client.
    Opened {
        welcome: Box<Welcome>,
        resumed: bool,
    },
    Message(Box<Message>),
    Broken {
        why: String,
        resumable: bool,
    },
    /// At the client: the last event.
    Refused(&'static str),
}

/// An HTTP request.
#[derive(Clone, Debug)]
pub(super) enum Request {
    NewApplication,
    Submit(Box<Submission>),
    Kill(ApplicationId),
    Report(ApplicationId),
    CancelJob(JobId),
    /// Every vertex is to have so many subtasks.
    RescaleJob(JobId, u32),
    /// Its input ends with this savepoint.
    DrainJob(JobId, TriggerId),
    StartContainer(Box<node::StartContainer>),
}

/// An HTTP answer.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    NewApplication(ApplicationId),
    Taken,
    Report(Box<Report>),
    NotFound,
    Refused(String),
    Container(Result<(), Refused>),
}

/// What a client sees of an application.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) state: crate::protocol::submission::ApplicationState,
    pub(super) final_status: am::FinalStatus,
    pub(super) diagnostics: String,
    pub(super) tracking_url: String,
}
