//! The kinds of windows, by Flink's names.

use std::sync::Arc;
use std::time::Duration;

use crate::config::parse_duration;
use crate::engine::operators::{Aligned, Assigner, Gap, TimeDomain, millis};
use crate::engine::record::Record;

/// Divides records into windows: what `window` and `window_all` take. One of those below.
pub trait WindowAssigner<T> {
    /// What it is to the operator.
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "only this crate's kinds of windows assign records")]
    fn assigner(self) -> Result<Assigner<T>, String>;

    /// Its name, for the plan.
    fn name(&self) -> String;
}

/// A kind of aligned windows, in one time domain.
macro_rules! aligned {
    ($(#[$doc:meta])* $name:ident, $domain:ident, $slides:tt) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            size: Duration,
            slide: Duration,
            offset: Duration,
        }

        aligned!(@new $name $slides);

        impl<T> WindowAssigner<T> for $name {
            #[expect(private_interfaces, reason = "only this crate's kinds of windows assign records")]
            fn assigner(self) -> Result<Assigner<T>, String> {
                if self.size.is_zero() || self.slide.is_zero() {
                    return Err(zero("a window"));
                }
                Ok(Assigner::Aligned(Aligned::new(self.size, self.slide, self.offset), TimeDomain::$domain))
            }

            fn name(&self) -> String {
                let (size, slide) = (self.size.as_millis(), self.slide.as_millis());
                let slide = if size == slide { String::new() } else { format!(", {slide}") };
                format!("{}({size}{slide})", stringify!($name))
            }
        }
    };
    (@new $name:ident tumbling) => {
        impl $name {
            /// Windows that begin at multiples of `size` since the epoch.
            pub fn of(size: Duration) -> Self {
                Self::with_offset(size, Duration::ZERO)
            }

            /// Windows that begin `offset` behind multiples of `size`: windows of a day in the local time zone, say.
            pub fn with_offset(size: Duration, offset: Duration) -> Self {
                Self { size, slide: size, offset }
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            /// Windows of a length such as `5s` or `500 ms`.
            fn from_str(text: &str) -> Result<Self, String> {
                match parse_duration(text) {
                    Some(size) if !size.is_zero() => Ok(Self::of(size)),
                    Some(_) | None => Err(format!("`{text}` is not the length of a window; write 5s, 500ms or 1min")),
                }
            }
        }
    };
    (@new $name:ident sliding) => {
        impl $name {
            /// Windows of `size` that begin at multiples of `slide` since the epoch. A record is in each window around it.
            pub fn of(size: Duration, slide: Duration) -> Self {
                Self::with_offset(size, slide, Duration::ZERO)
            }

            /// As [`Self::of`], `offset` later.
            pub fn with_offset(size: Duration, slide: Duration, offset: Duration) -> Self {
                Self { size, slide, offset }
            }
        }
    };
}

aligned! {
    /// Windows of one length, side by side, in event time. Flink's class of that name.
    TumblingEventTimeWindows, Event, tumbling
}

aligned! {
    /// Windows of one length, side by side, by the clock of the machine that aggregates. Flink's class of that name.
    TumblingProcessingTimeWindows, Processing, tumbling
}

aligned! {
    /// Windows of one length that overlap (or have gaps between them), in event time. Flink's class of that name.
    SlidingEventTimeWindows, Event, sliding
}

aligned! {
    /// Windows of one length that overlap, by the clock of the machine that aggregates. Flink's class of that name.
    SlidingProcessingTimeWindows, Processing, sliding
}

/// A kind of sessions, in one time domain.
macro_rules! sessions {
    ($(#[$doc:meta])* $name:ident, $domain:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            gap: Duration,
        }

        impl $name {
            /// A session ends when `gap` has passed without a record. Two that touch are one.
            pub fn with_gap(gap: Duration) -> Self {
                Self { gap }
            }

            /// A session lasts for as long as each of its records says.
            pub fn with_dynamic_gap<T, F>(gap: F) -> DynamicSessionWindows<T>
            where
                F: Fn(&T) -> Duration + Send + Sync + 'static,
            {
                DynamicSessionWindows { gap: Arc::new(gap), domain: TimeDomain::$domain, name: stringify!($name) }
            }
        }

        impl<T> WindowAssigner<T> for $name {
            #[expect(private_interfaces, reason = "only this crate's kinds of windows assign records")]
            fn assigner(self) -> Result<Assigner<T>, String> {
                if self.gap.is_zero() {
                    return Err(zero("a session's gap"));
                }
                Ok(Assigner::Sessions(Gap::Static(millis(self.gap)), TimeDomain::$domain))
            }

            fn name(&self) -> String {
                format!("{}({})", stringify!($name), self.gap.as_millis())
            }
        }
    };
}

sessions! {
    /// Windows of activity, in event time: records of a key with no gap between them. Flink's class of that name.
    EventTimeSessionWindows, Event
}

sessions! {
    /// Windows of activity, by the clock of the machine that aggregates. Flink's class of that name.
    ProcessingTimeSessionWindows, Processing
}

/// Sessions whose records say how long they last: made by `with_dynamic_gap`. Flink's `DynamicEventTimeSessionWindows` and
/// `DynamicProcessingTimeSessionWindows`.
#[derive(Clone)]
pub struct DynamicSessionWindows<T> {
    gap: Arc<dyn Fn(&T) -> Duration + Send + Sync>,
    domain: TimeDomain,
    name: &'static str,
}

impl<T: Record> WindowAssigner<T> for DynamicSessionWindows<T> {
    #[expect(private_interfaces, reason = "only this crate's kinds of windows assign records")]
    fn assigner(self) -> Result<Assigner<T>, String> {
        Ok(Assigner::Sessions(Gap::Dynamic(self.gap), self.domain))
    }

    fn name(&self) -> String {
        format!("Dynamic{}", self.name)
    }
}

/// One window for all of time. Without a trigger it emits nothing before the end of the input. Flink's class of that name, but
/// for that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalWindows;

impl<T> WindowAssigner<T> for GlobalWindows {
    #[expect(private_interfaces, reason = "only this crate's kinds of windows assign records")]
    fn assigner(self) -> Result<Assigner<T>, String> {
        Ok(Assigner::Global)
    }

    fn name(&self) -> String {
        "GlobalWindows".to_owned()
    }
}

fn zero(what: &str) -> String {
    format!("{what} of length 0 was asked for; it must be at least a millisecond")
}
