//! The accumulators that come along. Flink's, by name.

use std::collections::BTreeMap;

use super::Accumulator;
use crate::graph::accumulator::{AccumulatorValue, Number};

/// Adds up 64-bit integers; wraps around beyond them.
#[derive(Clone, Copy, Debug, Default)]
pub struct LongCounter(i64);

impl Accumulator for LongCounter {
    type Input = i64;

    fn add(&mut self, value: i64) {
        self.0 = self.0.wrapping_add(value);
    }

    fn value(&self) -> AccumulatorValue {
        AccumulatorValue::Sum(Number::Long(self.0))
    }
}

/// Adds up 32-bit integers, into 64 bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct IntCounter(i64);

impl Accumulator for IntCounter {
    type Input = i32;

    fn add(&mut self, value: i32) {
        self.0 = self.0.wrapping_add(value.into());
    }

    fn value(&self) -> AccumulatorValue {
        AccumulatorValue::Sum(Number::Long(self.0))
    }
}

/// Adds up floating-point numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct DoubleCounter(f64);

impl Accumulator for DoubleCounter {
    type Input = f64;

    fn add(&mut self, value: f64) {
        self.0 += value;
    }

    fn value(&self) -> AccumulatorValue {
        AccumulatorValue::Sum(Number::Double(self.0.into()))
    }
}

/// The mean of what was added.
#[derive(Clone, Copy, Debug, Default)]
pub struct AverageAccumulator {
    sum: f64,
    count: u64,
}

impl Accumulator for AverageAccumulator {
    type Input = f64;

    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(&self) -> AccumulatorValue {
        AccumulatorValue::Average { sum: self.sum.into(), count: self.count }
    }
}

/// How often each integer was added. Meant for few different ones.
#[derive(Clone, Debug, Default)]
pub struct Histogram(BTreeMap<i64, u64>);

impl Accumulator for Histogram {
    type Input = i64;

    fn add(&mut self, value: i64) {
        *self.0.entry(value).or_default() += 1;
    }

    fn value(&self) -> AccumulatorValue {
        AccumulatorValue::Histogram(self.0.clone())
    }
}

/// All texts that were added, in no order across subtasks. Meant for few: a sink is the place for results.
#[derive(Clone, Debug, Default)]
pub struct ListAccumulator(Vec<String>);

impl Accumulator for ListAccumulator {
    type Input = String;

    fn add(&mut self, value: String) {
        self.0.push(value);
    }

    fn value(&self) -> AccumulatorValue {
        AccumulatorValue::List(self.0.clone())
    }
}

macro_rules! extreme {
    ($name:ident, $input:ty, $part:ident, $better:tt, $number:expr, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name(Option<$input>);

        impl Accumulator for $name {
            type Input = $input;

            fn add(&mut self, value: $input) {
                if self.0.is_none_or(|best| value $better best) {
                    self.0 = Some(value);
                }
            }

            fn value(&self) -> AccumulatorValue {
                AccumulatorValue::$part(self.0.map($number))
            }
        }
    };
}

extreme!(IntMinimum, i32, Minimum, <, |value| Number::Long(value.into()), "The smallest 32-bit integer that was added.");
extreme!(IntMaximum, i32, Maximum, >, |value| Number::Long(value.into()), "The greatest 32-bit integer that was added.");
extreme!(LongMinimum, i64, Minimum, <, Number::Long, "The smallest 64-bit integer that was added.");
extreme!(LongMaximum, i64, Maximum, >, Number::Long, "The greatest 64-bit integer that was added.");
extreme!(DoubleMinimum, f64, Minimum, <, |value: f64| Number::Double(value.into()), "The smallest floating-point number that was added.");
extreme!(DoubleMaximum, f64, Maximum, >, |value: f64| Number::Double(value.into()), "The greatest floating-point number that was added.");

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered<A: Accumulator>(values: impl IntoIterator<Item = A::Input>) -> String {
        let mut accumulator = A::default();
        values.into_iter().for_each(|value| accumulator.add(value));
        accumulator.value().to_string()
    }

    #[test]
    fn each_kind_gathers_what_its_name_says() {
        assert_eq!(gathered::<LongCounter>([40, 3, -1]), "42");
        assert_eq!(gathered::<LongCounter>([i64::MAX, 1]), i64::MIN.to_string());
        assert_eq!(gathered::<IntCounter>([i32::MAX, 1]), "2147483648");
        assert_eq!(gathered::<DoubleCounter>([0.5, 1.5]), "2.0");
        assert_eq!(gathered::<AverageAccumulator>([1.0, 2.0]), "1.5");
        assert_eq!(gathered::<Histogram>([7, -1, 7]), "{-1=1, 7=2}");
        assert_eq!(gathered::<ListAccumulator>(["b".to_owned(), "a".to_owned()]), "[b, a]");
        assert_eq!((gathered::<IntMinimum>([3, -2, 5]), gathered::<IntMaximum>([3, -2, 5])), ("-2".into(), "5".into()));
        assert_eq!((gathered::<LongMinimum>([]), gathered::<LongMaximum>([-4])), ("none".into(), "-4".into()));
        assert_eq!(gathered::<DoubleMinimum>([2.5, 1.0]), "1.0");
        assert_eq!(gathered::<DoubleMaximum>([2.5, 1.0]), "2.5");
    }
}
