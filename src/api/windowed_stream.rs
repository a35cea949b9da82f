//! Windows over keyed streams.

use std::ops::AddAssign;
use std::time::Duration;

use super::aggregates::aggregates;
use super::{DataStream, KeyedStream};
use crate::config::parse_duration;
use crate::engine::operators::{
    Aggregate, AggregateFunction, Best, BestBy, Custom, KeyAndResult, KeyAndValue, Operator, Part, Reduce, Shape, Sum,
    TumblingWindow, ValueOnly, Windows,
};
use crate::engine::record::{Key, Record};

/// Windows of one length, side by side, by the clock of the machine that aggregates. Flink's class of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TumblingProcessingTimeWindows {
    size: Duration,
    offset: Duration,
}

impl TumblingProcessingTimeWindows {
    /// Windows that begin at multiples of `size` since the epoch.
    pub fn of(size: Duration) -> Self {
        Self { size, offset: Duration::ZERO }
    }

    /// Windows that begin `offset` behind multiples of `size`: windows of a day in the local time zone, say.
    pub fn with_offset(size: Duration, offset: Duration) -> Self {
        Self { size, offset }
    }

    pub(super) fn size(self) -> Duration {
        self.size
    }
}

impl std::str::FromStr for TumblingProcessingTimeWindows {
    type Err = String;

    /// Windows of a length such as `5s` or `500 ms`.
    fn from_str(text: &str) -> Result<Self, String> {
        match parse_duration(text) {
            Some(size) if !size.is_zero() => Ok(Self::of(size)),
            Some(_) | None => Err(format!("`{text}` is not the length of a window; write 5s, 500ms or 1min")),
        }
    }
}

/// A keyed stream divided into windows: each aggregate emits once a key and window, when the window ends. Windows still open
/// when the input ends are emitted then. Flink's class of that name.
pub struct WindowedStream<K, T> {
    stream: KeyedStream<K, T>,
    windows: TumblingProcessingTimeWindows,
}

aggregates!(WindowedStream, "by key and window");

impl<K: Key, T: Record> WindowedStream<K, T> {
    pub(super) fn new(stream: KeyedStream<K, T>, windows: TumblingProcessingTimeWindows) -> Self {
        Self { stream, windows }
    }

    fn fold<V: Record, G: Aggregate<V>, S: Shape<K, V>>(
        &self,
        value: impl FnMut(T) -> V + Clone + Send + Sync + 'static,
        aggregate: G,
        shape: S,
    ) -> DataStream<S::Out> {
        let windows = Windows::new(self.windows.size, self.windows.offset);
        let receiver = {
            let aggregate = aggregate.clone();
            move || {
                let (aggregate, shape) = (aggregate.clone(), shape.clone());
                Box::new(TumblingWindow::<K, V, G, S>::new(windows, aggregate, shape)) as Box<dyn Operator>
            }
        };
        let name = format!("Window(TumblingProcessingTimeWindows({}))", self.windows.size.as_millis());
        // What the sender holds back would be counted in a later window than it came in, so nothing is folded there.
        self.stream.exchange(value, aggregate, None, &name, receiver)
    }
}
