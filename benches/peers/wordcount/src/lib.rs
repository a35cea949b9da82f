//! What the peer programs share; see `README.md` for what each is for and what was measured.
//!
//! ```text
//! file ─► blocks (whole words) ─► tokens (white-space mask) ─► keys, hashes ─► table ─► merge ─► report
//! ```
//!
//! Nothing of flott is used here and flott uses nothing of this.

pub mod args;
pub mod blocks;
pub mod count;
pub mod huge;
pub mod key;
pub mod report;
pub mod table;
pub mod tokens;
pub mod zipf;
