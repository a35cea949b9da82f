//! Event time's budgets: timers, sliding windows of many panes, many open windows.

use std::time::Duration;

use flott::prelude::*;
use flott::windows::{SlidingEventTimeWindows, TumblingEventTimeWindows};

use super::{Size, scatter, timed};

/// Records of a millisecond of event time.
const PER_MILLISECOND: u64 = 1000;

#[derive(Clone, clap::Args)]
pub(crate) struct Timers {
    #[command(flatten)]
    size: Size,
    /// Different keys.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// A timer this many milliseconds after its record, so that a thousand times as many are set at a time; 0: no timers.
    #[arg(long, default_value_t = 2000)]
    after: i64,
}

#[derive(Clone, clap::Args)]
pub(crate) struct Windows {
    #[command(flatten)]
    size: Size,
    /// Different keys.
    #[arg(long, default_value_t = 100)]
    keys: u64,
    /// How many slides a window is long; 0: one window for each key, which is open until the end.
    #[arg(long, default_value_t = 5)]
    panes: u64,
}

/// `(key, number)` with timestamps that grow.
fn stamped(env: &StreamExecutionEnvironment, size: &Size, keys: u64) -> DataStream<(u64, u64)> {
    env.set_parallelism(size.parallelism);
    let events = env.from_sequence(0, size.events - 1).map(move |number| (scatter(number) % keys, number));
    let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(100));
    let time = |event: &(u64, u64)| EventTime((event.1 / PER_MILLISECOND).cast_signed());
    events.assign_timestamps_and_watermarks(strategy.with_timestamp_assigner(time))
}

/// Sets a timer for each record, and counts those that fire.
#[derive(Clone)]
struct Remind {
    after: i64,
    fired: AccumulatorHandle<LongCounter>,
}

impl KeyedProcessFunction<u64, (u64, u64), u64> for Remind {
    fn process_element(&mut self, event: (u64, u64), ctx: &mut KeyedContext<'_, u64>, _out: &mut Collector<'_, u64>) {
        if self.after > 0 {
            // A microsecond apart at least, so that no two of a key become one.
            let due = ctx.timestamp().map_or(0, |time| time.0) + self.after + (event.1 % 7).cast_signed();
            ctx.timer_service().register_event_time_timer(EventTime(due));
        }
    }

    fn on_timer(&mut self, _timer: Timer, _ctx: &mut KeyedContext<'_, u64>, _out: &mut Collector<'_, u64>) {
        self.fired.add(1);
    }
}

impl Timers {
    pub(crate) fn run(&self, env: &StreamExecutionEnvironment) -> Result<(), flott::Error> {
        let fired = env.accumulator::<LongCounter>("timers-fired");
        let remind = Remind { after: self.after, fired };
        stamped(env, &self.size, self.keys).key_by(|event| event.0).process(remind).discard();
        timed(env, &self.size, &format!("a timer {} ms after each record, {} keys", self.after, self.keys))
    }
}

impl Windows {
    pub(crate) fn run(&self, env: &StreamExecutionEnvironment) -> Result<(), flott::Error> {
        let Self { size, keys, panes } = self;
        let events = stamped(env, size, *keys).key_by(|event| event.0);
        let slide = Duration::from_millis(100);
        match u32::try_from(*panes).unwrap_or(u32::MAX) {
            0 => {
                let windows = TumblingEventTimeWindows::of(Duration::from_secs(1_000_000));
                events.window(windows).sum(|event| event.1).discard();
            }
            panes => {
                let windows = SlidingEventTimeWindows::of(slide * panes, slide);
                events.window(windows).sum(|event| event.1).discard();
            }
        }
        timed(env, size, &format!("windows of {panes} panes, {keys} keys"))
    }
}
