//! Requests to the outside that are under way at the same time.
//!
//! ```text
//! Rows ─► waiting ─► in flight, at most `capacity` ─future─► AsyncPort
//!            ▲            │   ▲                                 │
//!        no more input    │   └──── completed, wakes the subtask ┘
//!                         └─► Rows, in order of arrival or of completion
//! ```
//!
//! Futures run beside the subtask's thread and touch nothing of the operator: what they come to lies in a queue until the
//! subtask fires the operator's timer, which is due at once when something lies there. So emitting, failing and timing out happen
//! on the subtask's thread in a step like any other.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable};

use super::async_port::AsyncPort;
use super::{Collector, Operator, Output};
use crate::engine::record::{Batch, Record, Rows, Waker};
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// In which order results are emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultOrder {
    /// In that of the records they are for.
    Arrival,
    /// As they come.
    Completion,
}

/// Limits of what is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) order: ResultOrder,
    /// For each request, from when it is made.
    pub(crate) timeout: Duration,
    /// Requests under way, those included whose results wait for their turn.
    pub(crate) capacity: usize,
}

/// What stands in for the result of a record whose request has timed out.
pub(crate) type OnTimeout<T, U> = Arc<dyn Fn(T) -> Result<U, String> + Send + Sync>;

/// Makes a request for each record and emits what it comes to. Flink's `AsyncWaitOperator`.
pub(crate) struct AsyncWait<T, U, F> {
    request: F,
    on_timeout: Option<OnTimeout<T, U>>,
    wait: Wait,
    outside: Option<(AsyncPort, Arc<Completed<U>>)>,
    /// By number, in order of arrival; so the first that has no result yet has the earliest deadline.
    in_flight: BTreeMap<u64, InFlight<T, U>>,
    next_number: u64,
    /// What arrived beyond the capacity: at most the rest of a slice of input.
    waiting: VecDeque<(T, Option<EventTime>)>,
}

struct InFlight<T, U> {
    deadline: Now,
    /// Of the record, and of its result.
    timestamp: Option<EventTime>,
    /// For [`OnTimeout`].
    record: Option<T>,
    request: Request<U>,
}

enum Request<U> {
    Running(AbortHandle),
    Done(U),
}

/// Results that the operator has not seen yet: at most one for each request in flight.
struct Completed<U> {
    any: AtomicBool,
    results: Mutex<Vec<(u64, Result<U, Failure>)>>,
    waker: Waker,
}

