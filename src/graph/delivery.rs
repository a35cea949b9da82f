//! How often what goes into a job counts in what comes out, after a failure.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::plan::{NodeKind, Plan};

/// How often a record counts. Flink's `DeliveryGuarantee`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryGuarantee {
    /// It may be lost.
    AtMostOnce,
    /// It may count again.
    AtLeastOnce,
    /// Neither.
    #[default]
    ExactlyOnce,
}

impl DeliveryGuarantee {
    pub(super) fn is_exactly_once(&self) -> bool {
        *self == Self::ExactlyOnce
    }
}

impl fmt::Display for DeliveryGuarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtMostOnce => "at-most-once",
            Self::AtLeastOnce => "at-least-once",
            Self::ExactlyOnce => "exactly-once",
        })
    }
}

/// What a job promises, and which of its sources and sinks promises no more. Its text, by `Display`, is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The least of what its sources and sinks promise.
    pub guarantee: DeliveryGuarantee,
    /// Names of those that promise no more than that; none: exactly once.
    pub because_of: Vec<String>,
}

impl Plan {
    /// What the job promises, as far as its sources and sinks do. A source that loses records is worse than a sink that repeats them.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        let ends = || self.nodes.iter().filter(|node| !matches!(node.kind, NodeKind::Operator));
        let guarantee = ends().map(|node| node.delivery).min().unwrap_or_default();
        let weak = ends().filter(|node| !guarantee.is_exactly_once() && node.delivery == guarantee);
        Delivery { guarantee, because_of: weak.map(|node| node.name.clone()).collect() }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { guarantee, because_of } = self;
        let names = because_of.join("\", \"");
        match guarantee {
            DeliveryGuarantee::ExactlyOnce => guarantee.fmt(f),
            DeliveryGuarantee::AtLeastOnce => {
                write!(f, "{guarantee}: \"{names}\" shows records at once, and again after a failure")
            }
            DeliveryGuarantee::AtMostOnce => {
                write!(f, "{guarantee}: \"{names}\" cannot replay; what it had read is lost after a failure")
            }
        }
    }
}
