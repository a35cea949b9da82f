//! Processes: each holds a real core and performs its effects as its service does.

use std::sync::Arc;

use super::client::Client;
use super::job_manager::{JobManager, Launch};
use super::node::NodeManager;
use super::resource_manager::ResourceManager;
use super::task_manager::TaskManager;
use super::worker::Worker;
use super::world::{Input, Pid, World};
use crate::engine::checkpoint::Manifest;
use crate::graph::plan::NodeIndex;
use crate::graph::task::Committable;
use crate::ids::{ContainerId, ExecutionAttemptId, JobId, WorkerId};
use crate::nodemanager::ResourceKey;
use crate::process::Ended;

/// A process, by what runs in it.
pub(super) enum Actor {
    ResourceManager(Box<ResourceManager>),
    Node(Box<NodeManager>),
    JobManager(Box<JobManager>),
    TaskManager(Box<TaskManager>),
    Worker(Box<Worker>),
    Client(Box<Client>),
}

/// Something that took time is done.
#[derive(Debug)]
pub(super) enum Done {
    /// On a node: a file is there.
    Localised(ResourceKey, Result<(), String>),
    /// On a node: a process may be started.
    Launch(ContainerId),
    /// On a node: nothing is left of a container.
    ContainerExited(ContainerId, Ended),
    /// In a TaskManager: a worker is ready to be started.
    Prepared(WorkerId),
    /// In a TaskManager: a worker's process may be started.
    Spawn(WorkerId),
    /// In a TaskManager: it looks for the next JobManager.
    LookForLeader,
    /// A child process has ended.
    ChildExited(Pid, Ended),
    /// In a JobManager: a job may be planned, or has been stored.
    Prepare(JobId),
    /// In a JobManager: a node that did not take a container is asked again.
    LaunchAgain(Box<Launch>),
    /// In a JobManager: a checkpoint's manifest is written.
    WriteManifest(Arc<Manifest>, bool),
    /// In a worker: a subtask is to be stepped.
    Step(ExecutionAttemptId),
    /// In a worker: the moment that a waiting subtask named has come.
    Alarm(ExecutionAttemptId),
    /// In a worker: an enumerator looks for splits.
    Discover(ExecutionAttemptId, NodeIndex),
    /// In a worker: output is published.
    Commit(NodeIndex, Vec<Committable>, u64),
    /// In a worker: output is removed.
    Discard(NodeIndex, Vec<Committable>),
    /// In a worker: counters are due.
    Metrics,
    /// At the client: what is to be done about an application now.
    Turn(usize),
    /// A user wants this parallelism of a job.
    Rescale(usize, u32),
    /// A user wants a job drained.
    Drain(usize),
    /// At the client: the user cancels.
    Cancel(usize),
}

impl Actor {
    pub(super) fn start(&mut self, me: Pid, world: &mut World) {
        match self {
            Self::ResourceManager(actor) => actor.start(me, world),
            Self::Node(actor) => actor.start(me, world),
            Self::JobManager(actor) => actor.start(me, world),
            Self::TaskManager(actor) => actor.start(me, world),
            Self::Worker(actor) => actor.start(me, world),
            Self::Client(actor) => actor.start(me, world),
        }
    }

    pub(super) fn handle(&mut self, input: Input, me: Pid, world: &mut World) {
        match self {
            Self::ResourceManager(actor) => actor.handle(input, me, world),
            Self::Node(actor) => actor.handle(input, me, world),
            Self::JobManager(actor) => actor.handle(input, me, world),
            Self::TaskManager(actor) => actor.handle(input, me, world),
            Self::Worker(actor) => actor.handle(input, me, world),
            Self::Client(actor) => actor.handle(input, me, world),
        }
    }

    /// The process has ended. Of what it was writing a part may have become durable.
    pub(super) fn torn(self, world: &mut World) {
        match self {
            Self::ResourceManager(actor) => actor.torn(world),
            Self::Node(actor) => actor.torn(world),
            Self::JobManager(actor) => actor.torn(world),
            Self::Worker(actor) => actor.torn(world),
            Self::TaskManager(_) | Self::Client(_) => {}
        }
    }
}
