//! Accumulators as data: what subtasks have gathered, and how several become one.
//!
//! The JobManager merges them without the program's code, so whatever a program gathers is made of these parts.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A job's or a subtask's accumulators, by name.
pub type Accumulators = BTreeMap<String, AccumulatorResult>;

/// What has been gathered under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccumulatorResult {
    /// The accumulator's type, for people: `LongCounter`.
    pub kind: String,
    /// What it has gathered.
    pub value: AccumulatorValue,
}

/// A value that can be merged with those of other subtasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccumulatorValue {
    /// Merged by addition; integers wrap around.
    Sum(Number),
    /// Merged by the smaller; absent before the first value.
    Minimum(Option<Number>),
    /// Merged by the greater; absent before the first value.
    Maximum(Option<Number>),
    /// Merged by adding both.
    Average {
        /// Of all values.
        sum: Real,
        /// How many there were.
        count: u64,
    },
    /// How often each value came; merged by adding the counts.
    #[serde(with = "pairs")]
    Histogram(BTreeMap<i64, u64>),
    /// Merged by appending, in no order across subtasks.
    List(Vec<String>),
    /// Several values, each merged with the one of the same name.
    Fields(BTreeMap<String, AccumulatorValue>),
    /// What could not be merged, and why: one name was used for two kinds.
    Conflict(String),
}

/// An integer or floating-point number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Number {
    /// 64 bits, signed.
    Long(i64),
    /// 64 bits.
    Double(Real),
}

/// A floating-point number that crosses JSON unchanged, whether finite or not; equal where the bits are.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Real {
    bits: u64,
}

impl From<f64> for Real {
    fn from(value: f64) -> Self {
        Self { bits: value.to_bits() }
    }
}

impl Real {
    /// The number.
    pub fn get(self) -> f64 {
        f64::from_bits(self.bits)
    }
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl Number {
    /// As a floating-point number; integers beyond 2⁵³ are rounded.
    #[expect(clippy::cast_precision_loss, reason = "said above")]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Long(number) => number as f64,
            Self::Double(number) => number.get(),
        }
    }

    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Long(one), Self::Long(other)) => Self::Long(one.wrapping_add(other)),
            (one, other) => Self::Double((one.as_f64() + other.as_f64()).into()),
        }
    }

    fn is_less_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::Long(one), Self::Long(other)) => one < other,
            (one, other) => one.as_f64() < other.as_f64(),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long(number) => number.fmt(f),
            // With a digit behind the point, so that it is seen to be no integer.
            Self::Double(number) => fmt::Debug::fmt(number, f),
        }
    }
}

impl AccumulatorValue {
    /// Takes over what another subtask has gathered. What does not go together becomes [`AccumulatorValue::Conflict`].
    pub fn merge(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Sum(sum), Self::Sum(more)) => *sum = sum.plus(more),
            (Self::Minimum(best), Self::Minimum(other)) => keep(best, other, Number::is_less_than),
            (Self::Maximum(best), Self::Maximum(other)) => keep(best, other, |one, best| best.is_less_than(one)),
            (Self::Average { sum, count }, Self::Average { sum: more, count: others }) => {
                *sum = (sum.get() + more.get()).into();
                *count += others;
            }
            (Self::Histogram(counts), Self::Histogram(more)) => {
                for (value, count) in more {
                    *counts.entry(value).or_default() += count;
                }
            }
            (Self::List(list), Self::List(more)) => list.extend(more),
            (Self::Fields(fields), Self::Fields(more)) => {
                for (name, value) in more {
                    match fields.get_mut(&name) {
                        Some(known) => known.merge(value),
                        None => drop(fields.insert(name, value)),
                    }
                }
            }
            (Self::Conflict(_), _) => {}
            (_, Self::Conflict(why)) => *self = Self::Conflict(why),
            (
                Self::Sum(_)
                | Self::Minimum(_)
                | Self::Maximum(_)
                | Self::Average { .. }
                | Self::Histogram(_)
                | Self::List(_)
                | Self::Fields(_),
                other,
            ) => {
                let why =
                    format!("{} and {} do not go together: choose another name for one", self.part(), other.part());
                *self = Self::Conflict(why);
            }
        }
    }

    /// The sum, minimum or maximum where it is an integer.
    pub fn as_i64(&self) -> Option<i64> {
        match self.number()? {
            Number::Long(number) => Some(number),
            Number::Double(_) => None,
        }
    }

    /// The sum, minimum, maximum or average; absent where nothing was gathered.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Average { count: 0, .. } => None,
            #[expect(clippy::cast_precision_loss, reason = "2^53 values are more than a job has")]
            Self::Average { sum, count } => Some(sum.get() / *count as f64),
            _ => self.number().map(Number::as_f64),
        }
    }

    fn number(&self) -> Option<Number> {
        match self {
            Self::Sum(number) => Some(*number),
            Self::Minimum(number) | Self::Maximum(number) => *number,
            Self::Average { .. } | Self::Histogram(_) | Self::List(_) | Self::Fields(_) | Self::Conflict(_) => None,
        }
    }

    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Sum(_) | Self::Minimum(_) | Self::Maximum(_) | Self::Average { .. } => 32,
            Self::Histogram(counts) => counts.len() * 32,
            Self::List(list) => list.iter().map(|text| text.len() + 32).sum(),
            Self::Fields(fields) => fields.iter().map(|(name, value)| name.len() + 32 + value.bytes()).sum(),
            Self::Conflict(why) => why.len(),
        }
    }

    fn part(&self) -> &'static str {
        match self {
            Self::Sum(_) => "a sum",
            Self::Minimum(_) => "a minimum",
            Self::Maximum(_) => "a maximum",
            Self::Average { .. } => "an average",
            Self::Histogram(_) => "a histogram",
            Self::List(_) => "a list",
            Self::Fields(_) => "fields",
            Self::Conflict(_) => "a conflict",
        }
    }
}

