//! The thread that writes what subtasks have frozen.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use super::executor::Events;
use super::snapshot::Unwritten;
use crate::engine::checkpoint::CheckpointStorage;
use crate::graph::task::Failure;

/// Snapshots that wait to be written: one a subtask and checkpoint, so more are left over from checkpoints that were given up.
const WAITING_MAX: usize = 4096;

/// Where a process's subtasks put what they have frozen.
#[derive(Clone)]
pub(super) struct Snapshots {
    waiting: Sender<Unwritten>,
    events: Events,
}

impl Snapshots {
    /// Starts the thread. It ends when nobody can put anything any more.
    pub(super) fn start(storage: Arc<dyn CheckpointStorage>, events: Events) -> Self {
        let (waiting, queue) = crossbeam_channel::bounded(WAITING_MAX);
        let says = events.clone();
        let started = thread::Builder::new()
            .name("flott-snapshots".to_owned())
            .spawn(move || write_all(&queue, &*storage, &says));
        if let Err(error) = started {
            // The queue is closed then, and each snapshot is refused.
            tracing::error!(%error, "no thread for writing checkpoints");
        }
        Self { waiting, events }
    }

    /// Has it written; what comes of it is reported.
    pub(super) fn write(&self, unwritten: Unwritten) {
        if let Err(refused) = self.waiting.try_send(unwritten) {
            let failure = Failure::transient("the state of former checkpoints is still being written");
            self.events.send(refused.into_inner().refuse(failure));
        }
    }
}

fn write_all(queue: &Receiver<Unwritten>, storage: &dyn CheckpointStorage, events: &Events) {
    while let Ok(unwritten) = queue.recv() {
        events.send(unwritten.write(storage));
    }
}
