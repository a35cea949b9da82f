//! Functions that may refuse a record.

use std::fmt::Display;

use super::DataStream;
use crate::engine::operators::{Collector, DEAD_LETTERS, DeadLetter, OnError, TryFlatMap, TryMap};
use crate::engine::record::Record;

/// Transformations that may refuse a record. How many were refused is among the subtask's metrics, and in
/// [`JobResult::bad_records`](crate::JobResult::bad_records).
impl<T: Record> DataStream<T> {
    /// Turns each record into another, or refuses it: the job then fails, or goes on, as `on_error` says.
    ///
    /// With [`OnError::DeadLetter`] each record is cloned before it is given to the function.
    ///
    /// ```
    /// use flott::connectors::OnError;
    /// use flott::prelude::*;
    ///
    /// let env = StreamExecutionEnvironment::new();
    /// let words = env.from_collection(["1", "two", "3"].map(Str::from));
    /// let numbers = words.try_map(|word| word.parse::<u64>(), OnError::Skip);
    /// assert_eq!(numbers.execute_and_collect("numbers")?, [1, 3]);
    /// # Ok::<(), flott::Error>(())
    /// ```
    pub fn try_map<U: Record, E, F>(&self, function: F, on_error: OnError) -> DataStream<U>
    where
        E: Display + 'static,
        F: FnMut(T) -> Result<U, E> + Clone + Send + Sync + 'static,
    {
        self.operator("Try Map", move || Box::new(TryMap::<T, E, F>::new(function.clone(), on_error)))
    }

    /// Turns each record into any number of others, or refuses it, as [`DataStream::try_map`]. What the function has collected
    /// before it refuses a record stays.
    pub fn try_flat_map<U: Record, E, F>(&self, function: F, on_error: OnError) -> DataStream<U>
    where
        E: Display + 'static,
        F: FnMut(T, &mut Collector<'_, U>) -> Result<(), E> + Clone + Send + Sync + 'static,
    {
        self.operator("Try Flat Map", move || Box::new(TryFlatMap::<T, U, E, F>::new(function.clone(), on_error)))
    }

    /// The bad records of the source or the function that emits this stream, where that was told [`OnError::DeadLetter`]; call
    /// it directly behind. Each with its bytes, where it came from, and what is wrong with it.
    ///
    /// ```
    /// use flott::connectors::{FileSource, OnError};
    /// use flott::prelude::*;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("pairs.json");
    /// std::fs::write(&path, "[1, 2]\nneither\n[3, 4]\n")?;
    /// let env = StreamExecutionEnvironment::new();
    /// let source = FileSource::json_lines(&path).on_error(OnError::DeadLetter);
    /// let pairs: DataStream<(u64, u64)> = env.from_source(source, "pairs");
    /// pairs.discard();
    /// let letters = pairs.dead_letters().execute_and_collect("pairs")?;
    /// assert_eq!(letters[0].text(), "neither");
    /// assert_eq!(letters[0].origin.offset, Some(7));
    /// # Ok(())
    /// # }
    /// ```
    pub fn dead_letters(&self) -> DataStream<DeadLetter> {
        self.side_output(&DEAD_LETTERS)
    }
}
