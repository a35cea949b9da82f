//! Another tree of queues while applications run; an application moves to another queue.

use super::Scheduler;
use super::applications::EntryStanding;
use super::keys::{AppKey, EntryKey, QueueKey};
use super::queues::Queues;
use crate::config::QueuesConfig;
use crate::time::Now;

impl Scheduler {
    /// Why `config` cannot replace the present one, one line each: applications would be left without their queue.
    pub(crate) fn refusals(&self, config: &QueuesConfig) -> Vec<String> {
        let next = Queues::new(config, self.masters_part);
        let occupied = self.queues.iter().filter(|(_, queue)| queue.is_leaf() && queue.applications > 0);
        let lost =
            occupied.filter(|(_, queue)| next.leaf(&queue.path).is_none_or(|key| next.get(key).path != queue.path));
        let why = |(_, queue): (QueueKey, &super::queues::Queue)| {
            let (path, count) = (&queue.path, queue.applications);
            format!("{path} has {count} live applications; stop it and wait until they have ended, or move them first")
        };
        lost.map(why).collect()
    }

    /// Replaces the tree of queues. What is granted stays granted; shares and limits are those of the new tree from now.
    ///
    /// # Errors
    /// Those of [`Self::refusals`]; nothing has changed then.
    pub(crate) fn reload(&mut self, config: &QueuesConfig, now: Now) -> Result<(), Vec<String>> {
        let refusals = self.refusals(config);
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let apps: Vec<(AppKey, String, String)> = self
            .apps
            .iter()
            .map(|(index, app)| {
                let leaf = self.queues.get(app.leaf);
                (AppKey::new(index), leaf.path.clone(), leaf.users[app.user].name.clone())
            })
            .collect();
        for (app, _, _) in &apps {
            self.step_out(*app);
        }
        self.config = config.clone();
        self.queues = Queues::new(config, self.masters_part);
        self.configure();
        self.resize();
        for (app, queue, user) in &apps {
            if let Some(leaf) = self.queues.leaf(queue) {
                self.step_in(*app, leaf, user, now);
            }
        }
        self.stirred = true;
        Ok(())
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> &QueuesConfig {
        &self.config
    }

    /// Moves an application with all it has and wants. Returns the path of the queue it is in now.
    ///
    /// # Errors
    /// Why that queue does not take it.
    pub(crate) fn move_app(&mut self, app: AppKey, queue: &str, now: Now) -> Result<String, String> {
        let Some(leaf) = self.queues.leaf(queue) else { return Err(format!("there is no queue {queue}")) };
        let path = self.queues.get(leaf).path.clone();
        if self.queues.get(leaf).state() != "RUNNING" {
            return Err(format!("queue {path} is {} and takes no applications", self.queues.get(leaf).state()));
        }
        let (from, user) = {
            let app = self.app(app);
            (app.leaf, self.queues.get(app.leaf).users[app.user].name.clone())
        };
        if from != leaf {
            self.step_out(app);
            self.step_in(app, leaf, &user, now);
            self.stirred = true;
        }
        Ok(path)
    }

    /// Takes what an application has and wants off its queue's books.
    fn step_out(&mut self, key: AppKey) {
        for entry in self.entries_of(key) {
            self.unreserve_of(entry);
            self.leave(entry);
            let wanted = std::mem::take(&mut self.entry_mut(entry).wanted);
            self.recount(entry);
            self.entry_mut(entry).wanted = wanted;
        }
        for (partition, amount, master) in self.charges_of(key) {
            self.discharge_queue(key, partition, &amount, master);
        }
        self.count_app(key, -1);
    }

    /// The opposite of [`Self::step_out`].
    fn step_in(&mut self, key: AppKey, leaf: QueueKey, user: &str, now: Now) {
        let user = self.user_of(leaf, user);
        let app = self.app_mut(key);
        (app.leaf, app.user) = (leaf, user);
        self.count_app(key, 1);
        for (partition, amount, master) in self.charges_of(key) {
            self.charge_queue(key, partition, &amount, master);
        }
        for entry in self.entries_of(key) {
            debug_assert_eq!(self.entry(entry).standing, EntryStanding::Idle, "it left its line before");
            self.settle(entry, now);
        }
    }

    fn entries_of(&self, key: AppKey) -> Vec<EntryKey> {
        self.app(key).entries.values().copied().collect()
    }

    fn charges_of(&self, key: AppKey) -> Vec<(super::PartitionKey, super::Amount, bool)> {
        let allocations = self.app(key).allocations.iter().filter_map(|(_, key)| self.allocations.get(key.index()));
        allocations.map(|allocation| (allocation.partition, allocation.amount, allocation.master)).collect()
    }
}
