//! Windows that go on from a checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::testing::Collected;
use super::super::{Operator, Restore, Snapshot};
use super::tests::{Emitted, LATE, Step, aligned, batch, default_trigger, general, run, simple, steps};
use super::*;
use crate::engine::state::schema::Schema;
use crate::engine::state::{Section, Sections, TakeSection};
use crate::graph::task::Failure;
use crate::time::EventTime;

/// What a checkpoint holds, in memory.
#[derive(Default)]
struct Kept(BTreeMap<String, (Arc<Schema>, Vec<Entries>)>);

/// Of a key group, how many, and their bytes.
type Entries = (Option<u32>, u64, Vec<u8>);

/// The sections of one state.
struct State<'a>(&'a mut Vec<Entries>);

impl Sections for State<'_> {
    fn section(&mut self, group: Option<u32>, entries: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.0.push((group, entries, bytes.to_vec()));
        Ok(())
    }
}

impl Restore for Kept {
    fn visit(&mut self, state: &str, section: TakeSection<'_>) -> Result<(), Failure> {
        let Some((schema, sections)) = self.0.get(state) else { return Ok(()) };
        sections.iter().try_for_each(|(group, entries, bytes)| {
            section(Section { state, group: *group, entries: *entries, bytes, schema, parts: &[] })
        })
    }
}

/// What is left of an operator that is stopped: another one made of its checkpoint.
fn restarted(operator: &mut dyn Operator, make: &dyn Fn() -> Box<dyn Operator>) -> Box<dyn Operator> {
    let (mut snapshot, mut kept) = (Snapshot::default(), Kept::default());
    operator.snapshot(&mut snapshot).unwrap();
    for state in snapshot.into_states() {
        let mut sections = Vec::new();
        state.entries.write(&mut State(&mut sections)).unwrap();
        assert!(kept.0.insert(state.name, (state.schema, sections)).is_none(), "names of states are unique");
    }
    let mut again = make();
    again.restore(&mut kept).unwrap();
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
