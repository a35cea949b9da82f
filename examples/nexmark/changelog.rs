//! Answers that change.

use std::marker::PhantomData;

use flott::engine::record::{Key, Record};
use flott::prelude::*;
use serde::{Deserialize, Serialize};

/// What becomes of a row of an answer. Flink's `RowKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// It is new.
    #[serde(rename = "+I")]
    Insert,
    /// It was so before, and is replaced by the next.
    #[serde(rename = "-U")]
    UpdateBefore,
    /// It replaces the one with its key.
    #[serde(rename = "+U")]
    UpdateAfter,
}

/// How answers that change are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changelog {
    /// Whether a row that is replaced is told before the one that replaces it.
    pub retractions: bool,
    /// Whether only the last row of a key is told, at the end of the input: in batch mode.
    pub final_only: bool,
}

impl Changelog {
    /// Tells that the row that `before` makes, if there was one, is now that which `after` makes.
    pub(crate) fn tell<T: Record>(
        self,
        before: Option<impl FnOnce(Op) -> T>,
        after: impl FnOnce(Op) -> T,
        out: &mut Collector<'_, T>,
    ) {
        let op = if before.is_some() { Op::UpdateAfter } else { Op::Insert };
        if let Some(before) = before.filter(|_| self.retractions) {
            out.collect(before(Op::UpdateBefore));
        }
        out.collect(after(op));
    }
}

/// Asks for the moment at which a key's last row is told.
pub(crate) fn call_at_the_end<K: Key>(ctx: &mut KeyedContext<'_, K>) {
    ctx.timer_service().register_event_time_timer(EventTime::MAX);
}

/// An answer of one row a key, which each record may change.
pub(crate) trait View<K, I>: Clone + Send + Sync + 'static {
    /// What is kept of a key's records.
    type State: Record;
    /// A row of the answer.
    type Row: Record;

    /// Begins with a first record.
    fn first(&self, record: I) -> Self::State;

    /// Whether a further record changes the row.
    fn add(&self, state: &mut Self::State, record: I) -> bool;

    /// The row.
    fn row(&self, key: &K, state: &Self::State, op: Op) -> Self::Row;
}

/// Keeps a [`View`] up to date.
pub(crate) struct Maintain<K, I, V: View<K, I>> {
    view: V,
    changelog: Changelog,
    state: ValueState<V::State>,
    types: PhantomData<fn(K, I)>,
}

impl<K, I, V: View<K, I>> Clone for Maintain<K, I, V> {
    fn clone(&self) -> Self {
        Self::new(self.view.clone(), self.changelog)
    }
}

impl<K, I, V: View<K, I>> Maintain<K, I, V> {
    /// Tells of `view` as `changelog` says.
    pub(crate) fn new(view: V, changelog: Changelog) -> Self {
        Self { view, changelog, state: ValueState::default(), types: PhantomData }
    }
}

impl<K: Key, I: Record, V: View<K, I>> KeyedProcessFunction<K, I, V::Row> for Maintain<K, I, V> {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, K>) -> Result<(), Failure> {
        self.state = ctx.value_state("view");
        Ok(())
    }

    fn process_element(&mut self, record: I, ctx: &mut KeyedContext<'_, K>, out: &mut Collector<'_, V::Row>) {
        let Self { view, changelog, state, .. } = self;
        let key = ctx.current_key().clone();
        let mut record = Some(record);
        let held = state.get_or_insert_with(ctx, || view.first(record.take().expect("a key is new once")));
        let Some(record) = record else {
            match changelog.final_only {
                true => call_at_the_end(ctx),
                false => out.collect(view.row(&key, held, Op::Insert)),
            }
            return;
        };
        if changelog.final_only {
            view.add(held, record);
            return;
        }
        let before = changelog.retractions.then(|| view.row(&key, held, Op::UpdateBefore));
        if view.add(held, record) {
            out.extend(before);
            out.collect(view.row(&key, held, Op::UpdateAfter));
        }
    }

    fn on_timer(&mut self, _timer: Timer, ctx: &mut KeyedContext<'_, K>, out: &mut Collector<'_, V::Row>) {
        if let Some(state) = self.state.value(ctx) {
            out.collect(self.view.row(ctx.current_key(), state, Op::Insert));
        }
    }
}
