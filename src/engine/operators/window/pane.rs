//! What an emission of a window is.

use serde::{Deserialize, Serialize};

use super::TimeWindow;

/// When a pane is emitted, against the watermark. Beam's `PaneInfo.Timing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Timing {
    /// Before the watermark has passed the end of the window: more is expected.
    Early,
    /// The first one behind.
    OnTime,
    /// Behind that one, or of a window whose first record came too late for it.
    Late,
}

/// What a record means to who keeps a table of results. Flink's enum of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RowKind {
    /// `+I`: it is new.
    #[serde(rename = "+I")]
    Insert,
    /// `-U`: it was emitted before, and holds no more.
    #[serde(rename = "-U")]
    UpdateBefore,
    /// `+U`: it holds instead.
    #[serde(rename = "+U")]
    UpdateAfter,
}

/// What is known of one emission of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PaneInfo {
    /// When it is emitted.
    pub timing: Timing,
    /// How many the window has emitted before. A session that grows or merges is a new window, and begins at 0.
    pub index: u32,
    /// Whether it takes back what was emitted before.
    pub kind: RowKind,
}

impl PaneInfo {
    /// That of a window which emits once.
    pub(super) const ONLY: Self = Self { timing: Timing::OnTime, index: 0, kind: RowKind::Insert };
}

/// An emission with all that is known of it: what [`Panes`](super::Panes) makes of a window's result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pane<K, V> {
    /// The key.
    pub key: K,
    /// The window.
    pub window: TimeWindow,
    /// Which of its emissions.
    pub info: PaneInfo,
    /// The result.
    pub value: V,
}

/// What a window holds after it has emitted. The Dataflow Model's accumulation modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accumulation {
    /// Nothing: each emission has what came since the one before.
    Discarding,
    /// Everything: each emission has all of the window. Flink's way, unless a trigger purges.
    #[default]
    Accumulating,
    /// Everything; and before each further emission those are emitted again which it replaces, marked
    /// [`RowKind::UpdateBefore`], also those of sessions that have been merged.
    Retracting,
}
