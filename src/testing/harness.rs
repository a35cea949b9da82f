//! One operator without a job: what a test of a function needs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::operators::{
    KeySelector, KeyedProcess, KeyedProcessFunction, Operator, OperatorContext, Output, OutputTag, key_selector,
};
use crate::engine::record::{Batch, Key, Keyed, Record, Rows, Times};
use crate::engine::state::{Redistribution, Restore, Snapshot, StateBackend, TakePart, TakeSection};
use crate::graph::plan::ExecutionMode;
use crate::graph::task::Failure;
use crate::ids::{ExecutionAttemptId, JobId, VertexId};
use crate::time::{EventTime, Now};

/// Runs a [`KeyedProcessFunction`] in a test, by hand: records go in, the clock is set, and what was emitted is looked at.
/// Flink's `KeyedOneInputStreamOperatorTestHarness`.
///
/// ```
/// use flott::prelude::*;
/// use flott::testing::KeyedOneInputHarness;
///
/// /// Emits each word again a second later.
/// #[derive(Clone)]
/// struct Echo;
///
/// impl KeyedProcessFunction<Str, Str, Str> for Echo {
///     fn process_element(&mut self, _word: Str, ctx: &mut KeyedContext<'_, Str>, _out: &mut Collector<'_, Str>) {
///         let later = ctx.current_processing_time() + std::time::Duration::from_secs(1);
///         ctx.timer_service().register_processing_time_timer(later);
///     }
///     fn on_timer(&mut self, _timer: Timer, ctx: &mut KeyedContext<'_, Str>, out: &mut Collector<'_, Str>) {
///         out.collect(ctx.current_key().clone());
///     }
/// }
///
/// let mut harness = KeyedOneInputHarness::new(|word: &Str| word.clone(), Echo);
/// harness.open()?;
/// harness.process_elements(["hello".into()])?;
/// harness.set_processing_time(Now(999))?;
/// assert!(harness.extract_output().is_empty());
/// harness.set_processing_time(Now(1000))?;
/// assert_eq!(harness.extract_output(), ["hello"]);
/// # Ok::<(), flott::prelude::Failure>(())
/// ```
pub struct KeyedOneInputHarness<K, I, O> {
    operator: Box<dyn Operator>,
    keys: KeySelector<I, K>,
    context: OperatorContext,
    emitted: Emitted<O>,
}

impl<K: Key, I: Record, O: Record> KeyedOneInputHarness<K, I, O> {
    /// A function that is not open, in streaming mode, at time 0, as the only subtask.
    pub fn new<F>(key: impl Fn(&I) -> K + Send + Sync + 'static, function: F) -> Self
    where
        F: KeyedProcessFunction<K, I, O>,
    {
        let context = OperatorContext {
            job: JobId(1),
            attempt: ExecutionAttemptId { vertex: VertexId(1), subtask: 0, attempt: 0 },
            name: "harness".to_owned(),
            parallelism: 1,
            max_parallelism: 128,
            execution_mode: ExecutionMode::Streaming,
            restored_from: None,
            auto_watermark_interval: Duration::from_millis(200),
            temporary_dir: std::env::temp_dir(),
            state_backend: StateBackend::default(),
            side_outputs: BTreeMap::new(),
        };
        let emitted = Emitted { rows: Vec::new(), sides: Vec::new(), now: Now(0) };
        Self { operator: Box::new(KeyedProcess::new(function)), keys: key_selector(key), context, emitted }
    }

    /// Sets batch or streaming, before the function is opened.
    #[must_use]
    pub fn execution_mode(mut self, mode: ExecutionMode) -> Self {
        self.context.execution_mode = mode;
        self
    }

    /// Sets where states live, before the function is opened.
    #[must_use]
    pub fn state_backend(mut self, backend: StateBackend) -> Self {
        self.context.state_backend = backend;
        self
    }

    /// Makes a side output be read, before the function is opened: of those that are not, nothing is kept.
    #[must_use]
    pub fn reading<T: Record>(mut self, tag: &OutputTag<T>) -> Self {
        self.context.side_outputs.insert(tag.name().to_owned(), std::any::type_name::<T>());
        self
    }

    /// Opens the function.
    ///
    /// # Errors
    /// What its `open` returned, or states that it asked for and cannot have.
    pub fn open(&mut self) -> Result<(), Failure> {
        self.operator.open(&self.context)?;
        self.operator.restore(&mut Nothing { now: self.emitted.now })
    }

    /// Opens the function with what a checkpoint holds for it, instead of [`Self::open`]. Flink's `initializeState`.
    ///
    /// # Errors
    /// As there, and states that cannot be read.
    pub fn open_from(&mut self, checkpoint: &mut dyn Restore) -> Result<(), Failure> {
        self.operator.open(&self.context)?;
        self.operator.restore(checkpoint)
    }

    /// What the states hold now, as at a barrier; what comes later does not change it. Flink's `snapshot`.
    ///
    /// # Errors
    /// What would fail the subtask.
    pub fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        let mut snapshot = Snapshot::default();
        self.operator.snapshot(&mut snapshot)?;
        Ok(snapshot)
    }

