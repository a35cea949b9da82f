//! Windows over keyed records.
//!
//! ```text
//! Keyed<K, V> ─► Tumbling   pane by its end ─► table by key ─watermark or clock at the end─► results
//!            └─► Sliding    table by key ─► slices, of which a window is the sum of several
//! Keyed<K, T> ─► WindowOperator   table by key ─► panes, each with its window, accumulator and trigger
//! ```
//!
//! The first two have the trigger of their time and no allowed lateness: values are selected by the sender, a pane costs one timer however
//! many keys it has, and a sliding window costs the same whatever its size is over its slide. The third is for everything else:
//! sessions, triggers, lateness, what is accumulated.
//!
//! Invariants: what is emitted for a window has its last moment as timestamp; a window that got no record emits nothing; without
//! allowed lateness a window emits once at most, and a record that is in no window that may still emit is dropped.

mod function;
mod operator;
mod pane;
mod rules;
mod schedule;
mod sides;
mod sliding;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_restart;
mod time_window;
mod trigger;
mod tumbling;

pub(crate) use self::function::{Folded, Gathered, Processed, Shaped, WindowAggregate, WindowResult, result_of};
pub use self::function::{Panes, ProcessWindowFunction, WindowContext, WindowRuntimeContext, WindowState};
pub(super) use self::function::{WATERMARK, restore_watermark};
pub(crate) use self::operator::WindowOperator;
pub use self::pane::{Accumulation, Pane, PaneInfo, RowKind, Timing};
pub(crate) use self::rules::{Late, Windowing};
pub(crate) use self::sides::GatheredSides;
pub use self::sides::JoinSide;
pub(crate) use self::sliding::SlidingWindow;
pub use self::time_window::TimeWindow;
pub(crate) use self::time_window::{Aligned, Assigner, Gap, TimeDomain, millis};
pub use self::trigger::{
    AfterWatermark, ContinuousEventTimeTrigger, CountTrigger, DefaultTrigger, Early, EventTimeTrigger,
    ProcessingTimeTrigger, PurgingTrigger, Trigger, TriggerContext, TriggerResult,
};
pub(crate) use self::tumbling::TumblingWindow;

use crate::graph::task::Failure;

/// What is said of a record without timestamp before event-time windows.
#[cold]
fn no_timestamp() -> Failure {
    Failure::user(
        "a record without timestamp has come to windows of event time; call assign_timestamps_and_watermarks on the stream before",
    )
}
