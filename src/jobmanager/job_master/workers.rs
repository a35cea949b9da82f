//! Where a job runs: the slots it holds on each TaskManager, and the worker it has there.
//!
//! One worker a TaskManager. Whatever an older incarnation says is stale: [`Workers::is_current`].

use std::collections::BTreeMap;

use crate::ids::{JobId, TaskManagerId, WorkerId};
use crate::time::Now;

/// The job's share of one TaskManager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Slots held.
    pub slots: u32,
    /// Slots that the worker was started with, which is what its memory is for.
    pub started_with: u32,
    /// The job's process there.
    pub worker: WorkerState,
}

impl Place {
    /// Whether no worker is here, or only one that was started for another number of slots.
    pub(super) fn needs_worker(&self) -> bool {
        match self.worker {
            WorkerState::Absent | WorkerState::Leaving { .. } => true,
            WorkerState::Starting { .. } | WorkerState::Ready { .. } => self.started_with != self.slots,
        }
    }
}

/// The job's process on one TaskManager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// None.
    Absent,
    /// Asked for; has not opened its link.
    Starting {
        /// Which.
        incarnation: u32,
        /// Since when.
        since: Now,
    },
    /// Takes tasks.
    Ready {
        /// Which.
        incarnation: u32,
        /// Its process id.
        pid: u32,
        /// Where it serves its tasks' results.
        data_address: String,
    },
    /// Told to end, or its link broke: takes nothing more; its exit is awaited.
    Leaving {
        /// Which.
        incarnation: u32,
    },
}

impl WorkerState {
    fn incarnation(&self) -> Option<u32> {
        match self {
            Self::Absent => None,
            Self::Starting { incarnation, .. } | Self::Ready { incarnation, .. } | Self::Leaving { incarnation } => {
                Some(*incarnation)
            }
        }
    }
}

/// All places of a job.
#[derive(Clone, Debug)]
pub struct Workers {
    job: JobId,
    first_incarnation: u32,
    places: BTreeMap<TaskManagerId, Place>,
    /// Last incarnation used per TaskManager; kept when the TaskManager goes, for it may come back under its name.
    incarnations: BTreeMap<TaskManagerId, u32>,
}

impl Workers {
    pub(super) fn new(job: JobId, first_incarnation: u32) -> Self {
        Self { job, first_incarnation, places: BTreeMap::new(), incarnations: BTreeMap::new() }
    }

    /// Each TaskManager with what the job has there.
    pub fn places(&self) -> impl Iterator<Item = (&TaskManagerId, &Place)> {
        self.places.iter()
    }

    pub(super) fn total_slots(&self) -> u32 {
        self.places.values().map(|place| place.slots).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn add_slots(&mut self, task_manager: TaskManagerId, slots: u32) {
        let place = self.places.entry(task_manager).or_insert_with(|| Place {
            slots: 0,
            started_with: 0,
            worker: WorkerState::Absent,
        });
        place.slots += slots;
    }

    /// Gives up some slots of a TaskManager; its last ones go with [`Workers::remove`].
    pub(super) fn drop_slots(&mut self, task_manager: &TaskManagerId, slots: u32) {
        if let Some(place) = self.places.get_mut(task_manager) {
            place.slots = place.slots.saturating_sub(slots);
        }
    }

    /// Forgets a TaskManager; says what was there.
    pub(super) fn remove(&mut self, task_manager: &TaskManagerId) -> Option<Place> {
        self.places.remove(task_manager)
    }

    pub(super) fn worker_id(&self, task_manager: &TaskManagerId) -> Option<WorkerId> {
        let incarnation = self.places.get(task_manager)?.worker.incarnation()?;
        Some(WorkerId { task_manager: task_manager.clone(), job: self.job, incarnation })
    }

    /// Whether `worker` is the one the job has on its TaskManager now.
    pub fn is_current(&self, worker: &WorkerId) -> bool {
        worker.job == self.job && self.worker_id(&worker.task_manager).as_ref() == Some(worker)
    }

    pub(super) fn state(&self, worker: &WorkerId) -> Option<&WorkerState> {
        self.is_current(worker).then(|| &self.places[&worker.task_manager].worker)
    }

    pub(super) fn set(&mut self, task_manager: &TaskManagerId, worker: WorkerState) {
        if let Some(place) = self.places.get_mut(task_manager) {
            place.worker = worker;
        }
    }

    /// Marks a worker as one to end; `false` if it is so already or gone.
    pub(super) fn set_leaving(&mut self, worker: &WorkerId) -> bool {
        match self.state(worker) {
            Some(WorkerState::Starting { .. } | WorkerState::Ready { .. }) => {
                self.set(&worker.task_manager, WorkerState::Leaving { incarnation: worker.incarnation });
                true
            }
            Some(WorkerState::Absent | WorkerState::Leaving { .. }) | None => false,
        }
    }

    /// Notes that a new worker is being started on a TaskManager, and names it.
    pub(super) fn begin_start(&mut self, task_manager: &TaskManagerId, now: Now) -> Option<(WorkerId, u32)> {
        let place = self.places.get_mut(task_manager)?;
        let last = self.incarnations.entry(task_manager.clone()).or_insert(self.first_incarnation - 1);
        *last += 1;
        place.worker = WorkerState::Starting { incarnation: *last, since: now };
        place.started_with = place.slots;
        let worker = WorkerId { task_manager: task_manager.clone(), job: self.job, incarnation: *last };
        Some((worker, place.slots))
    }

    /// TaskManagers, one entry a slot.
    pub(super) fn slots(&self) -> Vec<TaskManagerId> {
        let repeat = |(id, place): (&TaskManagerId, &Place)| std::iter::repeat_n(id.clone(), place.slots as usize);
        self.places.iter().flat_map(repeat).collect()
    }

    /// Workers that take tasks, with their data address.
    pub(super) fn ready(&self) -> impl Iterator<Item = (WorkerId, &str)> {
        self.places.iter().filter_map(|(task_manager, place)| match &place.worker {
            WorkerState::Ready { incarnation, data_address, .. } => Some((
                WorkerId { task_manager: task_manager.clone(), job: self.job, incarnation: *incarnation },
                data_address.as_str(),
            )),
            WorkerState::Absent | WorkerState::Starting { .. } | WorkerState::Leaving { .. } => None,
        })
    }

    /// Workers asked for, with the moment.
    pub(super) fn starting(&self) -> impl Iterator<Item = (WorkerId, Now)> {
        self.places.iter().filter_map(|(task_manager, place)| match &place.worker {
            WorkerState::Starting { incarnation, since } => Some((
                WorkerId { task_manager: task_manager.clone(), job: self.job, incarnation: *incarnation },
                *since,
            )),
            WorkerState::Absent | WorkerState::Ready { .. } | WorkerState::Leaving { .. } => None,
        })
    }
}
