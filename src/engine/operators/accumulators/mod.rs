//! Accumulators: what functions count beside their records, one result a job. Flink's feature of that name.
//!
//! ```text
//! handle.add(value) in a function ─► the subtask's own accumulator ─► report ─► JobManager: merged by name
//! ```
//!
//! While a subtask's step runs, its accumulators lie in a thread-local, so a handle in a plain closure finds them; the step puts
//! them there and takes them back by moving one `Vec`. A job without accumulators pays no more than that, once a step.

mod kinds;

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

pub use self::kinds::{
    AverageAccumulator, DoubleCounter, DoubleMaximum, DoubleMinimum, Histogram, IntCounter, IntMaximum, IntMinimum,
    ListAccumulator, LongCounter, LongMaximum, LongMinimum,
};
use crate::graph::accumulator::{AccumulatorResult, AccumulatorValue, Accumulators};
use crate::graph::task::Failure;

/// More than this, and a subtask's accumulators are a result that belongs into a sink.
const BYTES_MAX: usize = 256 * 1024;

/// Something that a function counts beside its records. Flink's `Accumulator`.
///
/// Each subtask has one of its own, made by `default`. What it has gathered is told as an [`AccumulatorValue`], which knows how
/// to merge with those of other subtasks without the program's code; one of your own is made of such parts:
///
/// ```
/// use flott::prelude::*;
/// use flott::{Accumulator, AccumulatorValue, Number};
///
/// /// How many lines came, and how long the longest was.
/// #[derive(Default)]
/// struct Lines { count: i64, longest: i64 }
///
/// impl Accumulator for Lines {
///     type Input = usize;
///     fn add(&mut self, length: usize) {
///         self.count += 1;
///         self.longest = self.longest.max(length as i64);
///     }
///     fn value(&self) -> AccumulatorValue {
///         AccumulatorValue::Fields(
///             [
///                 ("count".to_owned(), AccumulatorValue::Sum(Number::Long(self.count))),
///                 ("longest".to_owned(), AccumulatorValue::Maximum(Some(Number::Long(self.longest)))),
///             ]
///             .into(),
///         )
///     }
/// }
///
/// # fn main() -> Result<(), flott::Error> {
/// let env = StreamExecutionEnvironment::new();
/// let lines = env.accumulator::<Lines>("lines");
/// env.from_collection(["a".to_owned(), "abc".to_owned()]).map(move |line| { lines.add(line.len()); line }).discard();
/// let result = env.execute("lines")?;
/// assert_eq!(result.accumulator("lines").unwrap().to_string(), "{count=2, longest=3}");
/// # Ok(())
/// # }
/// ```
pub trait Accumulator: Default + Send + 'static {
    /// What one addition takes.
    type Input;

    /// Takes a value in.
    fn add(&mut self, value: Self::Input);

    /// What it has gathered. Asked about once a second while it changes, and at the end.
    fn value(&self) -> AccumulatorValue;
}

/// Reaches a subtask's accumulator from its functions; obtained from
/// [`StreamExecutionEnvironment::accumulator`](crate::StreamExecutionEnvironment::accumulator), or when a function is opened.
///
/// Clones reach the same: each subtask's own, in whichever function they are.
pub struct AccumulatorHandle<A> {
    name: Arc<str>,
    accumulator: PhantomData<fn(A)>,
}

impl<A> Clone for AccumulatorHandle<A> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), accumulator: PhantomData }
    }
}

impl<A> fmt::Debug for AccumulatorHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccumulatorHandle").field(&self.name).finish()
    }
}

impl<A: Accumulator> AccumulatorHandle<A> {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), accumulator: PhantomData }
    }

    /// The name its result has.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds to the accumulator of the subtask that runs this.
    ///
    /// Nothing happens outside a subtask: in `main`, in a test that calls a function itself, and in futures of async I/O, which run
    /// on other threads (count in the function that makes the future, or behind).
    ///
    /// # Panics
    /// When another type of accumulator has this name, which fails the job.
    #[inline]
    pub fn add(&self, value: A::Input) {
        CURRENT.with_borrow_mut(|current| {
            if let Some(entries) = current {
                self.of(entries).add(value);
            }
        });
    }

    /// Makes the subtask's accumulator, so that it has a result though nothing may be added.
    pub(super) fn begin(&self) {
        CURRENT.with_borrow_mut(|current| {
            if let Some(entries) = current {
                self.of(entries);
            }
        });
    }

    fn of<'a>(&self, entries: &'a mut Vec<Entry>) -> &'a mut A {
        // Clones of one handle share the name, so the first look finds it in all but the first call.
        let known = entries.iter().position(|entry| Arc::ptr_eq(&entry.name, &self.name));
        let known = known.or_else(|| entries.iter().position(|entry| entry.name == self.name));
        let position = known.unwrap_or_else(|| {
            entries.push(Entry { name: Arc::clone(&self.name), accumulator: Box::new(A::default()) });
            entries.len() - 1
        });
        let entry = &mut entries[position];
        let kind = entry.accumulator.kind();
        let any: &mut dyn Any = entry.accumulator.as_mut();
        let (name, wanted) = (&self.name, kind_of::<A>());
        any.downcast_mut().unwrap_or_else(|| {
            panic!("accumulator \"{name}\" is a {kind} elsewhere and a {wanted} here: choose another name for one")
        })
    }
}

