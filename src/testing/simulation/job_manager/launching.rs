//! How it has nodes start the containers of its TaskManagers.

use std::time::Duration;

use super::super::actors::Done;
use super::super::master_link;
use super::super::messages::{Answer, Request};
use super::super::network::HttpId;
use super::super::world::{Pid, World};
use super::{JobManager, SECRET};
use crate::jobmanager::event::Event;
use crate::nodemanager::Refused;
use crate::protocol::container::Allocation;
use crate::protocol::node::StartContainer;
use crate::time::Now;

/// How long a node is asked that has certainly not taken a container.
const PATIENCE: Duration = Duration::from_secs(10);

/// A container that a node is asked to start.
#[derive(Clone, Debug)]
pub(in super::super) struct Launch {
    pub(super) allocation: Allocation,
    /// When it was asked first.
    pub(super) since: Now,
}

impl JobManager {
    pub(super) fn launch(&mut self, launch: Launch, me: Pid, world: &mut World) {
        let Launch { allocation, .. } = &launch;
        let context = master_link::task_manager_context(allocation, &self.address, SECRET, &self.submission);
        let start = StartContainer { token: allocation.token.clone(), context };
        let request = Request::StartContainer(Box::new(start));
        let id = world.request(me, &self.host, &allocation.node_http_address, request);
        self.launches.insert(id, launch);
    }

    pub(super) fn launch_answered(&mut self, id: HttpId, answer: Result<Answer, String>, me: Pid, world: &mut World) {
        let Some(launch) = self.launches.remove(&id) else { return };
        let (why, not_taken, is_refused) = match answer {
            Ok(Answer::Container(Ok(()))) => return,
            Ok(Answer::Container(Err(refused))) => {
                let passes = matches!(refused, Refused::NotRegistered { .. } | Refused::Busy);
                (refused.to_string(), passes, !passes)
            }
            Ok(_) => ("not a NodeManager".to_owned(), false, true),
            Err(why) => {
                let not_taken = why.starts_with("cannot connect");
                (why, not_taken, false)
            }
        };
        let container = launch.allocation.container;
        world.note(&self.name, format!("{container} could not be launched: {why}"));
        if not_taken && world.now < launch.since + PATIENCE {
            return world.later(20..1_000, me, Done::LaunchAgain(Box::new(launch)));
        }
        self.apply(Event::LaunchFailed { container, why, refused: is_refused }, me, world);
    }
}
