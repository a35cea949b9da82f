//! Timestamps and event-time timers, as keyed functions see them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::testing::{Collected, context, keyed};
use super::*;
use crate::engine::record::{Keyed, Rows, Times};

type Fired = (u8, i64, i64);

/// Registers a timer for each record, at the record; emits key, time and watermark when it fires. An odd record deletes the one
/// before it.
#[derive(Clone)]
struct Remind;

impl KeyedProcessFunction<u8, i64, Fired> for Remind {
    fn process_element(&mut self, time: i64, ctx: &mut KeyedContext<'_, u8>, _: &mut Collector<'_, Fired>) {
        assert_eq!(ctx.timestamp(), Some(EventTime(time)));
        ctx.timer_service().register_event_time_timer(EventTime(time));
        if time % 2 == 1 {
            ctx.timer_service().delete_event_time_timer(EventTime(time - 1));
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, u8>, out: &mut Collector<'_, Fired>) {
        let Timer::EventTime(time) = timer else { panic!("no other was registered") };
        assert_eq!(ctx.timestamp(), Some(time));
        out.collect((*ctx.current_key(), time.0, ctx.current_watermark().0));
    }
}

fn timed(rows: &[(u8, i64)]) -> Box<dyn Batch> {
    let times = rows.iter().map(|row| EventTime(row.1)).collect();
    Box::new(Keyed::<u8, i64>::of(keyed(rows)).with_times(Times::of(times)))
}

fn opened() -> KeyedProcess<u8, i64, Fired, Remind> {
    let mut operator = KeyedProcess::new(Remind);
    operator.open(&context(ExecutionMode::Streaming)).unwrap();
    operator
}

#[test]
fn timers_fire_when_the_watermark_comes_to_them_in_the_order_of_their_times() {
    let (mut operator, mut out) = (opened(), Collected::default());
    operator.process(0, timed(&[(1, 30), (2, 10), (1, 10), (1, 10), (3, 20)]), &mut out).unwrap();
    operator.on_watermark(EventTime(9), &mut out).unwrap();
    assert!(out.batches.is_empty());
    operator.on_watermark(EventTime(20), &mut out).unwrap();
    let times: Vec<EventTime> = [10, 10, 20].map(EventTime).to_vec();
    let fired = Rows::<Fired>::of(out.batches.remove(0));
    assert_eq!(fired, Rows::timed(vec![(2, 10, 20), (1, 10, 20), (3, 20, 20)], times));
    assert_eq!(operator.next_timer(), None, "the clock has nothing to do with it");
    operator.on_watermark(EventTime::MAX, &mut out).unwrap();
    assert_eq!(out.rows::<Fired>(), [(1, 30, i64::MAX)]);
}

#[test]
fn a_timer_for_a_time_that_has_passed_fires_with_the_next_watermark() {
    let (mut operator, mut out) = (opened(), Collected::default());
    operator.on_watermark(EventTime(100), &mut out).unwrap();
    operator.process(0, timed(&[(1, 30)]), &mut out).unwrap();
    assert!(out.batches.is_empty());
    operator.on_watermark(EventTime(101), &mut out).unwrap();
    assert_eq!(out.rows::<Fired>(), [(1, 30, 101)]);
}

proptest! {
    #[test]
    fn each_timer_fires_once_with_the_first_watermark_that_has_come_to_it(
        steps in proptest::collection::vec((any::<bool>(), 0u8..5, 0i64..40), 1..200),
    ) {
        let (mut operator, mut out) = (opened(), Collected::default());
        let (mut model, mut watermark) = (BTreeSet::new(), i64::MIN);
        for (advance, key, time) in steps {
            if !advance {
                operator.process(0, timed(&[(key, time)]), &mut out).unwrap();
                model.insert((time, key));
                if time % 2 == 1 {
                    model.remove(&(time - 1, key));
                }
                continue;
            }
            watermark = watermark.max(time);
            operator.on_watermark(EventTime(watermark), &mut out).unwrap();
            let left = model.split_off(&(watermark + 1, 0));
            let due: BTreeSet<Fired> = model.iter().map(|(time, key)| (*key, *time, watermark)).collect();
            let fired = out.rows::<Fired>();
            prop_assert!(fired.is_sorted_by_key(|fired| fired.1));
            prop_assert_eq!(fired.len(), due.len());
            prop_assert_eq!(fired.into_iter().collect::<BTreeSet<_>>(), due);
            model = left;
        }
    }
}
