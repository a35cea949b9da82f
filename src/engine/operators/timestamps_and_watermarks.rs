//! The operator that gives records their timestamps and tells event time.
//!
//! ```text
//! Rows ─assigner─► Rows with timestamps ─generator─► watermarks between them, at most one an interval
//! ```
//!
//! Where the source at the head of the chain reads several parts of the input side by side, there is a generator for each, and time is
//! where the part is that is furthest behind.

use std::time::Duration;

use super::watermark_strategy::{Generator, TimestampAssigner, WatermarkGenerator, WatermarkOutput, WatermarkStrategy};
use super::window::{WATERMARK, restore_watermark};
use super::{Operator, OperatorContext, Output, Restore, Snapshot};
use crate::engine::record::{Batch, Record, Rows, Times};
use crate::graph::plan::ExecutionMode;
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// After so many batches a watermark is told although the interval has not passed: much data in little time would otherwise hold
/// much state open. Each costs a flush of all that is open behind, so not after each.
const BATCHES_MAX: u32 = 64;

/// Flink's operator of that name.
pub(crate) struct TimestampsAndWatermarks<T, A> {
    strategy: WatermarkStrategy<T, A>,
    parts: Vec<Part<T>>,
    interval: Duration,
    silent: bool,
    emitted: EventTime,
    told_at: Option<Now>,
    batches: u32,
    idle: bool,
    /// When the last records came.
    active_at: Option<Now>,
}

/// What is known of a part of the input.
struct Part<T> {
    custom: Option<Box<dyn WatermarkGenerator<T>>>,
    /// The latest timestamp, or what the generator of the user's said last.
    latest: EventTime,
    /// Nothing is expected for a while, as the generator of the user's said.
    idle: bool,
    ended: bool,
}

impl<T> Part<T> {
    fn new(generator: &Generator<T>) -> Self {
        let custom = match generator {
            Generator::Custom(make) => Some(make()),
            Generator::Bounded(_) | Generator::None(_) => None,
        };
        Self { custom, latest: EventTime::MIN, idle: false, ended: false }
    }

    /// What the generator of the user's says.
    fn take(&mut self, output: &WatermarkOutput) {
        self.latest = self.latest.max(output.watermark.unwrap_or(EventTime::MIN));
        self.idle = output.idle || self.idle && output.watermark.is_none();
    }
}

impl<T: Record, A: TimestampAssigner<T>> TimestampsAndWatermarks<T, A> {
    /// By `strategy`.
    pub(crate) fn new(strategy: WatermarkStrategy<T, A>) -> Self {
        Self {
            strategy,
            parts: Vec::new(),
            interval: Duration::ZERO,
            silent: false,
            emitted: EventTime::MIN,
            told_at: None,
            batches: 0,
            idle: false,
            active_at: None,
        }
    }

    /// Gives records of a part their timestamps.
    fn assign(&mut self, part: usize, rows: &[T], before: &Times) -> Times {
        let Self { strategy: WatermarkStrategy { assigner, .. }, parts, .. } = self;
        let part = &mut parts[part];
        let mut latest = EventTime::MIN;
        let time = |(i, row)| {
            let time = assigner.timestamp(row, before.get(i)).unwrap_or(EventTime::MIN);
            latest = latest.max(time);
            time
        };
        let times: Vec<EventTime> = rows.iter().enumerate().map(time).collect();
        // Records that have no timestamp at all go on without the column.
        if part.custom.is_none() {
            part.latest = part.latest.max(latest);
        }
        if latest == EventTime::MIN { Times::NONE } else { Times::of(times) }
    }

    /// The end of an idle time is told before the records that end it.
    fn wake(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        self.active_at = Some(out.now());
        if std::mem::take(&mut self.idle) { out.emit_watermark(self.emitted) } else { Ok(()) }
    }

