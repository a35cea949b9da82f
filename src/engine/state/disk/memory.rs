//! What the states of a process may have in memory together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One number for all states of a process. Who finds it exceeded gives up part of what it holds.
#[derive(Debug)]
pub struct StateMemory {
    cap_bytes: usize,
    used: AtomicUsize,
    states: AtomicUsize,
}

impl StateMemory {
    /// All of them together may have so much.
    pub fn new(cap_bytes: u64) -> Arc<Self> {
        let cap_bytes = usize::try_from(cap_bytes).unwrap_or(usize::MAX);
        Arc::new(Self { cap_bytes, used: AtomicUsize::new(0), states: AtomicUsize::new(0) })
    }

    /// What they hold.
    pub fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// One state's part in it.
pub(super) struct Share {
    memory: Arc<StateMemory>,
    held: usize,
}

impl Share {
    pub(super) fn of(memory: &Arc<StateMemory>) -> Self {
        memory.states.fetch_add(1, Ordering::Relaxed);
        Self { memory: Arc::clone(memory), held: 0 }
    }

    /// The state holds so much now.
    pub(super) fn charge(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.held, bytes);
        match bytes.checked_sub(before) {
            Some(more) => self.memory.used.fetch_add(more, Ordering::Relaxed),
            None => self.memory.used.fetch_sub(before - bytes, Ordering::Relaxed),
        };
    }

    /// What this state should give up. One that holds less than its even part waits for the others a little.
    pub(super) fn excess(&self) -> usize {
        let StateMemory { cap_bytes, used, states } = &*self.memory;
        let even = cap_bytes / states.load(Ordering::Relaxed).max(1);
        let patience = if self.held > even { 0 } else { cap_bytes / 32 };
        used.load(Ordering::Relaxed).saturating_sub(cap_bytes.saturating_add(patience))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.charge(0);
        self.memory.states.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_gives_up_first_and_what_ends_gives_up_all() {
        let memory = StateMemory::new(1000);
        let (mut large, mut small) = (Share::of(&memory), Share::of(&memory));
        large.charge(900);
        small.charge(110);
        assert_eq!((large.excess(), small.excess()), (10, 0));
        small.charge(200);
        assert_eq!((large.excess(), small.excess()), (100, 69));
        drop(large);
        assert_eq!((memory.used_bytes(), small.excess()), (200, 0));
    }
}
