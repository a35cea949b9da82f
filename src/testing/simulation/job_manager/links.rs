//! Its links with TaskManagers and workers.

use super::super::Bug;
use super::super::messages::{Hello, LinkEvent, Message, Welcome};
use super::super::network::{Caller, LinkId};
use super::super::world::{Pid, World};
use super::{JobManager, Peer};
use crate::ids::WorkerId;
use crate::jobmanager::event::Event;
use crate::protocol::worker::{ToJobManager, ToWorker};

impl JobManager {
    pub(super) fn tell_worker(&mut self, worker: WorkerId, message: ToWorker, me: Pid, world: &mut World) {
        let Some(link) = self.workers.get(&worker).copied() else { return };
        if let ToWorker::Deploy { tasks } = &message {
            let job = self.core.job(worker.job).and_then(|job| job.master());
            world.check_deployment(job, tasks);
        }
        match &message {
            ToWorker::AssignSplit { split, .. } => self.last_split = Some(split.clone()),
            ToWorker::NoMoreSplits { attempt }
                if world.planted == Some(Bug::SplitHandedOutTwice) && attempt.attempt % 10_000 > 0 =>
            {
                if let Some(split) = self.last_split.take() {
                    world.send(me, link, ToWorker::AssignSplit { attempt: *attempt, split });
                }
            }
            _ => {}
        }
        world.send(me, link, message);
    }

    pub(super) fn link(&mut self, link: LinkId, event: LinkEvent, me: Pid, world: &mut World) {
        match event {
            LinkEvent::Hello { hello, resumed, caller } => self.admit(link, *hello, resumed, caller, me, world),
            LinkEvent::Message(message) => {
                let message = Box::new(damaged(*message, world.planted));
                let event = match (self.peers.get(&link).cloned(), *message) {
                    (Some(Peer::TaskManager(task_manager)), Message::TaskManagerToJobManager(message)) => {
                        Event::TaskManager { task_manager, message }
                    }
                    (Some(Peer::Worker(worker)), Message::WorkerToJobManager(message)) => {
                        Event::Worker { worker, message }
                    }
                    _ => return,
                };
                self.apply(event, me, world);
            }
            LinkEvent::Broken { why, resumable } => match self.peers.get(&link).cloned() {
                Some(Peer::TaskManager(task_manager)) => {
                    let why = format!("its link broke: {why}");
                    world.note(&self.name, format!("{task_manager}: {why}"));
                    if resumable {
                        return self.apply(Event::TaskManagerAway { task_manager, why }, me, world);
                    }
                    self.peers.remove(&link);
                    self.task_managers.remove(&task_manager);
                    self.apply(Event::TaskManagerLost { task_manager, why }, me, world);
                }
                Some(Peer::Worker(worker)) => {
                    self.peers.remove(&link);
                    self.workers.remove(&worker);
                    world.note(&self.name, format!("lost the link to {worker}: {why}"));
                    self.apply(Event::WorkerLost { worker, why }, me, world);
                }
                None => {}
            },
            LinkEvent::Opened { .. } | LinkEvent::Refused(_) => {}
        }
    }

    pub(super) fn admit(
        &mut self,
        link: LinkId,
        hello: Hello,
        resumed: bool,
        caller: Caller,
        me: Pid,
        world: &mut World,
    ) {
        match hello {
            Hello::TaskManager(register) => {
                let id = register.task_manager.clone();
                let known = matches!(self.peers.get(&link), Some(Peer::TaskManager(known)) if *known == id);
                world.accept(me, caller, Welcome::TaskManager);
                let how = if resumed && known { "is back" } else { "registers" };
                world.note(&self.name, format!("{id} {how}"));
                if resumed && known {
                    return self.apply(Event::TaskManagerBack { task_manager: id }, me, world);
                }
                self.peers.insert(link, Peer::TaskManager(id.clone()));
                if let Some(before) = self.task_managers.insert(id, link).filter(|before| *before != link) {
                    self.peers.remove(&before);
                }
                self.apply(Event::TaskManagerRegistered(Box::new(register)), me, world);
            }
            Hello::Worker(register) => {
                if !self.core.admits(&register.worker) {
                    return world.refuse(caller, "fenced");
                }
                world.accept(me, caller, Welcome::Worker);
                self.peers.insert(link, Peer::Worker(register.worker.clone()));
                self.workers.insert(register.worker.clone(), link);
                self.apply(Event::WorkerRegistered(register), me, world);
            }
            Hello::Node(_) | Hello::Master(_) => {}
        }
    }
}

/// A cut without what a planted mistake forgets of it.
fn damaged(mut message: Message, planted: Option<Bug>) -> Message {
    if let Message::WorkerToJobManager(ToJobManager::Cut { cut, .. }) = &mut message {
        if planted == Some(Bug::CutWithoutOutput) {
            cut.committables.clear();
        }
        if planted == Some(Bug::CutForgetsPositions) {
            cut.held.iter_mut().for_each(|(_, split)| split.payload[1] = serde_json::json!(0));
        }
    }
    message
}
