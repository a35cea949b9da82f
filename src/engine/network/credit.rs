//! The accounting behind backpressure: numbers only.
//!
//! ```text
//! producer: Account   emitted − taken          "has this output room?"        charge on emit, release when taken
//! sender:   Window    sent − given back        "may this frame go now?"       remote channels only
//! receiver: Returns   taken − given back       "is it worth a credit frame?"  remote channels only
//! ```
//!
//! An account may be overdrawn by what one record emits; a window may not, so what lies at a receiver is bounded: by the window,
//! or by a quarter of it and one frame that is larger than the rest. A receiver gives credit back in quarters and may keep less
//! than a quarter for ever; a sender therefore takes less than a quarter in flight for none.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Bytes a channel's producer may be ahead of its consumer: eight full batches. Less makes producer and consumer wake each other
/// for every batch, more only adds memory: at 32 KiB a batch and 5 ns a byte of work it is a millisecond of the consumer's time,
/// well above a wake-up or a round trip in one network.
pub const WINDOW_BYTES: u64 = 256 * 1024;

/// The least window. A consumer with many channels has work from others while one waits for credit.
pub const WINDOW_BYTES_MIN: u64 = 8 * 1024;

/// What all windows of one gate may hold together while they are above the least one. A worker has as many gates as subtasks: at
/// 128 × 128 channels 16 MiB here made 1.2 GB of batches in flight, and most of the time went into clearing their pages.
const GATE_BYTES: u64 = 2 * 1024 * 1024;

/// The window of each channel of a gate, or of a partition whose consumers have not come yet, with this many.
pub(super) fn window_of(channels: usize) -> u64 {
    (GATE_BYTES / (channels.max(1) as u64)).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES)
}

/// In what steps a receiver gives credit back.
fn step_of(window: u64) -> u64 {
    window / 4
}

/// How far a channel's producer is ahead of its consumer. Shared by their two threads.
#[derive(Debug)]
pub(super) struct Account {
    /// Window minus what was emitted and not taken. Negative when overdrawn.
    available: AtomicI64,
    /// Available bytes at which a waiting producer is woken: half the window, so that it does not wake for every batch.
    wake_at: AtomicI64,
    /// The producer found no room and waits.
    waiting: AtomicBool,
}

impl Account {
    pub(super) fn new(window: u64) -> Self {
        Self {
            available: AtomicI64::new(signed(window)),
            wake_at: AtomicI64::new(signed(window / 2)),
            waiting: AtomicBool::new(false),
        }
    }

    /// The consumer has come and grants `new` instead of `old`.
    pub(super) fn resize(&self, old: u64, new: u64) {
        self.wake_at.store(signed(new / 2), Ordering::SeqCst);
        self.available.fetch_add(signed(new) - signed(old), Ordering::SeqCst);
    }

    /// The producer emits.
    pub(super) fn charge(&self, bytes: u64) {
        self.available.fetch_sub(signed(bytes), Ordering::SeqCst);
    }

    /// Whether the producer may take its next slice of input. If not, it will be woken.
    pub(super) fn has_room(&self) -> bool {
        if self.available.load(Ordering::SeqCst) > 0 {
            return true;
        }
        // IMPORTANT: announce, then look again: a release in between either sees the announcement or is seen here.
        self.waiting.store(true, Ordering::SeqCst);
        self.available.load(Ordering::SeqCst) > 0
    }

    /// The consumer has taken. True when the producer waits and is to be woken.
    #[must_use]
    pub(super) fn release(&self, bytes: u64) -> bool {
        let before = self.available.fetch_add(signed(bytes), Ordering::SeqCst);
        before + signed(bytes) >= self.wake_at.load(Ordering::SeqCst)
            && self.waiting.load(Ordering::SeqCst)
            && self.waiting.swap(false, Ordering::SeqCst)
    }
}

/// A sender's view of what its receiver holds.
#[derive(Debug)]
pub(super) struct Window {
    size: u64,
    in_flight: u64,
}

impl Window {
    pub(super) fn new(size: u64) -> Self {
        Self { size, in_flight: 0 }
    }

