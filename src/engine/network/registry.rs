//! Where the two ends of a channel meet: whichever comes first waits here for the other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::NetworkError;
use super::downstream::Downstream;
use super::gate::Gate;
use super::outlet::Outlet;
use crate::graph::plan::EdgeId;
use crate::ids::ExecutionAttemptId;

/// One channel: from one execution to another along one edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct ChannelKey {
    pub(super) edge: EdgeId,
    pub(super) producer: ExecutionAttemptId,
    pub(super) consumer: ExecutionAttemptId,
}

impl fmt::Display for ChannelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} to {}", self.edge, self.producer, self.consumer)
    }
}

/// The consumer's end of a channel, as the producer's worker sees it.
pub(super) enum Consumer {
    /// In this process.
    Local { gate: Arc<Gate>, index: u32 },
    /// Behind a connection.
    Remote { link: Arc<Downstream>, channel: u32, window: u64 },
}

enum Waiting {
    Producer(Arc<Outlet>),
    Consumer(Consumer),
}

/// The channels of one worker of which only one end is here.
#[derive(Default)]
pub(super) struct Registry {
    waiting: Mutex<BTreeMap<ChannelKey, Waiting>>,
}

impl Registry {
    /// A producer's end is here.
    pub(super) fn add_producer(&self, outlet: &Arc<Outlet>) -> Result<(), NetworkError> {
        let key = outlet.key();
        let consumer = match self.lock().entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Waiting::Producer(Arc::clone(outlet)));
                return Ok(());
            }
            Entry::Occupied(entry) => match entry.remove() {
                Waiting::Consumer(consumer) => consumer,
                Waiting::Producer(_) => return Err(NetworkError::Duplicate { channel: key.to_string() }),
            },
        };
        outlet.bind(consumer);
        Ok(())
    }

    /// A consumer's end is here.
    pub(super) fn add_consumer(&self, key: ChannelKey, consumer: Consumer) -> Result<(), NetworkError> {
        let outlet = match self.lock().entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Waiting::Consumer(consumer));
                return Ok(());
            }
            Entry::Occupied(entry) => match entry.remove() {
                Waiting::Producer(outlet) => outlet,
                Waiting::Consumer(_) => return Err(NetworkError::Duplicate { channel: key.to_string() }),
            },
        };
        outlet.bind(consumer);
        Ok(())
    }

    /// `attempt` will not come, or not any more: forgets its ends that still wait. A producer's end that has been written to its
    /// end stays for its consumer.
    pub(super) fn release(&self, attempt: ExecutionAttemptId) {
        self.lock().retain(|key, waiting| match waiting {
            Waiting::Producer(outlet) => key.consumer != attempt && (key.producer != attempt || outlet.is_ended()),
            Waiting::Consumer(_) => key.consumer != attempt && key.producer != attempt,
        });
    }

    /// A connection broke: its consumers will not come.
    pub(super) fn drop_link(&self, broken: &Arc<Downstream>) {
        self.lock().retain(|_, waiting| match waiting {
            Waiting::Consumer(Consumer::Remote { link, .. }) => !Arc::ptr_eq(link, broken),
            Waiting::Consumer(Consumer::Local { .. }) | Waiting::Producer(_) => true,
        });
    }

    /// A consumer behind a connection wants no more of a channel that may never have met its producer.
    pub(super) fn close(&self, broken: &Arc<Downstream>, closed: u32) {
        self.lock().retain(|_, waiting| match waiting {
            Waiting::Consumer(Consumer::Remote { link, channel, .. }) => {
                *channel != closed || !Arc::ptr_eq(link, broken)
            }
            Waiting::Consumer(Consumer::Local { .. }) | Waiting::Producer(_) => true,
        });
    }

    /// Executions of the same subtask before `attempt` are history: what they left behind goes.
    pub(super) fn forget_before(&self, attempt: ExecutionAttemptId) {
        let older = |other: ExecutionAttemptId| {
            (other.vertex, other.subtask) == (attempt.vertex, attempt.subtask) && other.attempt < attempt.attempt
        };
        self.lock().retain(|key, _| !older(key.producer) && !older(key.consumer));
    }

    /// How many ends wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ChannelKey, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
