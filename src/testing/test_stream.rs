//! A source that follows a script.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::operators::{
    Boundedness, Discovery, NextDiscovery, OperatorContext, Output, Polled, Source, SourceReader, SplitEnumerator,
    Waker,
};
use crate::engine::record::{Record, Rows};
use crate::graph::task::{Failure, Split};
use crate::time::{EventTime, Now};

/// A source that follows a script: records with their timestamps, watermarks, and the clock. Beam's class of that name.
///
/// It works in any job; [`execute_and_collect`](super::execute_and_collect) runs one in virtual time, in which each step is done with
/// before the next begins and the clock is where the script puts it. In an ordinary job it waits for the real clock.
///
/// The script ends the input, which ends event time. Give it the watermarks, and no strategy to the stream behind it.
///
/// ```
/// use std::time::Duration;
///
/// use flott::prelude::*;
/// use flott::testing::{self, TestStream};
/// use flott::windows::Timing;
///
/// let script = TestStream::new()
///     .add_elements([(5u64, EventTime(1_000)), (7, EventTime(2_000))])
///     .advance_processing_time(Duration::from_secs(60))
///     .advance_watermark_to(EventTime(10_000))
///     .add_elements([(1, EventTime(3_000))])
///     .advance_watermark_to_infinity();
/// let env = StreamExecutionEnvironment::new();
/// let sums = env
///     .from_source(script, "script")
///     .key_by(|_| 0u8)
///     .window(TumblingEventTimeWindows::of(Duration::from_secs(10)))
///     .trigger(
///         AfterWatermark::past_end_of_window()
///             .with_early_firings(Early::after_processing_time(Duration::from_secs(30)))
///             .with_late_firings(1),
///     )
///     .allowed_lateness(Duration::from_secs(5))
///     .reduce_with(|a, b| a + b, Panes);
/// let panes = testing::execute_and_collect(&sums, "sums")?;
/// let seen: Vec<_> = panes.iter().map(|pane| (pane.info.timing, pane.info.index, pane.value)).collect();
/// assert_eq!(seen, [(Timing::Early, 0, 12), (Timing::OnTime, 1, 12), (Timing::Late, 2, 13)]);
/// # Ok::<(), flott::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TestStream<T> {
    steps: Vec<Step<T>>,
    clock: Duration,
}

#[derive(Clone, Debug)]
enum Step<T> {
    Elements(Vec<(T, EventTime)>),
    Watermark(EventTime),
    Idle,
    /// Behind the beginning of the script.
    ProcessingTime(Duration),
}

impl<T: Record> TestStream<T> {
    /// A script without steps.
    pub fn new() -> Self {
        Self { steps: Vec::new(), clock: Duration::ZERO }
    }

    /// Then these records come, with their timestamps.
    #[must_use]
    pub fn add_elements(mut self, elements: impl IntoIterator<Item = (T, EventTime)>) -> Self {
        let elements: Vec<_> = elements.into_iter().collect();
        if !elements.is_empty() {
            self.steps.push(Step::Elements(elements));
        }
        self
    }

    /// Then the watermark comes: no record up to `watermark` is expected any more. It never goes back.
    #[must_use]
    pub fn advance_watermark_to(mut self, watermark: EventTime) -> Self {
        self.steps.push(Step::Watermark(watermark));
        self
    }

    /// Then event time is at its end.
    #[must_use]
    pub fn advance_watermark_to_infinity(self) -> Self {
        self.advance_watermark_to(EventTime::MAX)
    }

    /// Then the source is idle, until its next step that is none of the clock's.
    #[must_use]
    pub fn mark_idle(mut self) -> Self {
        self.steps.push(Step::Idle);
        self
    }

    /// Then so much time passes, by the machine's clock.
    #[must_use]
    pub fn advance_processing_time(self, by: Duration) -> Self {
        let to = self.clock + by;
        self.advance_processing_time_to(to)
    }

    /// Then time passes, by the machine's clock, until so much has since the beginning.
    #[must_use]
    pub fn advance_processing_time_to(mut self, since_begin: Duration) -> Self {
        self.clock = self.clock.max(since_begin);
        self.steps.push(Step::ProcessingTime(self.clock));
        self
    }
}

impl<T: Record> Default for TestStream<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Record + Sync> Source for TestStream<T> {
    type Out = T;

    /// So that jobs are streaming ones. It ends nevertheless.
    fn boundedness(&self) -> Boundedness {
        Boundedness::Unbounded
    }

    fn enumerator(&self, _context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        let script = Split { id: "script".to_owned(), payload: serde_json::Value::Null, lane: None };
        Ok(Box::new(OneSplit(Some(script))))
    }

    fn reader(&self, _context: &OperatorContext, _waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        let steps = Arc::new(self.steps.clone());
        Ok(Box::new(ScriptReader { next: steps.len(), steps, began: None }))
    }
}

/// The script is read as a whole.
struct OneSplit(Option<Split>);

impl SplitEnumerator for OneSplit {
    fn discover(&mut self) -> Result<Discovery, Failure> {
        Ok(Discovery { splits: self.0.take().into_iter().collect(), next: NextDiscovery::Complete })
    }
}

struct ScriptReader<T> {
    steps: Arc<Vec<Step<T>>>,
    next: usize,
    began: Option<Now>,
}

impl<T: Record + Sync> SourceReader for ScriptReader<T> {
    fn assign(&mut self, split: Split) -> Result<(), Failure> {
        let next = split.payload.as_u64().and_then(|next| usize::try_from(next).ok()).unwrap_or(0);
        (self.next, self.began) = (next.min(self.steps.len()), None);
        Ok(())
    }

    fn position(&self) -> Result<serde_json::Value, Failure> {
        Ok(self.next.into())
    }

    fn poll(&mut self, out: &mut dyn Output) -> Result<Polled, Failure> {
        let began = *self.began.get_or_insert_with(|| {
            // Behind a restart the clock goes on where the script had come to.
            let passed = self.steps[..self.next].iter().rev().find_map(|step| match step {
                Step::ProcessingTime(since) => Some(*since),
                Step::Elements(_) | Step::Watermark(_) | Step::Idle => None,
            });
            out.now() - passed.unwrap_or_default()
        });
        let Some(step) = self.steps.get(self.next) else { return Ok(Polled::SplitFinished) };
        match step {
            Step::Elements(elements) => {
                let (rows, times) = elements.iter().cloned().unzip();
                out.emit(Box::new(Rows::timed(rows, times)))?;
            }
            Step::Watermark(watermark) => out.emit_watermark(*watermark)?,
            Step::Idle => out.mark_idle()?,
            Step::ProcessingTime(since) if out.now() < began + *since => {
                return Ok(Polled::Waiting { until: Some(began + *since) });
            }
            Step::ProcessingTime(_) => {}
        }
        self.next += 1;
        Ok(Polled::More)
    }

    fn stop(&mut self, _out: &mut dyn Output) -> Result<(), Failure> {
        self.next = self.steps.len();
        Ok(())
    }
}
