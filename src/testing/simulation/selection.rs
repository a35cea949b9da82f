//! Which of a seed's faults happen: all that were drawn, or fewer, to see which of them a failure needs.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A fault of a run. What is drawn, and so each name, depends on the seed and on the faults before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultId {
    /// Laid out at the beginning: `3`.
    Planned(u32),
    /// A small one that strikes as something is being done: `s12`.
    Small(u64),
    /// Sources fail now and then: `flaky`.
    Flaky,
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned(number) => write!(f, "{number}"),
            Self::Small(number) => write!(f, "s{number}"),
            Self::Flaky => f.write_str("flaky"),
        }
    }
}

impl FromStr for FaultId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let small = text.strip_prefix('s').and_then(|number| number.parse().ok());
        match (text, text.parse()) {
            ("flaky", _) => Ok(Self::Flaky),
            (_, Ok(number)) => Ok(Self::Planned(number)),
            (_, Err(_)) => small.map(Self::Small).ok_or_else(|| {
                "write a fault's number as the trace shows it: 3, s12 for a small one, or flaky".to_owned()
            }),
        }
    }
}

/// What is to happen of what a seed could have happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Another draw: jobs that take checkpoints all the while, and at least four faults.
    pub eventful: bool,
    /// These alone.
    pub only: Option<BTreeSet<FaultId>>,
    /// Not these.
    pub without: BTreeSet<FaultId>,
    /// Planned ones of these kinds alone, and small ones if `small` is among them.
    pub kinds: Option<BTreeSet<String>>,
    /// None after so many milliseconds.
    pub until_ms: Option<u64>,
}

impl Selection {
    /// The same, with nothing going wrong but this.
    pub(super) fn only(&self, faults: &BTreeSet<FaultId>) -> Self {
        let Self { eventful, until_ms, .. } = *self;
        Self { eventful, only: Some(faults.clone()), until_ms, ..Self::default() }
    }

    pub(super) fn admits(&self, fault: FaultId, kind: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&fault))
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
            && !self.without.contains(&fault)
    }
}

/// A smallest set of faults with which `fails` still holds: none of them can be left out. Tries halves first, then ever smaller parts
/// (Zeller's delta debugging without its complements, which single ones make up for at the end).
pub(super) fn minimised(
    faults: &BTreeSet<FaultId>,
    mut fails: impl FnMut(&BTreeSet<FaultId>) -> bool,
) -> BTreeSet<FaultId> {
    let mut needed: Vec<FaultId> = faults.iter().copied().collect();
    let mut part = needed.len().div_ceil(2);
    while part > 0 {
        let (mut at, before) = (0, needed.len());
        while at < needed.len() {
            let end = (at + part).min(needed.len());
            let fewer: BTreeSet<FaultId> = needed[..at].iter().chain(&needed[end..]).copied().collect();
            if fails(&fewer) {
                needed.drain(at..end);
            } else {
                at = end;
            }
        }
        // With fewer around it one may have become needless that was not.
        part = if part == 1 && needed.len() < before { 1 } else { part / 2 };
    }
    needed.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<FaultId> {
        numbers.into_iter().map(FaultId::Planned).collect()
    }

    #[test]
    fn what_a_failure_needs_is_found_among_many() {
        for needed in [vec![], vec![0], vec![99], vec![17, 18], vec![3, 50, 96]] {
            let needed = planned(needed);
            let found = minimised(&planned(0..100), |faults| faults.is_superset(&needed));
            assert_eq!(found, needed);
        }
    }

    #[test]
    fn of_two_ways_to_fail_one_is_left() {
        let fails =
            |faults: &BTreeSet<FaultId>| faults.is_superset(&planned([1, 2])) || faults.is_superset(&planned([8]));
        let found = minimised(&planned(0..10), fails);
        assert!(found == planned([1, 2]) || found == planned([8]), "{found:?}");
    }

    #[test]
    fn names_of_faults_are_read_as_they_are_written() {
        for fault in [FaultId::Planned(3), FaultId::Small(12), FaultId::Flaky] {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        for wrong in ["", "s", "x3", "-1", "3.5"] {
            assert!(wrong.parse::<FaultId>().is_err(), "{wrong}");
        }
    }
}
