//! Event time over several channels: the minimum of those that move. Flink's `StatusWatermarkValve`.
//!
//! ```text
//! active ─idle─► idle ─anything─► active │ behind, until its watermark has come to where time is already
//!   any ─end─► ended: counts as the end of time
//! ```

use std::cell::Cell;

use crate::graph::event_time::WatermarkHold;
use crate::time::EventTime;

/// What becomes of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has come so far. The same again: it moves again after an idle time.
    Watermark(EventTime),
    /// It waits for nobody, and nobody should wait for it.
    Idle,
}

/// What each channel says of time, and what they say together.
#[derive(Debug)]
pub(super) struct WatermarkValve {
    channels: Vec<Channel>,
    announced: EventTime,
    idle: bool,
    /// What [`Self::hold`] has last found; `None` when something has come since.
    held: Cell<Option<Option<WatermarkHold>>>,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    watermark: EventTime,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Idle,
    Ended,
}

impl WatermarkValve {
    /// So many channels, all active, at the beginning of time.
    pub(super) fn new(channels: usize) -> Self {
        let channel = Channel { watermark: EventTime::MIN, state: State::Active };
        Self { channels: vec![channel; channels], announced: EventTime::MIN, idle: false, held: Cell::new(None) }
    }

    /// A watermark has come.
    pub(super) fn watermark(&mut self, channel: usize, watermark: EventTime) {
        let channel = &mut self.channels[channel];
        *channel = Channel { watermark: channel.watermark.max(watermark), state: State::Active };
        self.held.set(None);
    }

    /// Records have come. Whether time has to be announced again because of them.
    pub(super) fn records(&mut self, channel: usize) -> bool {
        self.set(channel, State::Active);
        self.idle
    }

    /// Nothing is expected from the channel for a while.
    pub(super) fn idle(&mut self, channel: usize) {
        self.set(channel, State::Idle);
    }

    /// Nothing more will come.
    pub(super) fn end(&mut self, channel: usize) {
        self.set(channel, State::Ended);
    }

    /// The next thing to announce; ask again until there is none.
    pub(super) fn next(&mut self) -> Option<Progress> {
        let any = |state| self.channels.iter().any(|channel| channel.state == state);
        let time = if any(State::Active) {
            if self.idle {
                self.idle = false;
                return Some(Progress::Watermark(self.announced));
            }
            self.minimum()?
        } else if any(State::Idle) {
            // Those that are idle say nothing else for now, so the furthest of them is where time is.
            let idle = self.channels.iter().filter(|channel| channel.state == State::Idle);
            idle.map(|channel| channel.watermark).max()?
        } else {
            EventTime::MAX
        };
        if time > self.announced {
            self.announced = time;
            return Some(Progress::Watermark(time));
        }
        if !self.idle && !any(State::Active) && any(State::Idle) {
            self.idle = true;
            return Some(Progress::Idle);
        }
        None
    }

    /// Of the active channels that have come to where time is.
    fn minimum(&self) -> Option<EventTime> {
        let active = self.channels.iter().filter(|channel| channel.state == State::Active);
        active.map(|channel| channel.watermark).filter(|watermark| *watermark >= self.announced).min()
    }

    fn set(&mut self, channel: usize, state: State) {
        if self.channels[channel].state != state {
            self.channels[channel].state = state;
            self.held.set(None);
        }
    }

    /// Of the channels that move, the one that time waits for, if another is further. Looked for only when something has come.
    pub(super) fn hold(&self) -> Option<WatermarkHold> {
        if let Some(known) = self.held.get() {
            return known;
        }
        let found = self.find_hold();
        self.held.set(Some(found));
        found
    }

    fn find_hold(&self) -> Option<WatermarkHold> {
        let active = || (0..).zip(&self.channels).filter(|(_, channel)| channel.state == State::Active);
        // One that is behind where time is already has come back from an idle time, and nobody waits for it.
        let waited_for = active().filter(|(_, channel)| channel.watermark >= self.announced);
        let (channel, least) = waited_for.min_by_key(|(_, channel)| channel.watermark)?;
        let furthest = active().map(|(_, channel)| channel.watermark).max()?;
        let told = least.watermark > EventTime::MIN;
        let behind_ms = told.then(|| furthest.0.abs_diff(least.watermark.0));
        (furthest > least.watermark).then_some(WatermarkHold { channel, behind_ms })
    }

