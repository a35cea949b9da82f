//! The string type for records.

/// A string of 24 bytes that keeps texts of up to 24 bytes inline: no allocation for a word.
pub type Str = compact_str::CompactString;
