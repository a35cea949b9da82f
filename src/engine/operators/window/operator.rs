//! Windows of any kind, with any trigger: panes by key. Flink's `WindowOperator`.

use super::super::{Collector, Operator, OperatorContext, Output, Restore, Snapshot};
use super::function::{WindowAggregate, WindowResult};
use super::rules::{At, Fate, KeyPanes, OpenPane, Rules, Windowing};
use super::schedule::Entry;
use super::trigger::Trigger;
use super::{Assigner, TimeDomain, no_timestamp};
use crate::engine::record::{Batch, Key, KeyRef, Keyed, KeyedTable, Record};
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// Name of the state in snapshots.
const PANES: &str = "panes";

/// Divides the records of each key into windows, each with an accumulator and a trigger of its own.
pub(crate) struct WindowOperator<K, T, A: WindowAggregate<T>, W, R> {
    table: KeyedTable<K, KeyPanes<A::Accumulator, W>>,
    rules: Rules<K, T, A, W, R>,
}

impl<K, T, A, W, R> WindowOperator<K, T, A, W, R>
where
    K: Key,
    T: Record,
    A: WindowAggregate<T>,
    W: Trigger<T>,
    R: WindowResult<K, A::Accumulator>,
{
    /// Windows by `windowing`, whose records `aggregate` folds and `result` emits.
    pub(crate) fn new(windowing: Windowing<T, W>, aggregate: A, result: R) -> Self {
        Self { table: KeyedTable::new(), rules: Rules::new(windowing, aggregate, result) }
    }

    /// Calls `look` with each pane that `entries` are of and that still waits for this time.
    fn look_at(
        &mut self,
        entries: Vec<Entry<K>>,
        out: &mut Collector<'_, R::Out>,
        mut look: impl FnMut(
            &mut Rules<K, T, A, W, R>,
            &At<'_, K>,
            &mut OpenPane<A::Accumulator, W>,
            &mut Collector<'_, R::Out>,
        ) -> Fate,
    ) {
        for Entry { hash, key, pane } in entries {
            let Some(panes) = self.table.get_mut(hash, KeyRef::Value(&key)) else { continue };
            let Some(position) = panes.iter().position(|open| open.id == pane) else { continue };
            let at = At { hash, key: KeyRef::Value(&key) };
            if look(&mut self.rules, &at, &mut panes[position], out) == Fate::GivenUp {
                panes.swap_remove(position);
                if panes.is_empty() {
                    self.table.remove(hash, KeyRef::Value(&key));
                }
            }
            self.rules.core.sides.hand_on_full(out);
            if out.has_failed() {
                break;
            }
        }
    }
}

impl<K, T, A, W, R> WindowOperator<K, T, A, W, R>
where
    K: Key,
    T: Record,
    A: WindowAggregate<T>,
    W: Trigger<T>,
    R: WindowResult<K, A::Accumulator>,
{
    fn fire_clock(&mut self, until: Now, out: &mut dyn Output) -> Result<(), Failure> {
        let mut collector = Collector::new(out);
        while !collector.has_failed()
            && let Some((time, entries)) = self.rules.clock.pop(until)
        {
            self.look_at(entries, &mut collector, |rules, at, pane, out| match pane.processing_due == Some(time) {
                true => rules.on_processing_time(at, pane, time, out),
                false => Fate::Stays,
            });
        }
        self.rules.core.sides.hand_on(&mut collector);
        collector.finish()
    }
}

impl<K, T, A, W, R> Operator for WindowOperator<K, T, A, W, R>
where
    K: Key,
    T: Record,
    A: WindowAggregate<T>,
    W: Trigger<T>,
    R: WindowResult<K, A::Accumulator>,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        let Rules { core, result, .. } = &mut self.rules;
        core.open(context, result)
    }

    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let mut batch = Keyed::<K, T>::of(batch);
        let (times, mut row) = (batch.take_times(), 0);
        let untimed = times.is_none() || times.as_slice().contains(&EventTime::MIN);
        let timed = matches!(
            self.rules.windowing.assigner,
            Assigner::Aligned(_, TimeDomain::Event) | Assigner::Sessions(_, TimeDomain::Event)
        );
        if timed && untimed {
            return Err(no_timestamp());
        }
        let Self { table, rules } = self;
        rules.now = out.now();
        let mut collector = Collector::new(out);
        batch.for_each(|hash, key, record| {
            let timestamp = times.get(row);
            row += 1;
            if collector.has_failed() {
                return;
            }
            let panes = table.get_or_insert_with(hash, key, Vec::new).1;
            rules.add(&At { hash, key }, panes, record, timestamp, &mut collector);
            if panes.is_empty() {
                table.remove(hash, key);
            }
            rules.core.sides.hand_on_full(&mut collector);
        });
        rules.core.sides.hand_on(&mut collector);
        collector.finish()
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Output) -> Result<(), Failure> {
        self.rules.now = out.now();
        let watermark = self.rules.core.advance(watermark);
        let mut collector = Collector::new(out);
        while !collector.has_failed()
            && let Some((time, entries)) = self.rules.events.pop(watermark)
        {
            self.look_at(entries, &mut collector, |rules, at, pane, out| match pane.event_due == Some(time) {
                true => rules.on_event_time(at, pane, time, out),
                false => Fate::Stays,
            });
        }
        self.rules.core.sides.hand_on(&mut collector);
        collector.finish()
    }

    fn next_timer(&self) -> Option<Now> {
        self.rules.clock.first()
    }

    fn on_processing_time(&mut self, now: Now, out: &mut dyn Output) -> Result<(), Failure> {
        self.rules.now = now;
        self.fire_clock(now, out)
    }

    fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        self.rules.core.snapshot(into)?;
        into.keyed(PANES, self.rules.core.max_parallelism(), vec![self.table.freeze()]);
        Ok(())
    }

    fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        let Self { table, rules } = self;
        rules.core.restore(from)?;
        let max_parallelism = rules.core.max_parallelism();
        from.visit(PANES, &mut |section| {
            section.each_keyed(
                max_parallelism,
                |(key, _): &(K, KeyPanes<A::Accumulator, W>)| key,
                |hash, (key, mut panes)| {
                    panes.iter_mut().for_each(|pane| rules.adopt(&At { hash, key: KeyRef::Value(&key) }, pane));
                    table.put(hash, key, panes);
                },
            )
        })
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        if self.rules.windowing.assigner.domain() == TimeDomain::Processing {
            // As those of one length do: what is open is emitted.
            self.rules.now = out.now();
            self.fire_clock(Now(u64::MAX), out)?;
        }
        Ok(Vec::new())
    }
}