    /// Where time is: where the part is that is furthest behind, of those of which something is expected.
    fn watermark(&self) -> WatermarkOutput {
        let open = || self.parts.iter().filter(|part| !part.ended);
        let active = || open().filter(|part| !part.idle);
        let latest = match active().next() {
            Some(_) => active().map(|part| part.latest).min(),
            None => open().map(|part| part.latest).max(),
        };
        let delay_ms = match &self.strategy.generator {
            Generator::Bounded(delay) => i64::try_from(delay.as_millis()).unwrap_or(i64::MAX).saturating_add(1),
            Generator::None(_) | Generator::Custom(_) => 0,
        };
        let latest =
            latest.filter(|latest| *latest != EventTime::MIN && !matches!(self.strategy.generator, Generator::None(_)));
        let watermark = latest.map(|latest| EventTime(latest.0.saturating_sub(delay_ms)));
        WatermarkOutput { watermark, idle: active().next().is_none() && open().next().is_some() }
    }

    fn tell(&mut self, output: &WatermarkOutput, out: &mut dyn Output) -> Result<(), Failure> {
        if self.silent {
            return Ok(());
        }
        if let Some(watermark) = output.watermark.filter(|watermark| *watermark > self.emitted) {
            // The end of time is the end of the input's to tell.
            self.emitted = watermark.min(EventTime(i64::MAX - 1));
            self.idle = false;
            out.emit_watermark(self.emitted)?;
        }
        if output.idle && !self.idle {
            self.idle = true;
            out.mark_idle()?;
        }
        Ok(())
    }

    fn tell_periodically(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        (self.told_at, self.batches) = (Some(out.now()), 0);
        for part in self.parts.iter_mut().filter(|part| !part.ended) {
            let mut output = WatermarkOutput::default();
            if let Some(generator) = &mut part.custom {
                generator.on_periodic_emit(&mut output);
                part.take(&output);
            }
        }
        let output = self.watermark();
        self.tell(&output, out)
    }

    /// Whether records have come that may have moved time.
    fn has_news(&self) -> bool {
        self.batches > 0 && !matches!(self.strategy.generator, Generator::None(_))
    }

    /// Asks a generator of the user's with each record, and parts the batch where it tells a watermark.
    fn process_each(&mut self, part: usize, rows: Vec<T>, times: Times, out: &mut dyn Output) -> Result<(), Failure> {
        let mut open = Rows::new(Vec::with_capacity(rows.len()));
        for (i, row) in rows.into_iter().enumerate() {
            let mut output = WatermarkOutput::default();
            let time = times.get(i);
            if let Some(generator) = &mut self.parts[part].custom {
                generator.on_event(&row, time.unwrap_or(EventTime::MIN), &mut output);
            }
            self.parts[part].take(&output);
            open.1.push(open.0.len(), time);
            open.0.push(row);
            if output.watermark.is_some() || output.idle {
                out.emit(Box::new(std::mem::replace(&mut open, Rows::new(Vec::new()))))?;
                let output = self.watermark();
                self.tell(&output, out)?;
            }
        }
        if open.0.is_empty() { Ok(()) } else { out.emit(Box::new(open)) }
    }

    fn idle_due(&self) -> Option<Now> {
        let timeout = self.strategy.idleness.filter(|_| !self.idle && !self.silent)?;
        Some(self.active_at? + timeout)
    }

    fn news_due(&self) -> Option<Now> {
        self.told_at.filter(|_| self.has_news() && !self.silent).map(|told_at| told_at + self.interval)
    }
}

