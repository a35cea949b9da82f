//! Resources as fixed vectors: what the scheduler adds, compares and divides millions of times a second.

use std::fmt;

use crate::resource::Resource;

/// Kinds of resources in one cluster: memory, cores, and so many named ones.
pub(super) const KINDS_MAX: usize = 6;

/// Memory in MiB, cores, and the named kinds in the order of [`Kinds`].
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Amount([u64; KINDS_MAX]);

impl Amount {
    pub(super) const ZERO: Self = Self([0; KINDS_MAX]);

    pub(super) fn memory(&self) -> u64 {
        self.0[0]
    }

    /// Whether all of `other` fits into this.
    pub(super) fn fits(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine >= theirs)
    }

    pub(super) fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.zip(other, u64::saturating_add);
    }

    /// Each dimension stops at zero.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.zip(other, u64::saturating_sub);
    }

    pub(super) fn plus(mut self, other: &Self) -> Self {
        self.add(other);
        self
    }

    pub(super) fn minus(mut self, other: &Self) -> Self {
        self.subtract(other);
        self
    }

    pub(super) fn lesser(mut self, other: &Self) -> Self {
        self.zip(other, u64::min);
        self
    }

    pub(super) fn greater(mut self, other: &Self) -> Self {
        self.zip(other, u64::max);
        self
    }

    pub(super) fn times(mut self, count: u64) -> Self {
        for mine in &mut self.0 {
            *mine = mine.saturating_mul(count);
        }
        self
    }

    /// Takes `other`'s amount of every kind that `stated` has nothing of.
    pub(super) fn fill_zeros(&mut self, stated: &Self, other: &Self) {
        for ((mine, stated), theirs) in self.0.iter_mut().zip(&stated.0).zip(&other.0) {
            if *stated == 0 {
                *mine = *theirs;
            }
        }
    }

    fn zip(&mut self, other: &Self, with: impl Fn(u64, u64) -> u64) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = with(*mine, *theirs);
        }
    }

    /// This part of it, rounded up: 40 % of two devices is one, else nobody could ever have it.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "amounts stay far below 2^52, and the part is not negative"
    )]
    pub(super) fn part(mut self, part: f64) -> Self {
        for mine in &mut self.0 {
            // Less a hair: a third of three is one, whatever floating point says.
            *mine = (*mine as f64 * part - 1e-6).ceil().max(0.0) as u64;
        }
        self
    }

    /// The largest part of `whole` that this takes in any dimension; endless where there is none of something used.
    #[expect(clippy::cast_precision_loss, reason = "amounts stay far below 2^52")]
    pub(super) fn dominant_share(&self, whole: &Self) -> f64 {
        let share = |(mine, all): (&u64, &u64)| match (mine, all) {
            (0, _) => 0.0,
            (_, 0) => f64::INFINITY,
            (mine, all) => *mine as f64 / *all as f64,
        };
        self.0.iter().zip(&whole.0).map(share).fold(0.0, f64::max)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Which named resource stands in which place. Kinds come with nodes and queues; an ask can only name a known one.
#[derive(Clone, Debug, Default)]
pub(super) struct Kinds {
    names: Vec<String>,
}

/// An ask names a resource that no node offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnknownKind(pub(super) String);

impl Kinds {
    /// Takes note of the kinds in `resource`. More than fit are not: nobody can ask for those.
    pub(super) fn learn(&mut self, resource: &Resource) {
        for name in resource.named.keys() {
            if !self.names.contains(name) && self.names.len() + 2 < KINDS_MAX {
                self.names.push(name.clone());
            }
        }
    }

    /// As a vector; kinds that are not known count for nothing.
    pub(super) fn known(&self, resource: &Resource) -> Amount {
        let mut amount = Amount::ZERO;
        amount.0[0] = resource.memory_mb;
        amount.0[1] = u64::from(resource.vcores);
        for (place, name) in self.names.iter().enumerate() {
            amount.0[place + 2] = resource.named.get(name).copied().unwrap_or(0);
        }
        amount
    }

    /// As a vector.
    ///
    /// # Errors
    /// [`UnknownKind`] if no node offers what it names.
    pub(super) fn exactly(&self, resource: &Resource) -> Result<Amount, UnknownKind> {
        match resource.named.iter().find(|(name, amount)| **amount > 0 && !self.names.contains(name)) {
            Some((name, _)) => Err(UnknownKind(name.clone())),
            None => Ok(self.known(resource)),
        }
    }

    /// Back again.
    pub(super) fn resource(&self, amount: &Amount) -> Resource {
        let named = self.names.iter().enumerate().map(|(place, name)| (name.clone(), amount.0[place + 2]));
        Resource {
            memory_mb: amount.0[0],
            vcores: u32::try_from(amount.0[1]).unwrap_or(u32::MAX),
            named: named.filter(|(_, amount)| *amount > 0).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_round_up_and_shares_are_those_of_the_scarcest() {
        let mut kinds = Kinds::default();
        let whole = Resource { named: [("gpu".to_owned(), 2)].into(), ..Resource::new(300, 3) };
        kinds.learn(&whole);
        let whole = kinds.exactly(&whole).unwrap();
        assert_eq!(kinds.resource(&whole.part(1.0 / 3.0)).to_string(), "<memory:100 MB, vCores:1, gpu:1>");
        let one = kinds.known(&Resource { named: [("gpu".to_owned(), 1)].into(), ..Resource::new(30, 1) });
        assert!((one.dominant_share(&whole) - 0.5).abs() < 1e-9);
        let unknown = Resource { named: [("fpga".to_owned(), 1)].into(), ..Resource::new(1, 1) };
        assert_eq!(kinds.exactly(&unknown), Err(UnknownKind("fpga".to_owned())));
    }
}
