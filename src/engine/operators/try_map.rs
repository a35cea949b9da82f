//! Functions that may refuse a record.

use std::any::Any;
use std::fmt::Display;
use std::marker::PhantomData;

use bytes::Bytes;

use super::{BadRecords, Collector, DeadLetter, OnError, Operator, OperatorContext, Origin, Output};
use crate::engine::record::{Batch, Record, Rows, Str};
use crate::graph::task::Failure;

/// Turns each record into another, or refuses it.
pub(crate) struct TryMap<T, E, F> {
    function: F,
    refused: Refused,
    types: PhantomData<fn(T) -> E>,
}

/// Turns each record into any number of others, or refuses it.
pub(crate) struct TryFlatMap<T, U, E, F> {
    function: F,
    refused: Refused,
    types: PhantomData<fn(T) -> (U, E)>,
}

impl<T, E, F> TryMap<T, E, F> {
    /// A map by `function`.
    pub(crate) fn new(function: F, on_error: OnError) -> Self {
        Self { function, refused: Refused::new(on_error), types: PhantomData }
    }
}

impl<T, U, E, F> TryFlatMap<T, U, E, F> {
    /// A flat map by `function`.
    pub(crate) fn new(function: F, on_error: OnError) -> Self {
        Self { function, refused: Refused::new(on_error), types: PhantomData }
    }
}

/// What a function refused.
struct Refused {
    bad: BadRecords,
    operator: String,
}

impl Refused {
    fn new(on_error: OnError) -> Self {
        Self { bad: BadRecords::new(on_error), operator: String::new() }
    }

    /// A copy of what is given to the function, where a dead letter would need it.
    #[inline]
    fn keep<T: Record>(&self, record: &T) -> Option<T> {
        (self.bad.on_error() == OnError::DeadLetter).then(|| record.clone())
    }

    #[cold]
    fn add<T: Record>(&mut self, kept: Option<T>, error: &dyn Display) -> Result<(), Failure> {
        let Self { bad, operator } = self;
        if bad.on_error() == OnError::Fail {
            return Err(Failure::user(format!(
                "{error}; correct the input, or say what to do with refused records (on_error: skip, dead letter)"
            )));
        }
        bad.add(|| DeadLetter {
            bytes: kept.map_or_else(Vec::new, |record| raw(&record)),
            origin: Origin { place: operator.clone(), offset: None },
            error: error.to_string(),
        })
    }
}

/// A record as people would like to see it again: texts and bytes as they are, anything else as JSON, and what has no JSON as it
/// travels between workers.
fn raw<T: Record>(record: &T) -> Vec<u8> {
    let any: &dyn Any = record;
    if let Some(text) = any.downcast_ref::<Str>() {
        return text.as_bytes().to_vec();
    }
    if let Some(text) = any.downcast_ref::<String>() {
        return text.as_bytes().to_vec();
    }
    if let Some(bytes) = any.downcast_ref::<Vec<u8>>() {
        return bytes.clone();
    }
    if let Some(bytes) = any.downcast_ref::<Bytes>() {
        return bytes.to_vec();
    }
    serde_json::to_vec(record).or_else(|_| postcard::to_allocvec(record)).unwrap_or_default()
}

impl<T, U, E, F> Operator for TryMap<T, E, F>
where
    T: Record,
    U: Record,
    E: Display,
    F: FnMut(T) -> Result<U, E> + Send,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.refused.operator.clone_from(&context.name);
        Ok(())
    }

    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let Rows(records, times) = Rows::<T>::of(batch);
        let mut collector = Collector::expecting(records.len(), out);
        for (i, record) in records.into_iter().enumerate() {
            let kept = self.refused.keep(&record);
            collector.at(times.get(i));
            match (self.function)(record) {
                Ok(row) => collector.collect(row),
                Err(error) => self.refused.add(kept, &error)?,
            }
            if collector.has_failed() {
                break;
            }
        }
        collector.finish()?;
        self.refused.bad.emit(out)
    }

    fn take_bad_records(&mut self) -> u64 {
        self.refused.bad.take_count()
    }
}

impl<T, U, E, F> Operator for TryFlatMap<T, U, E, F>
where
    T: Record,
    U: Record,
    E: Display,
    F: FnMut(T, &mut Collector<'_, U>) -> Result<(), E> + Send,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.refused.operator.clone_from(&context.name);
        Ok(())
    }

    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let mut collector = Collector::new(out);
        let Rows(records, times) = Rows::<T>::of(batch);
        for (i, record) in records.into_iter().enumerate() {
            let kept = self.refused.keep(&record);
            collector.at(times.get(i));
            if let Err(error) = (self.function)(record, &mut collector) {
                self.refused.add(kept, &error)?;
            }
        }
        collector.finish()?;
        self.refused.bad.emit(out)
    }

    fn take_bad_records(&mut self) -> u64 {
        self.refused.bad.take_count()
    }
}