    /// Gives records to the function, as one batch.
    ///
    /// # Errors
    /// What would fail the subtask.
    pub fn process_elements(&mut self, records: impl IntoIterator<Item = I>) -> Result<(), Failure> {
        let records: Vec<I> = records.into_iter().collect();
        if records.is_empty() {
            return Ok(());
        }
        let (mut hashes, mut keys) = (Vec::new(), Vec::new());
        (self.keys)(&records, &mut hashes, &mut keys);
        self.operator.process(0, Box::new(Keyed::from_columns(hashes, keys, records)), &mut self.emitted)
    }

    /// Gives records with their timestamps to the function, as one batch.
    ///
    /// # Errors
    /// What would fail the subtask.
    pub fn process_timed_elements(&mut self, records: impl IntoIterator<Item = (I, EventTime)>) -> Result<(), Failure> {
        let (records, times): (Vec<I>, Vec<EventTime>) = records.into_iter().unzip();
        if records.is_empty() {
            return Ok(());
        }
        let (mut hashes, mut keys) = (Vec::new(), Vec::new());
        (self.keys)(&records, &mut hashes, &mut keys);
        let batch = Keyed::from_columns(hashes, keys, records).with_times(Times::of(times));
        self.operator.process(0, Box::new(batch), &mut self.emitted)
    }

    /// Says how far event time has come, and fires the timers that are due then.
    ///
    /// # Errors
    /// What would fail the subtask.
    pub fn process_watermark(&mut self, watermark: EventTime) -> Result<(), Failure> {
        self.operator.on_watermark(watermark, &mut self.emitted)
    }

    /// Sets the clock, and fires the timers that are due then.
    ///
    /// # Errors
    /// What would fail the subtask.
    pub fn set_processing_time(&mut self, now: Now) -> Result<(), Failure> {
        self.emitted.now = now;
        while self.operator.next_timer().is_some_and(|due| due <= now) {
            self.operator.on_processing_time(now, &mut self.emitted)?;
        }
        Ok(())
    }

    /// Ends the input, and closes the function.
    ///
    /// # Errors
    /// What would fail the subtask.
    pub fn end_input(&mut self) -> Result<(), Failure> {
        self.operator.end_input(0, &mut self.emitted)?;
        self.operator.finish(&mut self.emitted).map(drop)
    }

    /// Takes what was emitted since the last call, in order.
    pub fn extract_output(&mut self) -> Vec<O> {
        std::mem::take(&mut self.emitted.rows)
    }