impl<U> Completed<U> {
    fn add(&self, number: u64, result: Result<U, Failure>) {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
        self.any.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn take(&self) -> Vec<(u64, Result<U, Failure>)> {
        // Before the results: one that comes in between is announced again.
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut *self.results.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T, U, F, R, E> AsyncWait<T, U, F>
where
    T: Record,
    U: Record,
    F: FnMut(T) -> R + Send,
    R: Future<Output = Result<U, E>> + Send + 'static,
    E: std::fmt::Display,
{
    /// Makes requests by `request`.
    pub(crate) fn new(request: F, on_timeout: Option<OnTimeout<T, U>>, wait: Wait) -> Self {
        Self {
            request,
            on_timeout,
            wait,
            outside: None,
            in_flight: BTreeMap::new(),
            next_number: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Makes as many requests as there is capacity for.
    fn start_waiting(&mut self, now: Now) -> Result<(), Failure> {
        while self.in_flight.len() < self.wait.capacity
            && let Some((record, timestamp)) = self.waiting.pop_front()
        {
            self.start(record, timestamp, now)?;
        }
        Ok(())
    }

    fn start(&mut self, record: T, timestamp: Option<EventTime>, now: Now) -> Result<(), Failure> {
        let Some((port, completed)) = &self.outside else {
            return Err(Failure::permanent("asynchronous requests need a subtask around them"));
        };
        let number = self.next_number;
        self.next_number += 1;
        let kept = self.on_timeout.is_some().then(|| record.clone());
        let (completed, request) = (Arc::clone(completed), (self.request)(record));
        let (abort, registration) = AbortHandle::new_pair();
        let request = AssertUnwindSafe(request).catch_unwind().map(move |result| {
            completed.add(number, result.map_err(panicked).and_then(|result| result.map_err(refused)));
        });
        let deadline = now + self.wait.timeout;
        let running = Request::Running(abort);
        self.in_flight.insert(number, InFlight { deadline, timestamp, record: kept, request: running });
        port.spawn(Box::pin(Abortable::new(request, registration).map(drop)));
        Ok(())
    }

    /// Notes results; those that need not wait for their turn go to `out`.
    fn take_completed(&mut self, out: &mut Collector<'_, U>) -> Result<(), Failure> {
        let completed = self.outside.as_ref().map(|(_, completed)| completed.take()).unwrap_or_default();
        for (number, result) in completed {
            // One that timed out at the same moment is not waited for any more.
            if let Some(Request::Running(_)) = self.in_flight.get(&number).map(|in_flight| &in_flight.request) {
                self.done(number, result?, out);
            }
        }
        Ok(())
    }

    /// Gives up requests whose time is over.
    fn time_out(&mut self, now: Now, out: &mut Collector<'_, U>) -> Result<(), Failure> {
        let overdue = self.in_flight.iter().take_while(|(_, in_flight)| in_flight.deadline <= now);
        let running = overdue.filter(|(_, in_flight)| matches!(in_flight.request, Request::Running(_)));
        for number in running.map(|(number, _)| *number).collect::<Vec<_>>() {
            let in_flight = self.in_flight.get_mut(&number);
            let record = in_flight.and_then(|in_flight| {
                in_flight.abort();
                in_flight.record.take()
            });
            match (&self.on_timeout, record) {
                (Some(on_timeout), Some(record)) => {
                    let result = on_timeout(record).map_err(refused)?;
                    self.done(number, result, out);
                }
                (None, _) | (_, None) => {
                    let millis = self.wait.timeout.as_millis();
                    return Err(Failure::transient(format!(
                        "no answer within {millis} ms to an asynchronous request; raise the timeout, or say what is \
                         emitted instead"
                    )));
                }
            }
        }
        Ok(())
    }

    fn done(&mut self, number: u64, result: U, out: &mut Collector<'_, U>) {
        match self.wait.order {
            ResultOrder::Completion => {
                let in_flight = self.in_flight.remove(&number);
                out.at(in_flight.and_then(|in_flight| in_flight.timestamp));
                out.collect(result);
            }
            ResultOrder::Arrival => {
                if let Some(in_flight) = self.in_flight.get_mut(&number) {
                    in_flight.request = Request::Done(result);
                }
            }
        }
    }

    /// Emits the results whose turn it is.
    fn emit_in_turn(&mut self, out: &mut Collector<'_, U>) {
        while let Some(first) = self.in_flight.first_entry().filter(|first| first.get().is_done()) {
            let InFlight { timestamp, request, .. } = first.remove();
            if let Request::Done(result) = request {
                out.at(timestamp);
                out.collect(result);
            }
        }
    }
}

impl<T, U> InFlight<T, U> {
    fn is_done(&self) -> bool {
        matches!(self.request, Request::Done(_))
    }

    fn abort(&self) {
        if let Request::Running(abort) = &self.request {
            abort.abort();
        }
    }
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::transient(error.to_string())
}

fn panicked(payload: Box<dyn Any + Send>) -> Failure {
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => *text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "a value that is no text",
    };
    Failure::user(format!("panicked in an asynchronous request: {message}"))
}

impl<T, U, F, R, E> Operator for AsyncWait<T, U, F>
where
    T: Record,
    U: Record,
    F: FnMut(T) -> R + Send,
    R: Future<Output = Result<U, E>> + Send + 'static,
    E: std::fmt::Display,
{
    fn connect(&mut self, port: &AsyncPort, waker: &Waker) {
        let completed =
            Completed { any: AtomicBool::new(false), results: Mutex::new(Vec::new()), waker: waker.clone() };
        self.outside = Some((port.clone(), Arc::new(completed)));
    }

    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let Rows(records, times) = Rows::<T>::of(batch);
        self.waiting.extend(records.into_iter().enumerate().map(|(i, record)| (record, times.get(i))));
        self.start_waiting(out.now())
    }

    fn accepts_input(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.len() < self.wait.capacity
    }

    fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    fn next_timer(&self) -> Option<Now> {
        if self.outside.as_ref().is_some_and(|(_, completed)| completed.any.load(Ordering::Acquire)) {
            return Some(Now(0));
        }
        // In order of completion nothing done stays here; in order of arrival the first is never done, else it had been emitted.
        self.in_flight.first_key_value().map(|(_, in_flight)| in_flight.deadline)
    }

    fn on_processing_time(&mut self, now: Now, out: &mut dyn Output) -> Result<(), Failure> {
        let mut results = Collector::new(out);
        let outcome = self.take_completed(&mut results).and_then(|()| self.time_out(now, &mut results));
        self.emit_in_turn(&mut results);
        results.finish()?;
        outcome?;
        self.start_waiting(now)
    }
}

impl<T, U, F> Drop for AsyncWait<T, U, F> {
    fn drop(&mut self) {
        self.in_flight.values().for_each(InFlight::abort);
    }
}
