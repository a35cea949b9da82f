//! The aggregates that keyed streams and windows have in common: written once, for both.

/// Gives a stream the aggregates, each by way of its own `fold(value, aggregate, shape)`. `$by` ends the documentation's sentences.
macro_rules! aggregates {
    ([$($generics:tt)*] $stream:ty, $by:literal) => {
        /// Aggregates.
        impl<$($generics)*> $stream {
            #[doc = concat!("The sum of a value of each record, ", $by, ".")]
            pub fn sum<V: Record + AddAssign, F>(&self, value: F) -> DataStream<(K, V)>
            where
                F: Fn(&T) -> V + Clone + Send + Sync + 'static,
            {
                self.fold(move |record| value(&record), Sum, KeyAndValue)
            }

            #[doc = concat!("The number of records, ", $by, ".")]
            pub fn count(&self) -> DataStream<(K, u64)> {
                self.sum(|_| 1)
            }

            #[doc = concat!("The smallest value, ", $by, ". One that does not compare (a NaN) never replaces another.")]
            pub fn min<V: Record + PartialOrd, F>(&self, value: F) -> DataStream<(K, V)>
            where
                F: Fn(&T) -> V + Clone + Send + Sync + 'static,
            {
                self.fold(move |record| value(&record), Best::<V>::MIN, KeyAndValue)
            }

            #[doc = concat!("The largest value, ", $by, ". One that does not compare (a NaN) never replaces another.")]
            pub fn max<V: Record + PartialOrd, F>(&self, value: F) -> DataStream<(K, V)>
            where
                F: Fn(&T) -> V + Clone + Send + Sync + 'static,
            {
                self.fold(move |record| value(&record), Best::<V>::MAX, KeyAndValue)
            }

            #[doc = concat!("The record with the smallest value, ", $by, "; of several the one that came first.")]
            pub fn min_by<V: PartialOrd + Clone + 'static, F>(&self, value: F) -> DataStream<T>
            where
                F: Fn(&T) -> V + Clone + Send + Sync + 'static,
            {
                self.fold(|record| record, BestBy::min(value), ValueOnly)
            }

            #[doc = concat!("The record with the largest value, ", $by, "; of several the one that came first.")]
            pub fn max_by<V: PartialOrd + Clone + 'static, F>(&self, value: F) -> DataStream<T>
            where
                F: Fn(&T) -> V + Clone + Send + Sync + 'static,
            {
                self.fold(|record| record, BestBy::max(value), ValueOnly)
            }

            #[doc = concat!("Folds records into one by an associative and commutative function, ", $by, ".")]
            pub fn reduce<F>(&self, function: F) -> DataStream<T>
            where
                F: Fn(T, T) -> T + Clone + Send + Sync + 'static,
            {
                self.fold(|record| record, Reduce(function), ValueOnly)
            }

            #[doc = concat!("Folds records by a function with an accumulator and a result of its own, ", $by, ".")]
            pub fn aggregate<F: AggregateFunction<T>>(&self, function: F) -> DataStream<(K, F::Output)> {
                self.fold(Part::One, Custom(function.clone()), KeyAndResult(function))
            }
        }
    };
}

pub(super) use aggregates;
