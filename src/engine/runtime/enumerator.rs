//! The thread beside subtask 0 of a source that finds the parts of its input.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::event::TaskEvent;
use super::executor::Events;
use super::mailbox::{Mail, Mailbox};
use super::panics;
use crate::engine::operators::{ErasedSource, NextDiscovery, OperatorContext};
use crate::graph::plan::NodeIndex;
use crate::graph::task::Failure;
use crate::time::Deadline;

/// Ends an enumerator when dropped: between two looks at once, else after the present one.
pub(super) struct Enumerator(Arc<Stop>);

#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

/// What the thread works with.
pub(super) struct Enumeration {
    pub(super) source: Arc<dyn ErasedSource>,
    pub(super) operator: NodeIndex,
    pub(super) context: OperatorContext,
    pub(super) events: Events,
    /// Of subtask 0: an enumerator's failure is its failure.
    pub(super) mailbox: Arc<Mailbox>,
}

impl Enumerator {
    /// Starts the thread.
    pub(super) fn start(enumeration: Enumeration) -> std::io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let watched = Arc::clone(&stop);
        let name = format!("splits of {}", enumeration.context.name.replace('\0', " "));
        thread::Builder::new().name(name).spawn(move || {
            let Enumeration { context, mailbox, .. } = &enumeration;
            let result = panics::catch(|| enumerate(&enumeration, &watched)).map_err(Failure::user);
            if let Err(failure) = result.and_then(|ended| ended) {
                mailbox.deliver(Mail::Fail(failure.in_operator(&context.name)));
            }
        })?;
        Ok(Self(stop))
    }
}

impl Drop for Enumerator {
    fn drop(&mut self) {
        *self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

fn enumerate(enumeration: &Enumeration, stop: &Stop) -> Result<(), Failure> {
    let Enumeration { source, operator, context, events, .. } = enumeration;
    let mut enumerator = source.enumerator(context)?;
    while !stop.is_set() {
        let found = enumerator.discover()?;
        let complete = found.next == NextDiscovery::Complete;
        if stop.is_set() {
            return Ok(());
        }
        if complete || !found.splits.is_empty() {
            let (attempt, operator, splits) = (context.attempt, *operator, found.splits);
            events.send(TaskEvent::SplitsDiscovered { attempt, operator, splits, complete });
        }
        match found.next {
            NextDiscovery::Complete => return Ok(()),
            NextDiscovery::After(pause) => stop.wait(pause),
        }
    }
    Ok(())
}

impl Stop {
    fn is_set(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is set, at most for `pause`.
    fn wait(&self, pause: Duration) {
        let deadline = Deadline::after(pause);
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped && !deadline.passed() {
            (stopped, _) =
                self.changed.wait_timeout(stopped, deadline.remaining()).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
