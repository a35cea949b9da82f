//! A thread that writes, so that a service never waits for the disk.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{Error, MetaStore, Operation};

/// Batches that wait. When full, [`MetaWriter::submit`] waits for a flush (milliseconds): what must be durable is never dropped.
const BATCHES_LEN_MAX: usize = 4096;

/// What became of a batch. An error poisons the writer: later batches fail with [`Error::Poisoned`].
pub type Outcome = Result<(), Arc<Error>>;

/// Writes batches in order on a thread of its own; whatever is queued shares one flush.
///
/// `T` is whatever the owner wants to hear back when a batch is durable. Dropped, it writes what is queued and closes the store.
pub struct MetaWriter<T> {
    batches: Option<Sender<(T, Vec<Operation>)>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl<T: Send + 'static> MetaWriter<T> {
    /// Starts the thread. `complete` is called on it, once per batch and in their order, when the batch is durable or has failed;
    /// it should only pass the news on.
    ///
    /// # Errors
    /// [`Error::Io`] if the system starts no thread.
    pub fn start<S, F>(store: S, complete: F) -> Result<Self, Error>
    where
        S: MetaStore + 'static,
        F: FnMut(T, Outcome) + Send + 'static,
    {
        let (batches, incoming) = bounded(BATCHES_LEN_MAX);
        let thread = thread::Builder::new()
            .name("meta-writer".to_owned())
            .spawn(move || Writing { store, complete, poison: None }.run(&incoming))
            .map_err(|source| Error::Io { verb: "start", path: "meta-writer".into(), source })?;
        Ok(Self { batches: Some(batches), thread: Some(thread) })
    }

    /// Queues a batch, which will be applied whole or not at all. Returns at once unless 4,096 batches wait.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if the thread is gone (it never is, short of a panic in `complete`).
    pub fn submit(&self, ticket: T, batch: Vec<Operation>) -> Result<(), Error> {
        let batches = self.batches.as_ref().expect("open until dropped or closed");
        batches.send((ticket, batch)).map_err(|_| Error::Poisoned { cause: "the writer's thread has ended".to_owned() })
    }

    /// Writes what is queued, closes the store and waits for that.
    ///
    /// # Errors
    /// Why the store could not be closed in order.
    pub fn close(mut self) -> Result<(), Error> {
        self.join()
    }
}

impl<T> MetaWriter<T> {
    fn join(&mut self) -> Result<(), Error> {
        drop(self.batches.take());
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(Error::Poisoned { cause: "the writer's thread has panicked".to_owned() }),
        }
    }
}

impl<T> Drop for MetaWriter<T> {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::error!(%error, "store not closed in order");
        }
    }
}

impl<T> fmt::Debug for MetaWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.batches.as_ref().map_or(0, Sender::len);
        f.debug_struct("MetaWriter").field("batches_len", &waiting).finish_non_exhaustive()
    }
}

struct Writing<S, F> {
    store: S,
    complete: F,
    /// Why the first failed write failed.
    poison: Option<String>,
}

impl<S: MetaStore, F> Writing<S, F> {
    fn run<T>(mut self, incoming: &Receiver<(T, Vec<Operation>)>) -> Result<(), Error>
    where
        F: FnMut(T, Outcome),
    {
        while let Some(first) = self.next(incoming) {
            let queued = std::iter::once(first).chain(incoming.try_iter().take(BATCHES_LEN_MAX));
            let mut applied = Vec::new();
            let mut refused = None;
            for (ticket, batch) in queued {
                match self.apply(&batch) {
                    Ok(()) => applied.push(ticket),
                    Err(error) => {
                        // Those before it are flushed and told first.
                        refused = Some((ticket, error));
                        break;
                    }
                }
            }
            let flushed = if applied.is_empty() { Ok(()) } else { self.flush() };
            for ticket in applied {
                (self.complete)(ticket, flushed.clone());
            }
            if let Some((ticket, error)) = refused {
                self.poison.get_or_insert_with(|| error.to_string());
                (self.complete)(ticket, Err(Arc::new(error)));
            }
        }
        match self.poison {
            None => self.store.close(),
            Some(cause) => Err(Error::Poisoned { cause }),
        }
    }

