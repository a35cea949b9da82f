//! Entries in order on disk: what state beyond memory lies in. Bytes by hash; knows no types.
//!
//! ```text
//! entries in order ─► RunWriter ─► Run (a file that never changes) ─┐
//!                                                                   ├─► Tree: runs by age ─► find: the newest run that knows the key
//! Merge: several runs that follow each other in age ─► one ─────────┘
//! ```
//! A log-structured merge tree without a log: what it has not yet been given is its owner's to remember, and a checkpoint is what
//! makes it durable. Entries are ordered by the hash of their key, turned so that it begins with the bits that choose a key group: so a
//! run is sorted by key group, a range of key groups is a range of a run, and whoever holds many keys asks for them in that order.
//!
//! ```text
//! a run:   "FLOTTRUN" │ block │ block │ … │ index │ footer
//! a block: entry │ entry │ … │ crc        at least 4 KiB, if there is as much; read as one
//! an entry: order u64 │ key length │ value length + 1, or 0 where it was deleted │ key │ value
//! the index: of each block its first order and its length; a filter over all orders; their crc
//! ```
//!
//! Sizes of runs are kept geometric: four of about a size are merged into one, and everything is once what is newer has grown as
//! large as the oldest. So each entry is written a number of times that grows with the logarithm of the state, there are a few runs
//! at any time, and at most half of what they hold is out of date. Merging is done in steps that their caller pays for.
//!
//! Invariants: a run is never written to again, so it may be linked into any number of checkpoints; a run that is not whole has no
//! footer and is refused; every byte that is read is covered by a checksum. Runs know nothing of what is in memory, and delete no file
//! but those they made.

mod entry;
mod filter;
mod merge;
mod run;
mod tree;
mod writer;

pub(crate) use entry::Entry;
pub(crate) use merge::Merge;
pub(crate) use run::Probe;
pub use run::Run;
pub(crate) use tree::Tree;
pub(crate) use writer::RunWriter;
