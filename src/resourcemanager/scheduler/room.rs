//! Finding a node with room among tens of thousands: a tree whose every branch knows the most there is below it.
//!
//! ```text
//!              (8,3)            most memory and most cores below, which need not be on one node
//!             /     \
//!         (8,1)     (4,3)       ask (4,2): left has no cores, right has both
//!         /   \     /   \
//!      (8,1) (2,0) (4,3) (1,1)  leaves: one node each
//! ```
//! A change costs one comparison a level, and a search goes down only where all that is needed may be. Invariant: a branch is
//! the dimension-wise maximum of its two.

use super::amount::Amount;

/// Looks at a leaf, given the best so far and the patience left; returns the memory of what it takes there.
type Visit<'a> = dyn FnMut(usize, Option<u64>, &mut usize) -> Option<u64> + 'a;

/// The tree. Leaves are numbered from 0; those never set have nothing.
#[derive(Debug)]
pub(super) struct MaxTree {
    /// Leaves begin at `width`, a power of two; the root is at 1.
    width: usize,
    most: Vec<Amount>,
}

impl Default for MaxTree {
    fn default() -> Self {
        Self { width: 1, most: vec![Amount::ZERO; 2] }
    }
}

impl MaxTree {
    /// What a leaf has now.
    pub(super) fn set(&mut self, leaf: usize, amount: Amount) {
        self.reach(leaf);
        let mut at = self.width + leaf;
        self.most[at] = amount;
        while at > 1 {
            at /= 2;
            let above = self.most[2 * at].greater(&self.most[2 * at + 1]);
            if self.most[at] == above {
                return;
            }
            self.most[at] = above;
        }
    }

    fn reach(&mut self, leaf: usize) {
        if leaf < self.width {
            return;
        }
        let width = (leaf + 1).next_power_of_two();
        let mut most = vec![Amount::ZERO; 2 * width];
        most[width..width + self.width].copy_from_slice(&self.most[self.width..]);
        for at in (1..width).rev() {
            most[at] = most[2 * at].greater(&most[2 * at + 1]);
        }
        (self.width, self.most) = (width, most);
    }

    /// The most of each kind anywhere.
    pub(super) fn most(&self) -> &Amount {
        &self.most[1]
    }

    /// Visits leaves that may have `need`, those with most memory first and of equal ones the first, as long as they have more
    /// memory than the best so far. `visit` gets that bound and returns the memory of what it takes, if it takes it. Once
    /// there is a best, `patience` leaves more are visited: the best of all may hide among many that have memory and no cores.
    pub(super) fn search(&self, need: &Amount, best: Option<u64>, patience: &mut usize, visit: &mut Visit<'_>) {
        self.below(1, need, &mut { best }, patience, visit);
    }

    fn below(&self, at: usize, need: &Amount, best: &mut Option<u64>, patience: &mut usize, visit: &mut Visit<'_>) {
        let most = &self.most[at];
        if !most.fits(need) || best.is_some_and(|best| *patience == 0 || most.memory() <= best) {
            return;
        }
        if at >= self.width {
            *patience -= usize::from(best.is_some());
            *best = visit(at - self.width, *best, patience).or(*best);
            return;
        }
        let (left, right) = (2 * at, 2 * at + 1);
        let order = if self.most[right].memory() > self.most[left].memory() { [right, left] } else { [left, right] };
        for child in order {
            self.below(child, need, best, patience, visit);
        }
    }

    /// The first leaf that may have `need` and that `visit` takes.
    pub(super) fn first(&self, need: &Amount, visit: &mut dyn FnMut(usize) -> bool) -> Option<usize> {
        self.first_below(1, need, visit)
    }

    fn first_below(&self, at: usize, need: &Amount, visit: &mut dyn FnMut(usize) -> bool) -> Option<usize> {
        if !self.most[at].fits(need) {
            return None;
        }
        if at >= self.width {
            let leaf = at - self.width;
            return visit(leaf).then_some(leaf);
        }
        self.first_below(2 * at, need, visit).or_else(|| self.first_below(2 * at + 1, need, visit))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop, prop_assert_eq, proptest};

    use super::*;
    use crate::resource::Resource;
    use crate::resourcemanager::scheduler::amount::Kinds;

    fn amount((memory, cores): (u64, u32)) -> Amount {
        Kinds::default().known(&Resource::new(memory, cores))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_search_finds_what_looking_at_every_leaf_finds(
            leaves in prop::collection::vec((0..6u64, 0..6u32), 1..40),
            changes in prop::collection::vec((0..40usize, (0..6u64, 0..6u32)), 0..40),
            need in (1..6u64, 0..6u32),
        ) {
            let mut tree = MaxTree::default();
            let mut naive = leaves.clone();
            for (leaf, has) in leaves.into_iter().enumerate() {
                tree.set(leaf, amount(has));
            }
            for (leaf, has) in changes {
                let leaf = leaf % naive.len();
                naive[leaf] = has;
                tree.set(leaf, amount(has));
            }
            let fits = |leaf: &usize| naive[*leaf].0 >= need.0 && naive[*leaf].1 >= need.1;
            let best = (0..naive.len()).filter(fits).max_by_key(|leaf| (naive[*leaf].0, std::cmp::Reverse(*leaf)));
            let mut found = None;
            tree.search(&amount(need), None, &mut { usize::MAX }, &mut |leaf, _, _| {
                found = Some(leaf);
                Some(naive[leaf].0)
            });
            prop_assert_eq!(found.map(|leaf| naive[leaf].0), best.map(|leaf| naive[leaf].0));
            prop_assert_eq!(tree.first(&amount(need), &mut |_| true), (0..naive.len()).find(|leaf| fits(leaf)));
        }
    }
}
