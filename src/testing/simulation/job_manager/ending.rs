//! Its master's part: what the ResourceManager says, and how it ends.

use super::super::master_link::News;
use super::super::world::{Pid, World};
use super::JobManager;
use crate::jobmanager::event::Event;
use crate::jobmanager::shutdown::{self, Left};
use crate::protocol::application_master::Finish;
use crate::protocol::task_manager::ToTaskManager;
use crate::storage::Leader;

impl JobManager {
    pub(super) fn master_news(&mut self, news: News, me: Pid, world: &mut World) {
        match news {
            News::Core(event) => self.apply(*event, me, world),
            News::Leads => {
                let leader = Leader { attempt: self.attempt.attempt, address: self.address.clone() };
                world.disks.lead(self.attempt.application, leader);
            }
            News::Unregistered => {
                self.ending.unregistered();
                world.ledger.over(self.attempt);
            }
            News::Stop(why) => self.begin_end(&why, me, world),
            News::Shutdown(why) => {
                world.note(&self.name, format!("ended by the ResourceManager: {why}"));
                self.ending.fenced(why, world.wall());
                self.cancel_all(me, world);
                self.finish_if_drained(me, world);
                self.watch_ending(me, world);
            }
        }
    }

    pub(super) fn begin_end(&mut self, why: &str, me: Pid, world: &mut World) {
        self.cancel_all(me, world);
        self.drain(shutdown::stopped(why), me, world);
    }

    pub(super) fn cancel_all(&mut self, me: Pid, world: &mut World) {
        self.stopping = true;
        for job in self.open.clone() {
            self.apply(Event::Cancel { job }, me, world);
        }
    }

    pub(super) fn drain(&mut self, finish: Finish, me: Pid, world: &mut World) {
        self.ending.drain(finish, world.wall());
        self.finish_if_drained(me, world);
        self.watch_ending(me, world);
    }

    pub(super) fn finish_if_drained(&mut self, me: Pid, world: &mut World) {
        if self.writing.is_none()
            && let Some(finish) = self.ending.finish(Left::of(&self.open, &self.core), true, world.wall())
        {
            world.note(&self.name, format!("unregisters: {:?}", finish.final_status));
            self.master.finish(finish, me, world);
            self.watch_ending(me, world);
        }
    }

    pub(super) fn watch_ending(&mut self, me: Pid, world: &mut World) {
        if let Some(at) = self.ending.deadline()
            && self.wakes.insert(at)
        {
            world.wake_at(me, at);
        }
    }

    pub(super) fn leave_if_over(&mut self, me: Pid, world: &mut World) {
        let Some(outcome) = self.ending.outcome(world.wall()).filter(|_| !world.is_exiting()) else { return };
        for link in self.task_managers.values().filter(|_| !self.ending.is_fenced()) {
            let why = "the application has ended".to_owned();
            world.send(me, *link, ToTaskManager::Shutdown { why });
        }
        self.master.close(me, world);
        world.exit(me, i32::from(outcome.is_err()));
    }
}