/// An accumulator of any type.
trait Erased: Any + Send {
    fn value(&self) -> AccumulatorValue;
    fn kind(&self) -> &'static str;
}

impl<A: Accumulator> Erased for A {
    fn value(&self) -> AccumulatorValue {
        Accumulator::value(self)
    }

    fn kind(&self) -> &'static str {
        kind_of::<A>()
    }
}

/// A type's name without the path to it.
fn kind_of<A>() -> &'static str {
    let name = std::any::type_name::<A>();
    let end = name.find('<').unwrap_or(name.len());
    name[..end].rfind("::").map_or(name, |at| &name[at + 2..])
}

/// What an accumulator of this type has gathered before the first value.
pub(crate) fn nothing<A: Accumulator>() -> AccumulatorResult {
    AccumulatorResult { kind: kind_of::<A>().to_owned(), value: A::default().value() }
}

struct Entry {
    name: Arc<str>,
    accumulator: Box<dyn Erased>,
}

thread_local! {
    /// The accumulators of the subtask whose step runs on this thread.
    static CURRENT: RefCell<Option<Vec<Entry>>> = const { RefCell::new(None) };
}

/// One subtask's accumulators.
#[derive(Default)]
pub(crate) struct SubtaskAccumulators {
    entries: Vec<Entry>,
    reported: Accumulators,
}

impl SubtaskAccumulators {
    /// Runs `code`, whose handles reach these. It must not unwind.
    pub(crate) fn within<R>(&mut self, code: impl FnOnce() -> R) -> R {
        let outer = CURRENT.replace(Some(std::mem::take(&mut self.entries)));
        let result = code();
        self.entries = CURRENT.replace(outer).unwrap_or_default();
        result
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What has been gathered, if that is news. Runs user code.
    pub(crate) fn news(&mut self) -> Result<Option<Accumulators>, Failure> {
        let result = |entry: &Entry| {
            let (kind, value) = (entry.accumulator.kind().to_owned(), entry.accumulator.value());
            (entry.name.to_string(), AccumulatorResult { kind, value })
        };
        let gathered: Accumulators = self.entries.iter().map(result).collect();
        if gathered == self.reported {
            return Ok(None);
        }
        let bytes: usize = gathered.values().map(|result| result.value.bytes()).sum();
        if bytes > BYTES_MAX {
            let largest = gathered.iter().max_by_key(|(_, result)| result.value.bytes());
            let name = largest.map_or("", |(name, _)| name);
            return Err(Failure::user(format!(
                "accumulators have grown to {bytes} bytes in one subtask, \"{name}\" most of all; {BYTES_MAX} are the most there \
                 may be: send large results to a sink, by a side output"
            )));
        }
        self.reported.clone_from(&gathered);
        Ok(Some(gathered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_reach_the_subtask_that_runs_and_nobody_outside() {
        let (one, other) = (AccumulatorHandle::<LongCounter>::new("n"), AccumulatorHandle::<LongCounter>::new("n"));
        let mut subtasks = [SubtaskAccumulators::default(), SubtaskAccumulators::default()];
        one.add(100);
        subtasks[0].within(|| [&one, &other, &one.clone()].into_iter().for_each(|handle| handle.add(1)));
        subtasks[1].within(|| one.add(5));
        one.add(100);
        let values = subtasks.each_mut().map(|subtask| subtask.news().unwrap().unwrap()["n"].value.as_i64());
        assert_eq!(values, [Some(3), Some(5)]);
        assert_eq!(subtasks[0].news().unwrap(), None);
        subtasks[0].within(|| one.add(0));
        assert_eq!(subtasks[0].news().unwrap(), None);
    }

    #[test]
    #[should_panic(expected = "accumulator \"n\" is a LongCounter elsewhere and a IntMaximum here")]
    fn one_name_is_one_type() {
        let (one, other) = (AccumulatorHandle::<LongCounter>::new("n"), AccumulatorHandle::<IntMaximum>::new("n"));
        SubtaskAccumulators::default().within(|| {
            one.add(1);
            other.add(1);
        });
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let list = AccumulatorHandle::<ListAccumulator>::new("all");
        let mut subtask = SubtaskAccumulators::default();
        subtask.within(|| (0..20_000).for_each(|n| list.add(n.to_string())));
        let failure = subtask.news().unwrap_err();
        assert!(failure.message.contains("\"all\" most of all"), "{failure}");
    }
}
