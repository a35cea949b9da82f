//! The container behind every edge.

use std::any::Any;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What can be a record: any owned value that serde can write and read. Deriving `Clone, Serialize, Deserialize` is enough.
///
/// `Sync`, because a checkpoint writes state from another thread while the operator goes on with it.
pub trait Record: Clone + Send + Sync + Serialize + DeserializeOwned + 'static {}

impl<T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static> Record for T {}

/// A container of records of one type.
///
/// Operators take it whole, turn it back into its concrete type once ([`Batch::into_any`]) and loop inside. Every method's
/// cost is per batch, or a tight loop over its rows.
pub trait Batch: Any + Send {
    /// Number of records.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory it holds, in bytes, estimated: what credit and pools are charged with.
    fn bytes(&self) -> usize;

    /// The hash column, on a keyed exchange.
    fn hashes(&self) -> Option<&[u64]>;

    /// The key of row `row` as a person reads it, on a keyed exchange.
    ///
    /// # Panics
    /// When there is no such row.
    fn key_text(&self, row: usize) -> Option<String> {
        let _ = row;
        None
    }

    /// Appends the consumer of each row, of so many, as the program's own partitioner says; `false` where there is none.
    ///
    /// # Panics
    /// When the partitioner chooses one that there is not.
    fn choose_consumers(&self, consumers: u32, targets: &mut Vec<u32>) -> bool {
        let _ = (consumers, targets);
        false
    }

    /// Moves row `i` to `open[targets[i]]`, for each row in order; absent ones are made. `targets` is as long as this batch.
    fn scatter(self: Box<Self>, targets: &[u32], open: &mut [Option<Box<dyn Batch>>]);

    /// Moves all rows of `other`, a batch of the same type, behind the own ones.
    fn append(&mut self, other: Box<dyn Batch>);

    /// A copy, for edges that need one each.
    fn clone_batch(&self) -> Box<dyn Batch>;

    /// Writes the rows behind what `frame` holds.
    ///
    /// # Errors
    /// [`CodecError`] when a record's `Serialize` refuses.
    fn encode(&self, frame: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Back to the concrete type.
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

/// The type of the batches on an edge: what the receiving end needs to read a frame.
pub trait BatchType: Send + Sync {
    /// The record type's name.
    fn name(&self) -> &'static str;

    /// Reads a frame that [`Batch::encode`] wrote.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are not such a frame.
    fn decode(&self, frame: &[u8]) -> Result<Box<dyn Batch>, CodecError>;
}

/// Why a record could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} a record of type {type_name}: {cause}")]
pub struct CodecError {
    /// `write` or `read`.
    pub action: &'static str,
    /// The record's type.
    pub type_name: &'static str,
    /// In serde's words.
    pub cause: String,
}

impl CodecError {
    /// A refused write of a `T`.
    pub(crate) fn write<T>(cause: impl ToString) -> Self {
        Self { action: "write", type_name: std::any::type_name::<T>(), cause: cause.to_string() }
    }

    /// A refused read of a `T`.
    pub(crate) fn read<T>(cause: impl ToString) -> Self {
        Self { action: "read", type_name: std::any::type_name::<T>(), cause: cause.to_string() }
    }
}

/// The open batches of [`Batch::scatter`] that get rows, as their concrete type and with room for them; absent ones are made.
pub(super) fn open_parts<'a, B: Batch>(
    targets: &[u32],
    open: &'a mut [Option<Box<dyn Batch>>],
    new: impl Fn(usize) -> B,
    reserve: impl Fn(&mut B, usize),
) -> Vec<Option<&'a mut B>> {
    let mut rows = vec![0usize; open.len()];
    for target in targets {
        rows[*target as usize] += 1;
    }
    let part = |(slot, rows): (&'a mut Option<Box<dyn Batch>>, usize)| {
        if rows == 0 {
            return None;
        }
        let batch: &mut dyn Any = &mut **slot.get_or_insert_with(|| Box::new(new(rows)));
        let part = batch.downcast_mut().expect("open batches are of the scattered batch's type");
        reserve(part, rows);
        Some(part)
    };
    open.iter_mut().zip(rows).map(part).collect()
}