fn keep(best: &mut Option<Number>, other: Option<Number>, is_better: impl Fn(Number, Number) -> bool) {
    *best = match (*best, other) {
        (Some(known), Some(other)) if is_better(other, known) => Some(other),
        (Some(known), _) => Some(known),
        (None, other) => other,
    };
}

/// Merges `more` into `all`, name by name.
pub fn merge(all: &mut Accumulators, more: &Accumulators) {
    for (name, result) in more {
        match all.get_mut(name) {
            Some(known) if known.kind == result.kind => known.value.merge(result.value.clone()),
            Some(known) => {
                let why = format!("a {} and a {} have this name: choose another for one", known.kind, result.kind);
                known.value = AccumulatorValue::Conflict(why);
            }
            None => drop(all.insert(name.clone(), result.clone())),
        }
    }
}

/// As Flink's types print themselves: `{1=3, 7=1}`, `[a, b]`.
impl fmt::Display for AccumulatorValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sum(number) => number.fmt(f),
            Self::Minimum(Some(number)) | Self::Maximum(Some(number)) => number.fmt(f),
            Self::Minimum(None) | Self::Maximum(None) => f.write_str("none"),
            Self::Average { .. } => match self.as_f64() {
                Some(average) => write!(f, "{average:?}"),
                None => f.write_str("none"),
            },
            Self::Histogram(counts) => braced(f, counts),
            Self::List(list) => write!(f, "[{}]", list.join(", ")),
            Self::Fields(fields) => braced(f, fields),
            Self::Conflict(why) => f.write_str(why),
        }
    }
}

fn braced<K: fmt::Display, V: fmt::Display>(f: &mut fmt::Formatter<'_>, entries: &BTreeMap<K, V>) -> fmt::Result {
    f.write_str("{")?;
    for (position, (key, value)) in entries.iter().enumerate() {
        write!(f, "{}{key}={value}", if position == 0 { "" } else { ", " })?;
    }
    f.write_str("}")
}

/// A map as a list of pairs: JSON's keys are texts, and one within an internally tagged message is not read back as a number.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<i64, u64>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<i64, u64>, D::Error> {
        Ok(Vec::<(i64, u64)>::deserialize(from)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn long(number: i64) -> Number {
        Number::Long(number)
    }

    fn merged(values: impl IntoIterator<Item = AccumulatorValue>) -> AccumulatorValue {
        let mut values = values.into_iter();
        let mut first = values.next().unwrap();
        values.for_each(|value| first.merge(value));
        first
    }

    proptest! {
        #[test]
        fn merging_is_what_one_subtask_would_have_gathered(
            parts in prop::collection::vec(prop::collection::vec(-9i64..9, 0..20), 1..6),
        ) {
            let all: Vec<i64> = parts.iter().flatten().copied().collect();
            let sum = merged(parts.iter().map(|part| AccumulatorValue::Sum(long(part.iter().sum()))));
            prop_assert_eq!(sum.as_i64(), Some(all.iter().sum()));
            let minimum = merged(parts.iter().map(|part| AccumulatorValue::Minimum(part.iter().min().copied().map(long))));
            prop_assert_eq!(minimum.as_i64(), all.iter().min().copied());
            let maximum = merged(parts.iter().map(|part| AccumulatorValue::Maximum(part.iter().max().copied().map(long))));
            prop_assert_eq!(maximum.as_i64(), all.iter().max().copied());
            let counts = |part: &[i64]| {
                let mut counts = BTreeMap::new();
                part.iter().for_each(|value| *counts.entry(*value).or_default() += 1);
                AccumulatorValue::Histogram(counts)
            };
            prop_assert_eq!(merged(parts.iter().map(|part| counts(part))), counts(&all));
        }
    }

    #[test]
    fn averages_weigh_and_fields_merge_by_name() {
        let average = |sum: f64, count| AccumulatorValue::Average { sum: sum.into(), count };
        assert_eq!(merged([average(4.0, 1), average(1.0, 4)]).as_f64(), Some(1.0));
        assert_eq!((average(0.0, 0).as_f64(), average(0.0, 0).to_string()), (None, "none".to_owned()));
        let fields = |name: &str, number| {
            AccumulatorValue::Fields([(name.to_owned(), AccumulatorValue::Sum(long(number)))].into())
        };
        assert_eq!(merged([fields("a", 1), fields("b", 2), fields("a", 3)]).to_string(), "{a=4, b=2}");
    }

    #[test]
    fn what_does_not_go_together_says_so_and_stays_so() {
        let list = AccumulatorValue::List(vec!["x".to_owned()]);
        let conflict = merged([AccumulatorValue::Sum(long(1)), list.clone(), list]);
        let told = conflict.to_string();
        assert!(told.contains("a sum and a list"), "{told}");
    }

    #[test]
    fn values_cross_json_unchanged() {
        let values = [
            AccumulatorValue::Sum(Number::Double(f64::NAN.into())),
            AccumulatorValue::Maximum(Some(Number::Double(f64::NEG_INFINITY.into()))),
            AccumulatorValue::Histogram([(-3, 4), (i64::MAX, u64::MAX)].into()),
        ];
        for value in values {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<AccumulatorValue>(&text).unwrap(), value, "{text}");
        }
    }
}