    /// Waits for a batch, doing housekeeping meanwhile; `None` when the owner has let go.
    fn next<T>(&mut self, incoming: &Receiver<(T, Vec<Operation>)>) -> Option<(T, Vec<Operation>)> {
        loop {
            let wait = if self.poison.is_some() { Ok(None) } else { self.store.maintain() };
            match wait {
                Ok(Some(wait)) => match incoming.recv_timeout(wait) {
                    Ok(batch) => return Some(batch),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return None,
                },
                Ok(None) => return incoming.recv().ok(),
                Err(error) => self.poison = Some(error.to_string()),
            }
        }
    }

    fn apply(&mut self, batch: &[Operation]) -> Result<(), Error> {
        match &self.poison {
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
            None => self.store.apply(batch).map(|_| ()),
        }
    }

    fn flush(&mut self) -> Outcome {
        self.store.flush().map_err(|error| {
            self.poison = Some(error.to_string());
            Arc::new(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{SyncSender, sync_channel};

    use super::*;
    use crate::storage::meta::{Expect, LogStore, MemoryStore, Record, Version};

    type Told = Arc<Mutex<Vec<(u32, bool)>>>;

    fn told(told: &Told) -> impl FnMut(u32, Outcome) + Send + use<> {
        let told = Arc::clone(told);
        move |ticket, outcome| told.lock().unwrap().push((ticket, outcome.is_ok()))
    }

    #[test]
    fn completions_come_in_order_after_durability() {
        let dir = tempfile::tempdir().unwrap();
        let seen = Told::default();
        let store = LogStore::open(dir.path()).unwrap().store;
        let writer = MetaWriter::start(store, told(&seen)).unwrap();
        for ticket in 0..500 {
            writer.submit(ticket, vec![Operation::put("counter", ticket.to_string())]).unwrap();
        }
        writer.close().unwrap();
        assert_eq!(*seen.lock().unwrap(), (0..500).map(|ticket| (ticket, true)).collect::<Vec<_>>());
        let store = LogStore::open(dir.path()).unwrap().store;
        assert_eq!(store.get("counter").unwrap().unwrap().value, b"499");
    }

    #[test]
    fn a_failed_write_poisons_and_those_before_it_stay() {
        let seen = Told::default();
        let writer = MetaWriter::start(MemoryStore::default(), told(&seen)).unwrap();
        writer.submit(1, vec![Operation::put("a", "1")]).unwrap();
        let conflicting = Operation::Put { key: "a".into(), value: vec![], expect: Expect::Absent };
        writer.submit(2, vec![conflicting]).unwrap();
        writer.submit(3, vec![Operation::put("b", "1")]).unwrap();
        assert!(matches!(writer.close(), Err(Error::Poisoned { .. })));
        assert_eq!(*seen.lock().unwrap(), [(1, true), (2, false), (3, false)]);
    }

    /// A store whose flushes wait to be allowed, then fail from the second on.
    struct Stubborn {
        allowed: Receiver<()>,
        flushes: u32,
        flushing: SyncSender<()>,
    }

    impl MetaStore for Stubborn {
        fn get(&self, _: &str) -> Result<Option<Record>, Error> {
            Ok(None)
        }

        fn list(&self, _: &str) -> Result<Vec<(String, Record)>, Error> {
            Ok(Vec::new())
        }

        fn apply(&mut self, _: &[Operation]) -> Result<Version, Error> {
            Ok(Version(1))
        }

        fn flush(&mut self) -> Result<(), Error> {
            self.flushing.send(()).unwrap();
            self.allowed.recv().unwrap();
            self.flushes += 1;
            if self.flushes > 1 { Err(Error::Poisoned { cause: "disk full".to_owned() }) } else { Ok(()) }
        }
    }

    #[test]
    fn what_is_queued_shares_a_flush_and_a_failed_flush_fails_all_of_it() {
        let (allow, allowed) = bounded(10);
        let (flushing, is_flushing) = sync_channel(10);
        let seen = Told::default();
        let writer = MetaWriter::start(Stubborn { allowed, flushes: 0, flushing }, told(&seen)).unwrap();
        writer.submit(1, vec![]).unwrap();
        is_flushing.recv().unwrap();
        // The first flush waits; these three queue up behind it.
        for ticket in 2..5 {
            writer.submit(ticket, vec![]).unwrap();
        }
        allow.send(()).unwrap();
        allow.send(()).unwrap();
        assert!(writer.close().is_err());
        assert_eq!(*seen.lock().unwrap(), [(1, true), (2, false), (3, false), (4, false)]);
        assert_eq!(is_flushing.try_iter().count(), 1, "and the poisoned store is left alone");
    }
}