impl<T: Record, A: TimestampAssigner<T>> Operator for TimestampsAndWatermarks<T, A> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.interval = context.auto_watermark_interval;
        self.silent = context.execution_mode == ExecutionMode::Batch;
        self.set_parts(1);
        Ok(())
    }

    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let Rows(rows, before) = Rows::<T>::of(batch);
        // What an operator between the source and this one held back may be of a part that has been opened since.
        let part = out.part().min(self.parts.len() - 1);
        let times = self.assign(part, &rows, &before);
        self.wake(out)?;
        self.parts[part].idle = false;
        self.batches += 1;
        match self.parts[part].custom {
            Some(_) => self.process_each(part, rows, times, out)?,
            None => out.emit(Box::new(Rows(rows, times)))?,
        }
        let due = self.told_at.is_none_or(|told_at| out.now() >= told_at + self.interval);
        if due || self.batches >= BATCHES_MAX { self.tell_periodically(out) } else { Ok(()) }
    }

    fn generates_watermarks(&self) -> bool {
        true
    }

    fn set_parts(&mut self, parts: usize) {
        let generator = &self.strategy.generator;
        self.parts.resize_with(parts, || Part::new(generator));
    }

    fn part_time(&self, part: usize) -> Option<EventTime> {
        let follows = !self.silent && !matches!(self.strategy.generator, Generator::None(_));
        self.parts.get(part).filter(|_| follows).map(|part| part.latest)
    }

    fn end_part(&mut self, part: usize, out: &mut dyn Output) -> Result<(), Failure> {
        self.parts[part].ended = true;
        self.tell_periodically(out)
    }

    fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        into.unkeyed(WATERMARK, vec![self.emitted]);
        Ok(())
    }

    fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        restore_watermark(from, &mut self.emitted)
    }

    fn next_timer(&self) -> Option<Now> {
        // From the beginning: a subtask to which no record ever comes is idle too.
        let begin = (self.active_at.is_none() && self.strategy.idleness.is_some() && !self.silent).then_some(Now(0));
        [begin, self.idle_due(), self.news_due()].into_iter().flatten().min()
    }

    fn on_processing_time(&mut self, now: Now, out: &mut dyn Output) -> Result<(), Failure> {
        if self.active_at.is_none() {
            self.active_at = Some(now);
        }
        if self.news_due().is_some_and(|due| due <= now) {
            self.tell_periodically(out)?;
        }
        match (self.idle_due(), self.strategy.idleness) {
            // Timers do not fire while there is no room behind: one that comes much too late was kept from it, as records were.
            (Some(due), Some(timeout)) if due + timeout / 2 < now => self.active_at = Some(now),
            (Some(due), _) if due <= now => {
                self.tell_periodically(out)?;
                self.tell(&WatermarkOutput { watermark: None, idle: true }, out)?;
            }
            (Some(_) | None, _) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Collected, Told, context};
    use super::*;

    type Bounded = TimestampsAndWatermarks<i64, fn(&i64) -> EventTime>;

    fn opened<A: TimestampAssigner<i64>>(
        strategy: WatermarkStrategy<i64, A>,
        mode: ExecutionMode,
    ) -> TimestampsAndWatermarks<i64, A> {
        let mut operator = TimestampsAndWatermarks::new(strategy);
        operator.open(&context(mode)).unwrap();
        operator
    }

    fn bounded(delay_ms: u64) -> WatermarkStrategy<i64, fn(&i64) -> EventTime> {
        WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(delay_ms))
            .with_timestamp_assigner((|time| EventTime(*time)) as fn(&i64) -> EventTime)
    }

    fn give(operator: &mut dyn Operator, times: &[i64], out: &mut Collected) {
        operator.process(0, Box::new(Rows::new(times.to_vec())), out).unwrap();
    }

    #[test]
    fn records_get_timestamps_and_time_follows_at_intervals() {
        let mut operator: Bounded = opened(bounded(10), ExecutionMode::Streaming);
        let mut out = Collected { now: Now(1000), ..Collected::default() };
        give(&mut operator, &[100, 90], &mut out);
        let first = Rows::<i64>::of(out.batches.remove(0));
        assert_eq!(first, Rows::timed(vec![100, 90], vec![EventTime(100), EventTime(90)]));
        assert_eq!(out.told(), [Told::Watermark(89)]);
        out.now = Now(1001);
        give(&mut operator, &[150], &mut out);
        assert_eq!(out.told(), [], "the interval of 200 ms has not passed");
        assert_eq!(operator.next_timer(), Some(Now(1200)));
        out.now = Now(1200);
        operator.on_processing_time(Now(1200), &mut out).unwrap();
        assert_eq!(out.told(), [Told::Watermark(139)]);
        assert_eq!(operator.next_timer(), None, "without records there is nothing to tell");
        give(&mut operator, &[140], &mut out);
        out.now = Now(1500);
        give(&mut operator, &[145], &mut out);
        assert_eq!(out.told(), [], "time never goes back");
    }

    #[test]
    fn many_batches_move_time_before_the_interval_has_passed() {
        let mut operator: Bounded = opened(bounded(0), ExecutionMode::Streaming);
        let mut out = Collected::default();
        for time in 1..=130 {
            give(&mut operator, &[time], &mut out);
        }
        assert_eq!(out.told(), [Told::Watermark(0), Told::Watermark(64), Told::Watermark(128)]);
    }

    #[test]
    fn in_batch_mode_time_stands_still() {
        let mut operator: Bounded = opened(bounded(0).with_idleness(Duration::from_secs(1)), ExecutionMode::Batch);
        let mut out = Collected::default();
        give(&mut operator, &[5], &mut out);
        assert_eq!((out.told(), operator.next_timer()), (vec![], None));
        assert_eq!(Rows::<i64>::of(out.batches.remove(0)).1.get(0), Some(EventTime(5)));
    }

    #[test]
    fn silence_is_idleness_but_being_blocked_is_not() {
        let mut operator: Bounded = opened(bounded(0).with_idleness(Duration::from_secs(10)), ExecutionMode::Streaming);
        let mut out = Collected { now: Now(1000), ..Collected::default() };
        assert_eq!(operator.next_timer(), Some(Now(0)), "its first moment is asked for");
        operator.on_processing_time(Now(1000), &mut out).unwrap();
        assert_eq!(operator.next_timer(), Some(Now(11_000)));
        operator.on_processing_time(Now(11_000), &mut out).unwrap();
        assert_eq!(out.told(), [Told::Idle]);
        assert_eq!(operator.next_timer(), None);
        out.now = Now(20_000);
        give(&mut operator, &[7], &mut out);
        assert_eq!(out.told(), [Told::Watermark(i64::MIN), Told::Watermark(6)]);
        out.now = Now(40_000);
        operator.on_processing_time(Now(40_000), &mut out).unwrap();
        assert_eq!(out.told(), [], "called ten seconds too late: there was no room behind");
        assert_eq!(operator.next_timer(), Some(Now(50_000)));
        out.now = Now(50_000);
        operator.on_processing_time(Now(50_000), &mut out).unwrap();
        assert_eq!(out.told(), [Told::Idle]);
    }

    /// Tells a watermark at each multiple of ten, and is idle at a negative number.
    struct Tens;

    impl WatermarkGenerator<i64> for Tens {
        fn on_event(&mut self, record: &i64, timestamp: EventTime, out: &mut WatermarkOutput) {
            assert_eq!(*record, timestamp.0);
            match record {
                ..0 => out.mark_idle(),
                _ if record % 10 == 0 => out.emit_watermark(timestamp),
                _ => {}
            }
        }
    }

    #[test]
    fn a_generator_tells_time_between_records() {
        let strategy = WatermarkStrategy::for_generator(|| Tens).with_timestamp_assigner(|time: &i64| EventTime(*time));
        let mut operator = opened(strategy, ExecutionMode::Streaming);
        let mut out = Collected::default();
        give(&mut operator, &[1, 10, 2, 20, -1, 3], &mut out);
        assert_eq!(out.told(), [Told::Watermark(10), Told::Watermark(20), Told::Idle]);
        let batches: Vec<Vec<i64>> = out.batches.drain(..).map(|batch| Rows::<i64>::of(batch).0).collect();
        assert_eq!(batches, [vec![1, 10], vec![2, 20], vec![-1], vec![3]]);
    }

    #[test]
    fn without_an_assigner_the_sources_timestamps_stay() {
        let mut operator = opened(WatermarkStrategy::for_monotonous_timestamps(), ExecutionMode::Streaming);
        let mut out = Collected::default();
        give(&mut operator, &[1], &mut out);
        assert_eq!(out.told(), [], "records without timestamps move nothing");
        assert_eq!(Rows::<i64>::of(out.batches.remove(0)), Rows::new(vec![1i64]));
        out.now = Now(1000);
        operator.process(0, Box::new(Rows::timed(vec![1i64], vec![EventTime(9)])), &mut out).unwrap();
        assert_eq!(out.told(), [Told::Watermark(8)]);
    }
}