#[cfg(test)]
mod tests {
    use std::num::ParseIntError;

    use super::super::testing::{Collected, context};
    use super::*;
    use crate::graph::plan::ExecutionMode;
    use crate::time::EventTime;

    fn parse(text: Str) -> Result<u64, ParseIntError> {
        text.parse()
    }

    fn repeat(text: Str, out: &mut Collector<'_, u64>) -> Result<(), ParseIntError> {
        let n: u64 = text.parse()?;
        out.extend((0..n).map(|_| n));
        Ok(())
    }

    fn words() -> Box<dyn Batch> {
        Box::new(Rows::new(["1", "x", "2", ""].map(Str::from).to_vec()))
    }

    /// What an operator makes of the words, how many it counts as bad, and what it says of them.
    fn run(mut operator: Box<dyn Operator>) -> Result<(Vec<u64>, u64, Vec<DeadLetter>), Failure> {
        let mut out = Collected::default();
        operator.open(&context(ExecutionMode::Streaming))?;
        operator.process(0, words(), &mut out)?;
        Ok((out.rows(), operator.take_bad_records(), out.side_rows("dead-letters")))
    }

    #[test]
    fn refused_records_fail_are_skipped_or_kept_as_told() {
        let both = |on_error| -> [Box<dyn Operator>; 2] {
            [Box::new(TryMap::new(parse, on_error)), Box::new(TryFlatMap::new(repeat, on_error))]
        };
        for operator in both(OnError::Fail) {
            let failure = run(operator).unwrap_err();
            assert!(failure.message.starts_with("invalid digit found in string; "), "{failure}");
        }
        for (operator, expected) in both(OnError::Skip).into_iter().zip([vec![1, 2], vec![1, 2, 2]]) {
            assert_eq!(run(operator).unwrap(), (expected, 2, vec![]));
        }
        for (operator, expected) in both(OnError::DeadLetter).into_iter().zip([vec![1, 2], vec![1, 2, 2]]) {
            let (rows, bad, letters) = run(operator).unwrap();
            assert_eq!((rows, bad), (expected, 2));
            let letter = |text: &str, error: &str| DeadLetter {
                bytes: text.as_bytes().to_vec(),
                origin: Origin { place: "operator".to_owned(), offset: None },
                error: error.to_owned(),
            };
            let cause = "cannot parse integer from empty string";
            assert_eq!(letters, [letter("x", "invalid digit found in string"), letter("", cause)]);
        }
    }

    #[test]
    fn timestamps_stay_with_the_records_that_are_kept() {
        let operators: [Box<dyn Operator>; 2] =
            [Box::new(TryMap::new(parse, OnError::Skip)), Box::new(TryFlatMap::new(repeat, OnError::Skip))];
        for (mut operator, expected) in operators.into_iter().zip([vec![10, 12], vec![10, 12, 12]]) {
            let mut out = Collected::default();
            let words = ["1", "x", "2"].map(Str::from).to_vec();
            operator.process(0, Box::new(Rows::timed(words, (10..13).map(EventTime).collect())), &mut out).unwrap();
            let times = Rows::<u64>::of(out.batches.remove(0)).1;
            assert_eq!(times.as_slice(), expected.into_iter().map(EventTime).collect::<Vec<_>>());
        }
    }

    #[test]
    fn records_are_kept_as_they_came_or_as_json() {
        assert_eq!(raw(&Str::from("ä")), "ä".as_bytes());
        assert_eq!(raw(&"b\"".to_owned()), b"b\"");
        assert_eq!(raw(&b"\xff".to_vec()), b"\xff");
        assert_eq!(raw(&("a".to_owned(), 1)), br#"["a",1]"#);
        let pair_keyed = std::collections::BTreeMap::from([((1u8, 2u8), 3u8)]);
        assert_eq!(raw(&pair_keyed), [1, 1, 2, 3], "a map without a JSON form");
    }

    #[test]
    fn a_batch_of_refused_records_emits_none() {
        let mut out = Collected::default();
        let mut refuse = TryMap::new(|_: u64| Err::<u64, _>("no"), OnError::Skip);
        refuse.process(0, Box::new(Rows::new(vec![1u64, 2])), &mut out).unwrap();
        assert!(out.batches.is_empty());
    }
}
