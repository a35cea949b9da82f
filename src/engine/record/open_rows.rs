//! Rows that gather into a batch.

use super::{BATCH_BYTES, BATCH_RECORDS, Record, column};

/// Between two looks at how much memory a record owns.
const LOOK_EVERY: usize = 16;

/// Rows that gather until they make a full batch: by number, or by the memory they take.
///
/// Whoever adds asks [`OpenRows::at_limit`] first. What records of a type without `Drop` take is known; of others the first ones
/// and then every sixteenth are looked at, which costs a nanosecond or so a record and keeps a batch of large records short.
pub(crate) struct OpenRows<T> {
    rows: Vec<T>,
    /// At this length the rows are looked at again.
    limit: usize,
    /// Memory of the rows, as far as they were looked at.
    bytes: usize,
    seen: usize,
    /// Room that the next batch is likely to need.
    room: usize,
}

impl<T: Record> OpenRows<T> {
    /// Records in a full batch, were they to own nothing.
    pub(crate) const FULL: usize = match BATCH_BYTES.checked_div(size_of::<T>()) {
        None => BATCH_RECORDS,
        Some(0) => 1,
        Some(records) => {
            if records < BATCH_RECORDS {
                records
            } else {
                BATCH_RECORDS
            }
        }
    };

    /// None yet; about `expected` will come.
    pub(crate) fn new(expected: usize) -> Self {
        Self { rows: Vec::new(), limit: 0, bytes: 0, seen: 0, room: expected }
    }

    /// A batch of the first of these records: as many as it holds, and none beyond is asked for.
    pub(crate) fn batch_of(mut records: impl Iterator<Item = T>) -> Vec<T> {
        if !std::mem::needs_drop::<T>() {
            return records.take(Self::FULL).collect();
        }
        let mut open = Self::new(records.size_hint().0);
        loop {
            if open.at_limit()
                && let Some(full) = open.make_room()
            {
                return full;
            }
            match records.next() {
                Some(record) => open.push(record),
                None => return open.take().unwrap_or_default(),
            }
        }
    }

    /// Whether [`OpenRows::make_room`] must be called before the next record is added.
    #[inline]
    pub(crate) fn at_limit(&self) -> bool {
        self.rows.len() == self.limit
    }

    /// Makes room for the next record, and gives the batch that is full by now, if one is.
    #[cold]
    pub(crate) fn make_room(&mut self) -> Option<Vec<T>> {
        let full = if self.is_full() { self.take() } else { None };
        if self.rows.capacity() == 0 {
            self.rows.reserve_exact(self.room.clamp(1, Self::FULL));
        }
        self.limit = if !std::mem::needs_drop::<T>() {
            Self::FULL
        } else if self.rows.len() < LOOK_EVERY {
            (self.rows.len() * 2).clamp(1, Self::FULL)
        } else {
            (self.rows.len() + LOOK_EVERY).min(Self::FULL)
        };
        full
    }

    /// Adds a record.
    #[inline]
    pub(crate) fn push(&mut self, row: T) {
        self.rows.push(row);
    }

    /// How many there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The batch as it is, unless it is empty.
    pub(crate) fn take(&mut self) -> Option<Vec<T>> {
        (self.limit, self.bytes, self.seen) = (0, 0, 0);
        if self.rows.is_empty() {
            return None;
        }
        let rows = std::mem::take(&mut self.rows);
        self.room = rows.len();
        Some(rows)
    }

    fn is_full(&mut self) -> bool {
        if let Some(last) = self.rows.last().filter(|_| std::mem::needs_drop::<T>()) {
            let each = size_of::<T>() + column::bytes_owned(last);
            self.bytes += each * (self.rows.len() - self.seen);
            self.seen = self.rows.len();
        }
        self.rows.len() >= Self::FULL || self.bytes >= BATCH_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::column::bytes_of;

    fn batches<T: Record>(rows: impl IntoIterator<Item = T>) -> Vec<Vec<T>> {
        let mut open = OpenRows::new(100);
        let mut batches = Vec::new();
        for row in rows {
            if open.at_limit() {
                batches.extend(open.make_room());
            }
            open.push(row);
        }
        batches.extend(open.take());
        assert!(open.take().is_none());
        batches
    }

    #[test]
    fn small_records_make_batches_of_the_full_number() {
        let lens = |count| batches(0..count).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lens(2500u64), [1024, 1024, 452]);
        assert_eq!(lens(0), [0usize; 0]);
        assert_eq!(batches(vec![(); 2000]).len(), 2);
        assert_eq!(batches((0..2048u32).map(|n| n.to_string())).len(), 2);
    }

    #[test]
    fn records_that_own_much_make_short_batches_in_order_whenever_they_come() {
        for large in [1 << 20, 100_000, 5000] {
            let rows: Vec<Vec<u8>> = (0..300).map(|n| vec![1u8; if n < 100 { 10 } else { large }]).collect();
            let made = batches(rows.clone());
            // One look too late, and those since are all large.
            let most = made.iter().map(|batch| bytes_of(batch)).max().unwrap();
            assert!(most <= BATCH_BYTES + LOOK_EVERY * (large + 24), "{most} bytes of {large}");
            let last = bytes_of(made.last().unwrap());
            assert!(last <= BATCH_BYTES.max(large + 24) + large, "{last} bytes of {large}");
            assert_eq!(made.into_iter().flatten().collect::<Vec<_>>(), rows);
        }
    }
}
