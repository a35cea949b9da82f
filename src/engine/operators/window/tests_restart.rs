//! Windows that go on from a checkpoint.

use proptest::prelude::*;

use super::super::testing::Collected;
use super::super::{Operator, Snapshot};
use super::tests::{Emitted, LATE, Step, aligned, batch, default_trigger, general, run, simple, steps};
use super::*;
use crate::engine::state::testing::Kept;
use crate::time::{EventTime, Now};

/// What is left of an operator that is stopped: another one made of its checkpoint.
fn restarted(operator: &mut dyn Operator, make: &dyn Fn() -> Box<dyn Operator>) -> Box<dyn Operator> {
    let mut snapshot = Snapshot::default();
    operator.snapshot(&mut snapshot).unwrap();
    let mut again = make();
    again.restore(&mut Kept::of(snapshot, Now(0))).unwrap();
    again
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_restart_changes_nothing(steps in steps(), at in 0usize..30, kind in 0usize..5) {
        let make = || match kind {
            0 => simple(aligned(10, 10, 0)),
            1 => simple(aligned(20, 6, 0)),
            2 => {
                let assigner = Assigner::Sessions(Gap::Static(7), TimeDomain::Event);
                general(assigner, default_trigger(), 10, Accumulation::Retracting)
            }
            3 => {
                let assigner = Assigner::Aligned(aligned(10, 10, 0), TimeDomain::Event);
                general(assigner, CountTrigger::of(3), 15, Accumulation::Discarding)
            }
            _ => {
                let assigner = Assigner::Aligned(aligned(30, 20, 0), TimeDomain::Event);
                let trigger = AfterWatermark::past_end_of_window().with_early_firings(Early::Every(2)).with_late_firings(1);
                general(assigner, trigger, 20, Accumulation::Accumulating)
            }
        };
        let whole = run(&mut *make(), &steps);
        let (before, behind) = steps.split_at(at.min(steps.len() - 1));
        let mut first = make();
        let mut out = Collected::default();
        let (mut emitted, mut late) = (Vec::new(), Vec::new());
        for step in before {
            match step {
                Step::Rows(rows) => first.process(0, batch(rows), &mut out).unwrap(),
                Step::Watermark(watermark) => first.on_watermark(EventTime(*watermark), &mut out).unwrap(),
            }
            late.extend(out.side_rows::<u64>(LATE.name()));
            let mut step = out.rows::<Emitted>();
            step.sort();
            emitted.push(step);
        }
        let rest = run(&mut *restarted(&mut *first, &make), behind);
        emitted.extend(rest.0);
        late.extend(rest.1);
        prop_assert_eq!((emitted, late), whole);
    }
}
