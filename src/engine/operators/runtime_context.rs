//! What functions are opened with: where they run, and the handles of their states.

use super::{Accumulator, AccumulatorHandle, AggregateFunction, AggregatingState, OperatorContext};
use crate::engine::record::{Key, Record};
use crate::engine::state::{
    BroadcastState, BroadcastStates, KeyedStates, ListState, MapState, ReducingState, StateTtlConfig, ValueState,
};
use crate::graph::task::Failure;

/// What a function that is not keyed is opened with. Flink's interface of that name.
pub struct RuntimeContext<'a> {
    operator: &'a OperatorContext,
    /// Where the function has a broadcast input.
    broadcast: Option<&'a mut BroadcastStates>,
    /// What the function asked for that cannot be; fails the subtask behind `open`.
    mistake: Option<String>,
}

impl<'a> RuntimeContext<'a> {
    pub(super) fn new(operator: &'a OperatorContext, broadcast: Option<&'a mut BroadcastStates>) -> Self {
        Self { operator, broadcast, mistake: None }
    }

    /// Where the function runs: its subtask, of how many, of which job.
    pub fn operator(&self) -> &OperatorContext {
        self.operator
    }

    /// Reaches this subtask's accumulator of that name, which then has a result though nothing may be added. See
    /// [`StreamExecutionEnvironment::accumulator`](crate::StreamExecutionEnvironment::accumulator), which also closures can use.
    pub fn accumulator<A: Accumulator>(&mut self, name: &str) -> AccumulatorHandle<A> {
        let handle = AccumulatorHandle::new(name);
        handle.begin();
        handle
    }

    /// The broadcast state of this name: of a function behind `connect_broadcast`.
    pub fn broadcast_state<UK: Key, UV: Record>(&mut self, name: &str) -> BroadcastState<UK, UV> {
        let Some(states) = &mut self.broadcast else {
            self.mistake = Some(format!(
                "broadcast state \"{name}\" is asked for by a function without a broadcast input; \
                 use stream.connect_broadcast(&other).process(function)"
            ));
            return BroadcastState::default();
        };
        let state = BroadcastState::register(states, name);
        note(state, &mut self.mistake)
    }

    /// Says what went wrong.
    pub(super) fn close(self) -> Result<(), Failure> {
        self.mistake.map_or(Ok(()), |mistake| Err(Failure::permanent(mistake)))
    }
}

/// What a keyed function is opened with: the states of its keys are obtained here. Flink's `RuntimeContext`.
///
/// A state is known by its name, which is unique among those of a function; asking again gives the same.
pub struct KeyedRuntimeContext<'a, K> {
    context: RuntimeContext<'a>,
    states: &'a mut KeyedStates<K>,
}

impl<'a, K: Key> KeyedRuntimeContext<'a, K> {
    pub(super) fn new(
        operator: &'a OperatorContext,
        states: &'a mut KeyedStates<K>,
        broadcast: Option<&'a mut BroadcastStates>,
    ) -> Self {
        Self { context: RuntimeContext::new(operator, broadcast), states }
    }

    /// Where the function runs: its subtask, of how many, of which job.
    pub fn operator(&self) -> &OperatorContext {
        self.context.operator
    }

    /// Reaches this subtask's accumulator of that name; see [`RuntimeContext::accumulator`].
    pub fn accumulator<A: Accumulator>(&mut self, name: &str) -> AccumulatorHandle<A> {
        self.context.accumulator(name)
    }

    /// For states that are forgotten when nobody touches them: `ctx.time_to_live(hour).value_state("seen")`. What is obtained is
    /// used like any other. Flink's `StateDescriptor.enableTimeToLive`.
    pub fn time_to_live(&mut self, ttl: StateTtlConfig) -> ExpiringStates<'_, 'a, K> {
        ExpiringStates { context: self, ttl: Some(ttl) }
    }

    fn lasting(&mut self) -> ExpiringStates<'_, 'a, K> {
        ExpiringStates { context: self, ttl: None }
    }

    /// The state of this name that holds one value a key.
    pub fn value_state<V: Record>(&mut self, name: &str) -> ValueState<V> {
        self.lasting().value_state(name)
    }

    /// The state of this name that holds a list a key.
    pub fn list_state<V: Record>(&mut self, name: &str) -> ListState<V> {
        self.lasting().list_state(name)
    }

    /// The state of this name that holds a map a key.
    pub fn map_state<UK: Key, UV: Record>(&mut self, name: &str) -> MapState<UK, UV> {
        self.lasting().map_state(name)
    }

    /// The state of this name that folds what is added for a key into one value by `function`.
    pub fn reducing_state<V: Record, F>(&mut self, name: &str, function: F) -> ReducingState<V>
    where
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        self.lasting().reducing_state(name, function)
    }

    /// The state of this name that folds what is added for a key by `function`.
    pub fn aggregating_state<I, F: AggregateFunction<I>>(&mut self, name: &str, function: F) -> AggregatingState<I, F> {
        self.lasting().aggregating_state(name, function)
    }

    /// The broadcast state of this name: of a function behind `connect_broadcast`.
    pub fn broadcast_state<UK: Key, UV: Record>(&mut self, name: &str) -> BroadcastState<UK, UV> {
        self.context.broadcast_state(name)
    }

    /// Says what went wrong.
    pub(super) fn close(self) -> Result<(), Failure> {
        self.context.close()
    }
}

/// States of a keyed function that have a time to live, to be obtained in its `open`: see [`StateTtlConfig`].
pub struct ExpiringStates<'c, 'a, K> {
    context: &'c mut KeyedRuntimeContext<'a, K>,
    /// None: they have not.
    ttl: Option<StateTtlConfig>,
}

impl<K: Key> ExpiringStates<'_, '_, K> {
    /// As [`KeyedRuntimeContext::value_state`].
    pub fn value_state<V: Record>(&mut self, name: &str) -> ValueState<V> {
        let state = ValueState::register(self.context.states, name, self.ttl);
        note(state, &mut self.context.context.mistake)
    }

    /// As [`KeyedRuntimeContext::list_state`]. Each element has a time of its own.
    pub fn list_state<V: Record>(&mut self, name: &str) -> ListState<V> {
        let state = ListState::register(self.context.states, name, self.ttl);
        note(state, &mut self.context.context.mistake)
    }

    /// As [`KeyedRuntimeContext::map_state`]. Each entry has a time of its own.
    pub fn map_state<UK: Key, UV: Record>(&mut self, name: &str) -> MapState<UK, UV> {
        let state = MapState::register(self.context.states, name, self.ttl);
        note(state, &mut self.context.context.mistake)
    }

    /// As [`KeyedRuntimeContext::reducing_state`]. Each value that is added begins its time anew.
    pub fn reducing_state<V: Record, F>(&mut self, name: &str, function: F) -> ReducingState<V>
    where
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        let state = ReducingState::register(self.context.states, name, self.ttl, function);
        note(state, &mut self.context.context.mistake)
    }

    /// As [`KeyedRuntimeContext::aggregating_state`]. Each value that is added begins its time anew.
    pub fn aggregating_state<I, F: AggregateFunction<I>>(&mut self, name: &str, function: F) -> AggregatingState<I, F> {
        AggregatingState::new(self.value_state(name), function)
    }
}

/// The state, or else an unbound one and what went wrong.
fn note<S: Default>(state: Result<S, String>, mistake: &mut Option<String>) -> S {
    state.unwrap_or_else(|cause| {
        *mistake = Some(cause);
        S::default()
    })
}