    /// How far it has come.
    pub(super) fn announced(&self) -> EventTime {
        self.announced
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(valve: &mut WatermarkValve) -> Vec<Progress> {
        std::iter::from_fn(|| valve.next()).collect()
    }

    fn at(time: i64) -> Progress {
        Progress::Watermark(EventTime(time))
    }

    #[test]
    fn the_channel_that_time_waits_for_is_told_with_how_far_the_others_are() {
        let mut valve = WatermarkValve::new(3);
        let hold = |valve: &mut WatermarkValve| {
            told(valve);
            valve.hold().map(|hold| (hold.channel, hold.behind_ms))
        };
        assert_eq!(hold(&mut valve), None, "none has told anything");
        valve.watermark(0, EventTime(50));
        assert_eq!(hold(&mut valve), Some((1, None)), "one that has told nothing");
        valve.watermark(1, EventTime(20));
        valve.watermark(2, EventTime(35));
        assert_eq!(hold(&mut valve), Some((1, Some(30))));
        valve.idle(1);
        assert_eq!(hold(&mut valve), Some((2, Some(15))), "nobody waits for one that is idle");
        valve.records(1);
        assert_eq!(hold(&mut valve), Some((2, Some(15))), "nor for one that is behind what was announced");
        valve.end(2);
        assert_eq!(hold(&mut valve), None, "the others have ended, or are behind");
    }

    #[test]
    fn time_is_the_minimum_and_an_ended_channel_holds_nothing_back() {
        let mut valve = WatermarkValve::new(2);
        valve.watermark(0, EventTime(50));
        assert_eq!(told(&mut valve), []);
        valve.watermark(1, EventTime(30));
        assert_eq!(told(&mut valve), [at(30)]);
        valve.end(1);
        assert_eq!(told(&mut valve), [at(50)]);
        valve.end(0);
        assert_eq!(told(&mut valve), [Progress::Watermark(EventTime::MAX)]);
        assert_eq!(told(&mut valve), []);
    }

    #[test]
    fn an_idle_channel_is_not_waited_for() {
        let mut valve = WatermarkValve::new(2);
        valve.watermark(0, EventTime(50));
        valve.idle(1);
        assert_eq!(told(&mut valve), [at(50)]);
        valve.watermark(0, EventTime(60));
        assert_eq!(told(&mut valve), [at(60)]);
        assert!(!valve.records(1), "the other is active");
        valve.watermark(1, EventTime(55));
        assert_eq!(told(&mut valve), [], "behind: it does not hold back what has been announced");
        valve.watermark(0, EventTime(70));
        assert_eq!(told(&mut valve), [at(70)], "nor what comes before it has caught up");
        valve.watermark(1, EventTime(75));
        valve.watermark(0, EventTime(80));
        assert_eq!(told(&mut valve), [at(75)]);
    }

    #[test]
    fn all_idle_is_idle_at_the_furthest_of_them_until_something_comes() {
        let mut valve = WatermarkValve::new(3);
        for (channel, time) in [(0, 10), (1, 20)] {
            valve.watermark(channel, EventTime(time));
        }
        valve.end(2);
        assert_eq!(told(&mut valve), [at(10)]);
        valve.idle(1);
        assert_eq!(told(&mut valve), []);
        valve.idle(0);
        assert_eq!(told(&mut valve), [at(20), Progress::Idle]);
        assert!(valve.records(0));
        assert_eq!(told(&mut valve), [at(20)], "it moves again, and is where it was");
        valve.watermark(0, EventTime(30));
        assert_eq!(told(&mut valve), [at(30)]);
        valve.idle(0);
        assert_eq!(told(&mut valve), [Progress::Idle]);
        valve.end(0);
        valve.end(1);
        assert_eq!(told(&mut valve), [Progress::Watermark(EventTime::MAX)]);
    }

    proptest! {
        #[test]
        fn time_never_goes_back_and_waits_for_no_channel_that_has_caught_up(
            steps in proptest::collection::vec((0usize..3, 0u8..4, 0i64..100), 0..100),
        ) {
            let mut valve = WatermarkValve::new(3);
            let (mut last, mut watermarks) = (EventTime::MIN, [EventTime::MIN; 3]);
            let mut ended = [false; 3];
            for (channel, what, time) in steps {
                if ended[channel] {
                    continue;
                }
                match what {
                    0 => drop(valve.records(channel)),
                    1 => valve.idle(channel),
                    2 if time > 90 => {
                        valve.end(channel);
                        ended[channel] = true;
                    }
                    _ => {
                        watermarks[channel] = watermarks[channel].max(EventTime(time));
                        valve.watermark(channel, EventTime(time));
                    }
                }
                for told in told(&mut valve) {
                    if let Progress::Watermark(time) = told {
                        prop_assert!(time >= last);
                        let open = watermarks.iter().zip(ended).filter(|(_, ended)| !ended).map(|(time, _)| *time).max();
                        prop_assert!(time <= open.unwrap_or(EventTime::MAX).max(last), "it is never ahead of all");
                        last = time;
                    }
                }
                prop_assert_eq!(valve.announced(), last);
            }
        }
    }
}
