//! Messages to a subtask, read between slices of input; and what wakes its thread.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::engine::record::Barrier;
use crate::graph::task::{Failure, Split};

/// Something a subtask is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// End at once, without finishing.
    Cancel,
    /// Fail: something that belongs to this subtask but runs beside it has failed.
    Fail(Failure),
    /// A part of the input, as asked for.
    AssignSplit(Split),
    /// There will be no more parts.
    NoMoreSplits,
    /// End as if the input had ended.
    StopSource,
    /// Report the accumulators, where they have news.
    ReportAccumulators,
    /// A checkpoint begins: sources send its barrier.
    Checkpoint(Arc<Barrier>),
    /// Sources that were suspended behind a barrier go on.
    Resume,
}

/// Splits waiting to be read: a reader asks for one at a time, so more than one is a repeated message, more than these a fault.
const SPLITS_WAITING_MAX: usize = 16;

/// A subtask's mailbox. Bounded by its form: equal orders merge, and splits come one at a time.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    /// Whether `orders` has something new: read at every slice, so without a lock.
    pending: AtomicBool,
    orders: Mutex<Orders>,
    accumulators_wanted: AtomicBool,
    notified: AtomicBool,
    thread: OnceLock<Thread>,
}

/// What has arrived since the last look.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) cancel: bool,
    pub(super) failure: Option<Failure>,
    pub(super) splits: VecDeque<Split>,
    pub(super) no_more_splits: bool,
    pub(super) stop: bool,
    /// The newest one.
    pub(super) barrier: Option<Arc<Barrier>>,
    pub(super) resume: bool,
}

impl Mailbox {
    /// Puts mail in and wakes the subtask.
    pub(super) fn deliver(&self, mail: Mail) {
        if mail == Mail::ReportAccumulators {
            // No order: the subtask answers behind whatever it does.
            self.accumulators_wanted.store(true, Ordering::Relaxed);
        } else {
            let mut orders = self.lock();
            match mail {
                Mail::Cancel => orders.cancel = true,
                Mail::Fail(failure) => {
                    orders.failure.get_or_insert(failure);
                }
                Mail::AssignSplit(split) if orders.splits.len() < SPLITS_WAITING_MAX => orders.splits.push_back(split),
                Mail::AssignSplit(_) => {
                    let failure = Failure::permanent("more splits were assigned than asked for");
                    orders.failure.get_or_insert(failure);
                }
                Mail::NoMoreSplits => orders.no_more_splits = true,
                Mail::StopSource => orders.stop = true,
                Mail::ReportAccumulators => {}
                Mail::Checkpoint(barrier) => orders.barrier = Some(barrier),
                Mail::Resume => orders.resume = true,
            }
            self.pending.store(true, Ordering::Release);
        }
        self.wake();
    }

    /// What has woken the subtask, or told it something, is dealt with by the step that follows: for drivers without a thread.
    pub(super) fn take_notice(&self) -> bool {
        self.notified.swap(false, Ordering::AcqRel)
    }

    /// Whether there is mail.
    pub(super) fn has_mail(&self) -> bool {
        self.pending.load(Ordering::Relaxed)
    }

    /// Whether a report of the accumulators was asked for since the last call.
    pub(super) fn take_accumulators_wanted(&self) -> bool {
        self.accumulators_wanted.load(Ordering::Relaxed) && self.accumulators_wanted.swap(false, Ordering::Relaxed)
    }

    /// What has arrived.
    pub(super) fn take(&self) -> Option<Orders> {
        if !self.pending.load(Ordering::Acquire) {
            return None;
        }
        let mut orders = self.lock();
        self.pending.store(false, Ordering::Relaxed);
        Some(std::mem::take(&mut *orders))
    }

    /// Makes the present, or else the next, [`Mailbox::park`] return. Calls before that merge.
    pub(super) fn wake(&self) {
        // The flag, not the thread's own token, says whether there is a reason to run: channels and locks used by operators
        // on the same thread may swallow the token.
        if !self.notified.swap(true, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Whether it was woken since the last call: what a simulator asks instead of parking.
    pub(super) fn take_wake(&self) -> bool {
        self.notified.swap(false, Ordering::AcqRel)
    }

    /// Names the calling thread as the one to wake.
    pub(super) fn belongs_to_this_thread(&self) {
        // A second call could only come from the same driver, which has one thread.
        let _ = self.thread.set(thread::current());
    }

    /// Blocks until woken, or until `timeout` has passed. May return early.
    pub(super) fn park(&self, timeout: Option<Duration>) {
        if self.take_notice() {
            return;
        }
        match timeout {
            Some(timeout) => thread::park_timeout(timeout),
            None => thread::park(),
        }
        self.notified.store(false, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        // Nothing panics while it is held; a poisoned lock would still hold whole orders.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a subtask that is stepped by somebody else than [`TaskExecutor`](super::TaskExecutor): a simulator.
#[derive(Clone, Debug)]
pub struct Mailer(pub(super) std::sync::Arc<Mailbox>);

impl Mailer {
    /// Puts mail in.
    pub fn deliver(&self, mail: Mail) {
        self.0.deliver(mail);
    }

    /// Whether there is a reason to step since the last call: mail, or a neighbour that woke the subtask.
    pub fn take_notice(&self) -> bool {
        self.0.take_notice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two threads hand a turn back and forth. Between two turns each swallows its own token, as a channel or lock used by an
    /// operator may. A lost wake-up hangs.
    #[test]
    fn no_wake_up_is_lost_to_other_users_of_the_thread() {
        const TURNS: u64 = 20_000;
        let mailboxes: [Arc<Mailbox>; 2] = [Arc::default(), Arc::default()];
        let turn = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let threads = [0u64, 1].map(|me| {
            let (mailboxes, turn) = (mailboxes.clone(), Arc::clone(&turn));
            thread::spawn(move || {
                let [own, other] = [me, 1 - me].map(|index| Arc::clone(&mailboxes[index as usize]));
                own.belongs_to_this_thread();
                loop {
                    let now = turn.load(Ordering::SeqCst);
                    if now >= TURNS {
                        return other.wake();
                    }
                    if now % 2 == me {
                        turn.store(now + 1, Ordering::SeqCst);
                        other.wake();
                        thread::park_timeout(Duration::ZERO);
                    } else {
                        own.park(None);
                    }
                }
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
