//! Batches and what flows between them.
//!
//! A [`Batch`] is a container of records of one type, behind a virtual call that is paid once per batch and operator, never per
//! record. [`Rows`] holds records as they are; [`Keyed`] is what a keyed exchange ships: hash, key and value as columns.
//! [`Element`] is what a channel carries: batches in order with watermarks and the end of input between them.
//!
//! Measured (`cargo bench --bench shape --no-default-features`; closure, `key_by`, exchange over TCP, keyed sum; 4 M records, 10⁵ keys):
//!
//! ```text
//!                                                 CPU ns   bytes   allocations, a record
//! u64            columns                            42.5    24.0   0.02
//!                postcard rows                      80.0    11.5   0.02
//! (Str, u64)     columns                           105      27.4   0.02
//!                columns, hashed again             128      27.4   0.02
//!                postcard rows                     148      17.4   0.02
//! (String, u64)  columns                           170      27.4   2.05
//!                postcard rows                     223      17.4   3.05
//! three strings  Str key and value, by the sender  233      27.4   3.02
//!                the whole record to the receiver  490      77.6   6.03
//! ```
//!
//! So a keyed exchange ships hash, key and value as columns, selected by the sender; more bytes are the price of half the time.
//!
//! Records may have timestamps ([`Times`]), in a column that costs nothing where they have none.
//!
//! Invariants: a batch is never empty when emitted; its columns are as long as it has rows; a frame holds one batch and says
//! nothing of its type, which both ends know from the graph.

mod barrier;
mod batch;
mod column;
mod element;
mod hash;
mod key;
mod keyed;
mod open_rows;
mod prefetch;
mod routed;
mod rows;
mod table;
mod text;
mod text_column;
mod times;
mod waker;

pub use barrier::{Barrier, Continuation};
pub use batch::{Batch, BatchType, CodecError, Record};
pub use element::Element;
pub use hash::{
    KEY_HASH_SCHEME, key_group, key_group_owners, key_groups_of, key_hash, subtask_of_hash, subtask_of_key_group,
};
pub(crate) use hash::{hash_at, hash_order, order_range};
pub use key::{Key, KeyColumn, KeyRef};
pub use keyed::{Keyed, KeyedType};
pub(crate) use open_rows::OpenRows;
pub(crate) use routed::{Routed, Router};
pub use rows::{Rows, RowsType};
pub use table::{FrozenPiece, FrozenTable, KeyedTable, Swept};
pub(crate) use table::{Passed, Passing};
pub use text::Str;
pub use text_column::TextColumn;
pub use times::Times;
pub use waker::Waker;

/// Records in a full batch.
pub const BATCH_RECORDS: usize = 1024;
/// Bytes in a full batch, as [`Batch::bytes`] counts them.
pub const BATCH_BYTES: usize = 32 * 1024;
