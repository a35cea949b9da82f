//! Records as they are.

use std::any::{Any, type_name};
use std::marker::PhantomData;

use super::batch::open_parts;
use super::column::{self, FrameReader, Malformed, write_head};
use super::{Batch, BatchType, CodecError, Record, Times};
use crate::time::EventTime;

/// A batch that holds its records in a vector, and their timestamps, where they have some, in another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows<T>(pub Vec<T>, pub Times);

impl<T: Record> Rows<T> {
    /// Records without timestamps.
    pub fn new(rows: Vec<T>) -> Self {
        Self(rows, Times::NONE)
    }

    /// Records with a timestamp each.
    ///
    /// # Panics
    /// When there are not as many timestamps as records.
    pub fn timed(rows: Vec<T>, times: Vec<EventTime>) -> Self {
        assert!(rows.len() == times.len(), "columns of a batch are of one length");
        Self(rows, Times::of(times))
    }

    /// The concrete batch behind `batch`.
    ///
    /// # Panics
    /// When the graph connected operators of different types, which the typed API rules out.
    pub fn of(batch: Box<dyn Batch>) -> Self {
        *batch.into_any().downcast().expect("an edge carries batches of its source's record type")
    }
}

impl<T: Record> Batch for Rows<T> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        debug_assert!(self.1.fits(self.0.len()), "rows have a timestamp each, or none");
        column::bytes_of(&self.0) + self.1.bytes()
    }

    fn hashes(&self) -> Option<&[u64]> {
        None
    }

    fn scatter(self: Box<Self>, targets: &[u32], open: &mut [Option<Box<dyn Batch>>]) {
        let new = |rows| Self::new(Vec::with_capacity(rows));
        let mut parts = open_parts::<Self>(targets, open, new, |part, rows| part.0.reserve(rows));
        if !self.1.is_none() || parts.iter().flatten().any(|part| !part.1.is_none()) {
            let before: Vec<usize> = parts.iter().map(|part| part.as_ref().map_or(0, |part| part.0.len())).collect();
            let mut times: Vec<_> = parts.iter_mut().map(|part| part.as_mut().map(|part| &mut part.1)).collect();
            self.1.scatter(targets, &mut times, &before);
        }
        for (row, target) in self.0.into_iter().zip(targets) {
            if let Some(part) = &mut parts[*target as usize] {
                part.0.push(row);
            }
        }
    }

    fn append(&mut self, other: Box<dyn Batch>) {
        let Self(mut rows, times) = Self::of(other);
        self.1.append(self.0.len(), times, rows.len());
        self.0.append(&mut rows);
    }

    fn clone_batch(&self) -> Box<dyn Batch> {
        Box::new(self.clone())
    }

    fn encode(&self, frame: &mut Vec<u8>) -> Result<(), CodecError> {
        write_head(self.0.len(), &self.1, frame).map_err(CodecError::write::<T>)?;
        column::write(&self.0, frame).map_err(CodecError::write::<T>)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// The type of edges that carry [`Rows`].
pub struct RowsType<T>(PhantomData<fn() -> T>);

impl<T> RowsType<T> {
    /// The type of `Rows<T>`.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for RowsType<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Record> BatchType for RowsType<T> {
    fn name(&self) -> &'static str {
        type_name::<T>()
    }

    fn decode(&self, frame: &[u8]) -> Result<Box<dyn Batch>, CodecError> {
        let read = || {
            let (mut frame, rows, times) = FrameReader::new(frame)?;
            let values = column::read(&mut frame, rows)?;
            frame.finish()?;
            Ok(Rows::<T>(values, times))
        };
        let rows = read().map_err(|malformed: Malformed| CodecError::read::<T>(malformed))?;
        Ok(Box::new(rows))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_scatter_in_order_and_round_trip() {
        let rows = Rows::new((0..1000u32).map(|i| (i, i.to_string())).collect());
        let targets: Vec<u32> = (0..1000).map(|i| i % 3).collect();
        let mut open = vec![None, None, None, None];
        Box::new(rows).scatter(&targets, &mut open);
        assert!(open[3].is_none());
        for (part, first) in open.into_iter().flatten().zip(0..) {
            let mut frame = Vec::new();
            part.encode(&mut frame).unwrap();
            let part = Rows::<(u32, String)>::of(RowsType::<(u32, String)>::new().decode(&frame).unwrap());
            let expected: Vec<_> = (first..1000).step_by(3).map(|i| (i, i.to_string())).collect();
            assert_eq!(part.0, expected);
        }
    }

    /// Rows whose timestamp, where the batch has some, is the number itself.
    fn batch(numbers: &[i64], timed: bool) -> Box<Rows<i64>> {
        let times = numbers.iter().map(|number| EventTime(*number)).collect();
        Box::new(if timed { Rows::timed(numbers.to_vec(), times) } else { Rows::new(numbers.to_vec()) })
    }

    /// Numbers, and whether each has a timestamp.
    type Expected = Vec<(i64, bool)>;

    /// Each row as it should be: with its number as timestamp, or none.
    fn check(batch: Box<dyn Batch>, expected: &[(i64, bool)]) {
        let mut frame = Vec::new();
        batch.encode(&mut frame).unwrap();
        let Rows(rows, times) = Rows::<i64>::of(RowsType::<i64>::new().decode(&frame).unwrap());
        assert_eq!(Rows(rows.clone(), times.clone()), Rows::of(batch));
        let rows: Vec<_> = rows.iter().enumerate().map(|(i, row)| (*row, times.get(i))).collect();
        let expected: Vec<_> = expected.iter().map(|(row, timed)| (*row, timed.then_some(EventTime(*row)))).collect();
        assert_eq!(rows, expected);
    }

    proptest! {
        #[test]
        fn timestamps_stay_with_their_rows(
            batches in proptest::collection::vec((proptest::collection::vec(0i64..100, 1..20), any::<bool>()), 1..8),
        ) {
            let (mut open, mut expected) = (vec![None, None], [vec![], vec![]]);
            let mut joined: Option<(Box<dyn Batch>, Expected)> = None;
            for (numbers, timed) in &batches {
                let targets: Vec<u32> = numbers.iter().map(|number| (number % 2) as u32).collect();
                batch(numbers, *timed).scatter(&targets, &mut open);
                let rows: Expected = numbers.iter().map(|number| (*number, *timed)).collect();
                for (row, target) in rows.iter().zip(&targets) {
                    expected[*target as usize].push(*row);
                }
                match &mut joined {
                    Some((first, all)) => {
                        first.append(batch(numbers, *timed));
                        all.extend(rows);
                    }
                    None => joined = Some((batch(numbers, *timed), rows)),
                }
            }
            for (part, expected) in open.into_iter().zip(&expected) {
                match part {
                    Some(part) => check(part, expected),
                    None => assert!(expected.is_empty()),
                }
            }
            let (joined, expected) = joined.unwrap();
            check(joined, &expected);
        }
    }
}
