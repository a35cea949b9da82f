//! A state that folds what is added to it by a user's aggregate.

use std::fmt;
use std::marker::PhantomData;

use super::AggregateFunction;
use crate::engine::record::Key;
use crate::engine::state::{KeyContext, KeyedState, KeyedStates, ValueState};

/// The handle of a state that folds all values of type `I` added for a key by an [`AggregateFunction`]. Flink's interface of that
/// name. Obtained and used as a [`ValueState`] is; what is stored is the accumulator.
pub struct AggregatingState<I, F: AggregateFunction<I>> {
    accumulator: ValueState<F::Accumulator>,
    /// Absent until `open`.
    function: Option<F>,
    input: PhantomData<fn(I)>,
}

impl<I, F: AggregateFunction<I>> AggregatingState<I, F> {
    pub(super) fn new(accumulator: ValueState<F::Accumulator>, function: F) -> Self {
        Self { accumulator, function: Some(function), input: PhantomData }
    }

    fn function(&self) -> &F {
        self.function
            .as_ref()
            .expect("a state's handle is used by the function that obtained it in `open`, and not before")
    }

    /// The result of what was added for the current key since it was cleared.
    pub fn get<C: KeyContext>(&self, ctx: &C) -> Option<F::Output> {
        self.accumulator.value(ctx).map(|accumulator| self.function().get_result(accumulator))
    }

    /// Folds a value into the current key's accumulator.
    pub fn add<C: KeyContext>(&self, ctx: &mut C, value: I) {
        let function = self.function();
        let accumulator = self.accumulator.get_or_insert_with(ctx, || function.create_accumulator());
        function.add(accumulator, value);
    }

    /// Takes the current key's accumulator away, and the memory it took.
    pub fn clear<C: KeyContext>(&self, ctx: &mut C) {
        self.accumulator.clear(ctx);
    }
}

impl<I, F: AggregateFunction<I>> Clone for AggregatingState<I, F> {
    fn clone(&self) -> Self {
        Self { accumulator: self.accumulator, function: self.function.clone(), input: PhantomData }
    }
}

impl<I, F: AggregateFunction<I>> Default for AggregatingState<I, F> {
    /// A handle that `open` will replace.
    fn default() -> Self {
        Self { accumulator: ValueState::default(), function: None, input: PhantomData }
    }
}

impl<I, F: AggregateFunction<I>> fmt::Debug for AggregatingState<I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AggregatingState")
    }
}

impl<I, F: AggregateFunction<I>> KeyedState for AggregatingState<I, F> {
    fn keys<K: Key>(&self, states: &KeyedStates<K>) -> Vec<K> {
        self.accumulator.keys(states)
    }
}
