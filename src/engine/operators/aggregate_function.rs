//! Aggregates that a user defines: accumulator and result may be of types of their own.

use serde::{Deserialize, Serialize};

use super::aggregate::{Aggregate, Shape};
use crate::engine::record::{Key, Record};

/// Folds the records of a key, or of a key and window, into an accumulator, and makes a result of it. Flink's interface of that
/// name.
///
/// Accumulators may be folded apart and merged: the result must not depend on how records were divided and, across subtasks, on
/// their order. Where results are emitted at the end only, records are folded before they cross the exchange and accumulators
/// cross instead of records; `merge` is called then and not otherwise.
///
/// ```
/// use flott::prelude::*;
///
/// /// The mean of the numbers.
/// #[derive(Clone)]
/// struct Mean;
///
/// impl AggregateFunction<f64> for Mean {
///     type Accumulator = (f64, u64);
///     type Output = f64;
///
///     fn create_accumulator(&self) -> (f64, u64) {
///         (0.0, 0)
///     }
///     fn add(&self, (sum, count): &mut (f64, u64), number: f64) {
///         *sum += number;
///         *count += 1;
///     }
///     fn merge(&self, (sum, count): &mut (f64, u64), other: (f64, u64)) {
///         *sum += other.0;
///         *count += other.1;
///     }
///     fn get_result(&self, (sum, count): &(f64, u64)) -> f64 {
///         sum / *count as f64
///     }
/// }
///
/// # fn main() -> Result<(), flott::Error> {
/// let env = StreamExecutionEnvironment::new();
/// let numbers = env.from_collection([1.0, 2.0, 6.0]);
/// let means = numbers.key_by(|_| "all".to_owned()).aggregate(Mean).execute_and_collect("mean")?;
/// assert_eq!(means, [("all".to_owned(), 3.0)]);
/// # Ok(())
/// # }
/// ```
pub trait AggregateFunction<T>: Clone + Send + Sync + 'static {
    /// What has been folded so far. It crosses the exchange where records are folded before.
    type Accumulator: Record;
    /// What is emitted.
    type Output: Record;

    /// An accumulator without records.
    fn create_accumulator(&self) -> Self::Accumulator;

    /// Folds a record in.
    fn add(&self, accumulator: &mut Self::Accumulator, record: T);

    /// Folds the records of another accumulator in.
    fn merge(&self, accumulator: &mut Self::Accumulator, other: Self::Accumulator);

    /// What is emitted for the records folded so far. In streaming mode called again and again for one accumulator.
    fn get_result(&self, accumulator: &Self::Accumulator) -> Self::Output;
}

/// A record as it came, or records that were folded already: what crosses the exchange.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Part<T, A> {
    One(T),
    Folded(A),
}

/// Folds by a user's function. Its accumulators are always [`Part::Folded`].
#[derive(Clone)]
pub(crate) struct Custom<F>(pub(crate) F);

impl<T: Record, F: AggregateFunction<T>> Aggregate<Part<T, F::Accumulator>> for Custom<F> {
    type Accumulator = Part<T, F::Accumulator>;

    fn start(&self, value: Part<T, F::Accumulator>) -> Self::Accumulator {
        match value {
            Part::Folded(accumulator) => Part::Folded(accumulator),
            Part::One(record) => {
                let mut accumulator = self.0.create_accumulator();
                self.0.add(&mut accumulator, record);
                Part::Folded(accumulator)
            }
        }
    }

    #[inline]
    fn add(&self, accumulator: &mut Self::Accumulator, value: Part<T, F::Accumulator>) {
        let Part::Folded(accumulator) = accumulator else {
            unreachable!("a record alone is never an accumulator");
        };
        match value {
            Part::One(record) => self.0.add(accumulator, record),
            Part::Folded(other) => self.0.merge(accumulator, other),
        }
    }

    fn value(accumulator: Self::Accumulator) -> Part<T, F::Accumulator> {
        accumulator
    }

    fn value_ref(accumulator: &Self::Accumulator) -> &Part<T, F::Accumulator> {
        accumulator
    }
}

/// The key, and the result of a user's function.
#[derive(Clone)]
pub(crate) struct KeyAndResult<F>(pub(crate) F);

impl<K: Key, T: Record, F: AggregateFunction<T>> Shape<K, Part<T, F::Accumulator>> for KeyAndResult<F> {
    type Out = (K, F::Output);

    fn owned(&self, key: K, value: Part<T, F::Accumulator>) -> Self::Out {
        let result = self.result(&value);
        (key, result)
    }

    fn cloned(&self, key: &K, value: &Part<T, F::Accumulator>) -> Self::Out {
        (key.clone(), self.result(value))
    }
}

impl<F> KeyAndResult<F> {
    fn result<T: Record>(&self, value: &Part<T, F::Accumulator>) -> F::Output
    where
        F: AggregateFunction<T>,
    {
        match value {
            Part::Folded(accumulator) => self.0.get_result(accumulator),
            Part::One(_) => unreachable!("a record alone is never an accumulator"),
        }
    }
}