    /// Takes what was emitted to a side output since the last call, in order.
    pub fn extract_side_output<T: Record>(&mut self, tag: &OutputTag<T>) -> Vec<T> {
        let batches = self.emitted.sides.extract_if(.., |side| side.0 == tag.name());
        batches.flat_map(|side| Rows::<T>::of(side.1).0).collect()
    }
}

/// No checkpoint.
struct Nothing {
    now: Now,
}

impl Restore for Nothing {
    fn now(&self) -> Now {
        self.now
    }

    fn is_restored(&self) -> bool {
        false
    }

    fn visit_list(&mut self, _: &str, _: Redistribution, _: TakePart<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn visit(&mut self, _: &str, _: TakeSection<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

/// Keeps what is emitted; its clock stands where it is put.
struct Emitted<O> {
    rows: Vec<O>,
    sides: Vec<(String, Box<dyn Batch>)>,
    now: Now,
}

impl<O: Record> Output for Emitted<O> {
    fn emit(&mut self, batch: Box<dyn Batch>) -> Result<(), Failure> {
        self.rows.append(&mut Rows::<O>::of(batch).0);
        Ok(())
    }

    fn emit_side(&mut self, tag: &str, batch: Box<dyn Batch>) -> Result<(), Failure> {
        self.sides.push((tag.to_owned(), batch));
        Ok(())
    }

    fn now(&self) -> Now {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::checkpoint::{LocalStorage, RestoredStates, Taker, write_states};
    use crate::engine::operators::{Collector, KeyedContext, KeyedRuntimeContext};
    use crate::engine::state::ValueState;
    use crate::graph::task::RestoredFile;
    use crate::ids::OperatorId;

    #[test]
    fn a_function_goes_on_from_what_another_held_at_a_barrier() {
        let directory = tempfile::tempdir().unwrap();
        let counting = || KeyedOneInputHarness::new(|n: &u64| *n, Counting(ValueState::default()));
        let mut first = counting();
        first.open().unwrap();
        first.process_elements([1, 2, 2]).unwrap();
        let snapshot = first.snapshot().unwrap();
        first.process_elements([2]).unwrap();
        let operators = vec![(OperatorId(1), snapshot)];
        let path = directory.path().to_str().unwrap();
        let file = write_states(&LocalStorage, path, "state", false, operators).unwrap().unwrap();

        let written = RestoredFile { file, subtask: 0, parallelism: 1 };
        let taker = Taker { subtask: 0, parallelism: 1, groups: 0..128, max_parallelism: 128 };
        let mut states = RestoredStates::open(&LocalStorage, &[written], taker).unwrap();
        let mut second = counting();
        second.open_from(&mut states.operator(OperatorId(1), true, Now(0))).unwrap();
        second.process_elements([2, 1]).unwrap();
        assert_eq!(second.extract_output(), [3, 2]);
    }

    struct Counting(ValueState<u64>);

    impl KeyedProcessFunction<u64, u64, u64> for Counting {
        fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
            self.0 = ctx.value_state("count");
            Ok(())
        }

        fn process_element(&mut self, _: u64, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, u64>) {
            let count = self.0.get_or_default(ctx);
            *count += 1;
            out.collect(*count);
        }
    }

    #[test]
    fn both_outputs_and_the_end_are_seen() {
        const ODD: OutputTag<u64> = OutputTag::new("odd");
        let split = |n: u64, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, u64>| {
            if n.is_multiple_of(2) { out.collect(n) } else { ctx.side_output(&ODD, n) }
        };
        let mut harness = KeyedOneInputHarness::new(|n: &u64| n % 3, split).reading(&ODD);
        harness.open().unwrap();
        harness.process_elements(1..=4).unwrap();
        harness.process_elements([]).unwrap();
        harness.end_input().unwrap();
        assert_eq!((harness.extract_output(), harness.extract_side_output(&ODD)), (vec![2, 4], vec![1, 3]));
        assert_eq!((harness.extract_output(), harness.extract_side_output(&ODD)), (vec![], vec![]));
    }
}