    /// Whether a frame of `bytes` may go.
    pub(super) fn admits(&self, bytes: u64) -> bool {
        self.in_flight + bytes <= self.size || self.in_flight < step_of(self.size)
    }

    /// A frame goes.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.in_flight += bytes;
    }

    /// The receiver gives back. What was never sent is not taken.
    pub(super) fn returned(&mut self, bytes: u64) -> u64 {
        let bytes = bytes.min(self.in_flight);
        self.in_flight -= bytes;
        bytes
    }
}

/// A receiver's count of what it has taken and not yet given back.
#[derive(Debug)]
pub(super) struct Returns {
    step: u64,
    pending: u64,
}

impl Returns {
    pub(super) fn new(window: u64) -> Self {
        Self { step: step_of(window), pending: 0 }
    }

    /// A frame was taken. Some: give this much back now.
    pub(super) fn taken(&mut self, bytes: u64) -> Option<u64> {
        self.pending += bytes;
        (self.pending >= self.step).then(|| std::mem::take(&mut self.pending))
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_producer_is_woken_once_when_half_the_window_is_free() {
        let account = Account::new(100);
        account.charge(130);
        assert!(!account.has_room());
        assert!(!account.release(40), "10 are free: not worth waking");
        assert!(account.release(40));
        assert!(!account.release(50), "it is awake already");
        assert!(account.has_room());
    }

    #[test]
    fn nobody_is_woken_who_did_not_wait() {
        let account = Account::new(100);
        account.charge(90);
        assert!(account.has_room());
        assert!(!account.release(90));
    }

    #[test]
    fn a_frame_larger_than_the_window_goes_alone() {
        let mut window = Window::new(100);
        window.sent(60);
        assert!(!window.admits(1000));
        assert_eq!(window.returned(40), 40);
        assert!(window.admits(1000), "20 in flight may never come back: less than a quarter");
        window.sent(1000);
        assert!(!window.admits(1));
    }

    #[test]
    fn a_gate_with_many_channels_grants_small_windows() {
        assert_eq!(window_of(1), WINDOW_BYTES);
        assert_eq!(window_of(8), WINDOW_BYTES);
        assert_eq!(window_of(128), 16 * 1024);
        assert_eq!(window_of(1000), WINDOW_BYTES_MIN);
    }

    proptest! {
        /// Whatever the sizes and the schedule: nothing is lost, nothing negative, the receiver's memory is bounded, and when
        /// the receiver has taken all it was sent, the next frame may go.
        #[test]
        fn credit_is_conserved(sizes in proptest::collection::vec(1u64..600, 1..60), schedule in proptest::collection::vec(0u8..3, 0..400)) {
            const WINDOW: u64 = 256;
            let (account, mut window, mut returns) = (Account::new(WINDOW), Window::new(WINDOW), Returns::new(WINDOW));
            let (mut unsent, mut wire, mut credits) = (VecDeque::from(sizes.clone()), VecDeque::new(), VecDeque::new());
            sizes.iter().for_each(|&bytes| account.charge(bytes));
            let total: u64 = sizes.iter().sum();
            let largest = sizes.iter().copied().max().unwrap_or(0);
            let mut taken = 0;
            for step in schedule.into_iter().chain(std::iter::repeat_n([0, 1, 2], 200).flatten()) {
                match step {
                    0 => if let Some(&bytes) = unsent.front() && window.admits(bytes) {
                        window.sent(bytes);
                        wire.push_back(unsent.pop_front().unwrap());
                    },
                    1 => if let Some(bytes) = wire.pop_front() {
                        taken += bytes;
                        credits.extend(returns.taken(bytes));
                    },
                    _ => if let Some(bytes) = credits.pop_front() {
                        prop_assert_eq!(window.returned(bytes), bytes);
                        let _ = account.release(bytes);
                    },
                }
                let held: u64 = wire.iter().sum();
                prop_assert_eq!(window.in_flight, held + returns.pending + credits.iter().sum::<u64>());
                prop_assert!(held <= WINDOW.max(WINDOW / 4 + largest));
                prop_assert_eq!(unsent.iter().sum::<u64>() + held + taken, total);
            }
            prop_assert_eq!(taken, total);
            prop_assert!(account.has_room());
        }
    }
}
