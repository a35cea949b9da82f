//! The slot pool: which TaskManagers offer how many slots, which job holds them, and who still wants some.
//!
//! ```text
//! TaskManager registers ─► free ─► granted to the job that asked first ─► released ─► free
//! ```
//!
//! Invariant: per TaskManager, free + granted = offered.

use std::collections::BTreeMap;

use crate::ids::{JobId, TaskManagerId};

/// One TaskManager's slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// In all.
    pub slots: u32,
    /// Held, by job.
    pub granted: BTreeMap<JobId, u32>,
    /// Its link is broken for the moment: grants nothing new.
    pub away: bool,
}

impl Offer {
    /// Held by nobody.
    pub fn free(&self) -> u32 {
        self.slots - self.granted.values().sum::<u32>()
    }
}

/// Slots given to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) job: JobId,
    pub(super) task_manager: TaskManagerId,
    pub(super) slots: u32,
}

/// All slots of a JobManager.
#[derive(Clone, Debug, Default)]
pub struct SlotPool {
    offers: BTreeMap<TaskManagerId, Offer>,
    /// Slots wanted in all by each job, in order of asking.
    wants: Vec<(JobId, u32)>,
    /// Counts changes of who offers and who holds.
    generation: u64,
}

/// Whatever gives slots or frees them returns the grants that follow, which must reach their jobs.
impl SlotPool {
    /// Each TaskManager with its slots.
    pub fn offers(&self) -> impl Iterator<Item = (&TaskManagerId, &Offer)> {
        self.offers.iter()
    }

    /// One TaskManager's slots.
    pub fn offer(&self, task_manager: &TaskManagerId) -> Option<&Offer> {
        self.offers.get(task_manager)
    }

    /// Grows with each change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Slots in all and free ones.
    pub fn totals(&self) -> (u32, u32) {
        self.offers.values().fold((0, 0), |(slots, free), offer| (slots + offer.slots, free + offer.free()))
    }

    fn held_by(&self, job: JobId) -> u32 {
        self.offers.values().filter_map(|offer| offer.granted.get(&job)).sum()
    }

    /// Slots wanted and held by a job, while it wants more than it has.
    pub fn shortage(&self, job: JobId) -> Option<(u32, u32)> {
        let (_, wanted) = self.wants.iter().find(|(of, _)| *of == job)?;
        let held = self.held_by(job);
        (held < *wanted).then_some((*wanted, held))
    }

    /// Slots that are wanted and not there.
    pub fn missing(&self) -> u32 {
        self.wants.iter().map(|(job, wanted)| wanted.saturating_sub(self.held_by(*job))).sum()
    }

    /// Jobs that want more than they hold.
    pub(super) fn waiting(&self) -> Vec<JobId> {
        self.wants.iter().filter(|(job, wanted)| self.held_by(*job) < *wanted).map(|(job, _)| *job).collect()
    }

    #[must_use]
    pub(super) fn register(&mut self, task_manager: TaskManagerId, slots: u32) -> Vec<Grant> {
        self.offers.insert(task_manager, Offer { slots, granted: BTreeMap::new(), away: false });
        self.grant()
    }

    #[must_use]
    pub(super) fn set_away(&mut self, task_manager: &TaskManagerId, away: bool) -> Vec<Grant> {
        if let Some(offer) = self.offers.get_mut(task_manager) {
            offer.away = away;
        }
        self.grant()
    }

    /// Forgets a TaskManager; says which jobs held slots of it, and what they get elsewhere instead.
    #[must_use]
    pub(super) fn lose(&mut self, task_manager: &TaskManagerId) -> (Vec<JobId>, Vec<Grant>) {
        let lost = self.offers.remove(task_manager);
        (lost.map(|offer| offer.granted.into_keys().collect()).unwrap_or_default(), self.grant())
    }

    /// `job` wants to hold `count` slots in all from now.
    #[must_use]
    pub(super) fn request(&mut self, job: JobId, count: u32) -> Vec<Grant> {
        match self.wants.iter_mut().find(|(of, _)| *of == job) {
            _ if count == 0 => self.wants.retain(|(of, _)| *of != job),
            Some((_, wanted)) => *wanted = count,
            None => self.wants.push((job, count)),
        }
        self.grant()
    }

    #[must_use]
    pub(super) fn release(&mut self, job: JobId, task_manager: &TaskManagerId, slots: u32) -> Vec<Grant> {
        if let Some(offer) = self.offers.get_mut(task_manager)
            && let Some(held) = offer.granted.get_mut(&job)
        {
            *held = held.saturating_sub(slots);
            if *held == 0 {
                offer.granted.remove(&job);
            }
        }
        self.grant()
    }

    /// Gives what is free to those who wait, in order of asking; a job gets as much of one TaskManager as it can use, so that
    /// its tasks lie together.
    fn grant(&mut self) -> Vec<Grant> {
        self.generation += 1;
        let mut grants = Vec::new();
        for (job, wanted) in self.wants.clone() {
            let mut missing = wanted.saturating_sub(self.held_by(job));
            for (task_manager, offer) in &mut self.offers {
                let slots = missing.min(offer.free());
                if slots == 0 || offer.away {
                    continue;
                }
                *offer.granted.entry(job).or_default() += slots;
                missing -= slots;
                grants.push(Grant { job, task_manager: task_manager.clone(), slots });
            }
        }
        grants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: JobId = JobId(1);
    const B: JobId = JobId(2);

    fn tm(name: &str) -> TaskManagerId {
        TaskManagerId(name.to_owned())
    }

    fn grant(job: JobId, name: &str, slots: u32) -> Grant {
        Grant { job, task_manager: tm(name), slots }
    }

    #[test]
    fn slots_go_to_who_asked_first_and_come_back_to_who_waits() {
        let mut pool = SlotPool::default();
        assert_eq!(pool.request(A, 3), []);
        assert_eq!(pool.request(B, 1), []);
        assert_eq!(pool.missing(), 4);
        assert_eq!(pool.register(tm("x"), 2), [grant(A, "x", 2)]);
        assert_eq!(pool.shortage(A), Some((3, 2)));
        assert_eq!(pool.register(tm("y"), 1), [grant(A, "y", 1)]);
        assert_eq!(pool.waiting(), [B]);
        assert_eq!(pool.request(A, 0), []);
        assert_eq!(pool.release(A, &tm("x"), 2), [grant(B, "x", 1)]);
        assert_eq!(pool.totals(), (3, 1));
        assert_eq!(pool.lose(&tm("y")), (vec![A], vec![]));
        assert_eq!(pool.missing(), 0);
    }

    #[test]
    fn what_is_lost_is_replaced_by_what_is_free() {
        let mut pool = SlotPool::default();
        assert_eq!(pool.register(tm("x"), 2), []);
        assert_eq!(pool.request(A, 1), [grant(A, "x", 1)]);
        assert_eq!(pool.register(tm("y"), 2), []);
        assert_eq!(pool.request(B, 2), [grant(B, "x", 1), grant(B, "y", 1)]);
        assert_eq!(pool.lose(&tm("x")), (vec![A, B], vec![grant(A, "y", 1)]));
    }

    #[test]
    fn a_task_manager_that_is_away_grants_nothing_new() {
        let mut pool = SlotPool::default();
        assert_eq!(pool.register(tm("x"), 1), []);
        assert_eq!(pool.set_away(&tm("x"), true), []);
        assert_eq!(pool.request(A, 1), []);
        assert_eq!(pool.set_away(&tm("x"), false), [grant(A, "x", 1)]);
    }
}
