//! The producer's end of a channel.
//!
//! ```text
//! Waiting (consumer not here yet: batches are kept) ─bind─► Local  (the boxed batch moves into the gate's queue)
//!                                                   └─────► Remote (frames, encoded on the producer's thread, queue for the writer)
//! any ─► Closed (nobody will read) │ Failed (connection lost)
//! ```
//!
//! Lock order: an outlet's lock may be held while taking a gate's or a connection's, never the other way round.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::NetworkError;
use super::credit::{Account, Window, window_of};
use super::downstream::Downstream;
use super::gate::{Gate, Item};
use super::registry::{ChannelKey, Consumer};
use super::wire::{self, HEADER_BYTES, Kind};
use crate::engine::record::{Barrier, Batch, Element, Waker};
use crate::time::EventTime;

/// The producer's end of a channel. Written by its subtask's thread, read by a connection's writer.
pub(super) struct Outlet {
    key: ChannelKey,
    account: Arc<Account>,
    /// What the account was opened with.
    first_window: u64,
    waker: Waker,
    /// Shared by the outlets of a partition: the first failure.
    failure: Arc<OnceLock<NetworkError>>,
    ended: AtomicBool,
    path: Mutex<Path>,
}

enum Path {
    Waiting(VecDeque<Element>),
    Local { gate: Arc<Gate>, index: u32 },
    Remote(Remote),
    Closed,
}

struct Remote {
    link: Arc<Downstream>,
    channel: u32,
    queue: VecDeque<Outgoing>,
    window: Window,
    /// The writer has it on its list, or is taking from it.
    scheduled: bool,
}

enum Outgoing {
    /// Header included.
    Frame(Vec<u8>),
    Watermark(EventTime),
    Idle,
    Barrier(Arc<Barrier>),
    End,
}

/// What the writer took.
pub(super) struct Taken {
    pub(super) frame: Vec<u8>,
    /// There is more to take now: ask again, after the others.
    pub(super) more: bool,
    /// It was the last there will ever be.
    pub(super) last: bool,
}

impl Outlet {
    /// One of `consumers` outlets of a partition.
    pub(super) fn new(key: ChannelKey, consumers: usize, waker: Waker, failure: Arc<OnceLock<NetworkError>>) -> Self {
        let first_window = window_of(consumers);
        Self {
            key,
            account: Arc::new(Account::new(first_window)),
            first_window,
            waker,
            failure,
            ended: AtomicBool::new(false),
            path: Mutex::new(Path::Waiting(VecDeque::new())),
        }
    }

    pub(super) fn key(&self) -> ChannelKey {
        self.key
    }

    pub(super) fn has_room(&self) -> bool {
        self.account.has_room()
    }

    /// Whether everything has been written, the end included.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Hands a batch over; returns the bytes charged.
    pub(super) fn send(&self, batch: Box<dyn Batch>) -> Result<u64, NetworkError> {
        match self.remote_channel() {
            // Encoded without the lock: the writer and the credits' reader want it meanwhile.
            Some(channel) => Ok(self.send_frame(wire::data(channel, &*batch)?)),
            None => self.send_unencoded(batch),
        }
    }

    /// Hands a copy of a batch over; returns the bytes charged. `encoded` keeps the frame for the other outlets.
    pub(super) fn send_copy(&self, batch: &dyn Batch, encoded: &mut Option<Vec<u8>>) -> Result<u64, NetworkError> {
        let Some(channel) = self.remote_channel() else {
            return self.send_unencoded(batch.clone_batch());
        };
        let mut frame = match encoded {
            Some(frame) => frame.clone(),
            None => encoded.insert(wire::data(channel, batch)?).clone(),
        };
        wire::readdress(&mut frame, channel);
        Ok(self.send_frame(frame))
    }

    fn send_frame(&self, frame: Vec<u8>) -> u64 {
        let bytes = payload_bytes(&frame);
        self.account.charge(bytes);
        if let Path::Remote(remote) = &mut *self.lock() {
            remote.push(Outgoing::Frame(frame));
        }
        bytes
    }

    fn send_unencoded(&self, batch: Box<dyn Batch>) -> Result<u64, NetworkError> {
        let bytes = charge_of(&*batch);
        match &mut *self.lock() {
            Path::Waiting(queue) => {
                self.account.charge(bytes);
                queue.push_back(Element::Batch(batch));
            }
            Path::Local { gate, index } => {
                self.account.charge(bytes);
                gate.push(*index, Item::Batch { batch, charge: bytes });
            }
            // Bound to a connection since we looked.
            Path::Remote(remote) => {
                let frame = wire::data(remote.channel, &*batch)?;
                self.account.charge(payload_bytes(&frame));
                remote.push(Outgoing::Frame(frame));
            }
            Path::Closed => {}
        }
        Ok(bytes)
    }

    /// Hands a watermark over; it costs no credit.
    pub(super) fn watermark(&self, watermark: EventTime) {
        match &mut *self.lock() {
            Path::Waiting(queue) => match queue.back_mut() {
                Some(Element::Watermark(last)) => *last = watermark,
                Some(Element::Batch(_) | Element::Idle | Element::Barrier(_) | Element::EndOfInput) | None => {
                    queue.push_back(Element::Watermark(watermark));
                }
            },
            Path::Local { gate, index } => gate.push(*index, Item::Watermark(watermark)),
            Path::Remote(remote) => remote.push(Outgoing::Watermark(watermark)),
            Path::Closed => {}
        }
    }

    /// Says that event time need not wait for this channel; it costs no credit.
    pub(super) fn idle(&self) {
        match &mut *self.lock() {
            Path::Waiting(queue) => queue.push_back(Element::Idle),
            Path::Local { gate, index } => gate.push(*index, Item::Idle),
            Path::Remote(remote) => remote.push(Outgoing::Idle),
            Path::Closed => {}
        }
    }

    /// Hands a barrier over; it costs no credit.
    pub(super) fn barrier(&self, barrier: &Arc<Barrier>) {
        let barrier = Arc::clone(barrier);
        match &mut *self.lock() {
            Path::Waiting(queue) => queue.push_back(Element::Barrier(barrier)),
            Path::Local { gate, index } => gate.push(*index, Item::Barrier(barrier)),
            Path::Remote(remote) => remote.push(Outgoing::Barrier(barrier)),
            Path::Closed => {}
        }
    }

    /// Hands the end of input over. What is still here stays until it has been taken.
    pub(super) fn end(&self) {
        match &mut *self.lock() {
            Path::Waiting(queue) => queue.push_back(Element::EndOfInput),
            Path::Local { gate, index } => gate.push(*index, Item::End),
            Path::Remote(remote) => remote.push(Outgoing::End),
            Path::Closed => {}
        }
        self.ended.store(true, Ordering::Release);
    }

    /// The consumer has come. Wakes the producer: what it waits for may have become room as it was counted anew.
    pub(super) fn bind(self: &Arc<Self>, consumer: Consumer) {
        self.bind_path(consumer);
        self.waker.wake();
    }

    fn bind_path(self: &Arc<Self>, consumer: Consumer) {
        let mut path = self.lock();
        let Path::Waiting(queue) = &mut *path else { return };
        let queue = std::mem::take(queue);
        match consumer {
            Consumer::Local { gate, index } => {
                self.account.resize(self.first_window, gate.window());
                gate.attach(index, Arc::clone(&self.account), self.waker.clone());
                for element in queue {
                    gate.push(index, Item::of(element));
                }
                *path = Path::Local { gate, index };
            }
            Consumer::Remote { link, channel, window } => {
                self.account.resize(self.first_window, window);
                if let Err(error) = link.add(channel, Arc::clone(self)) {
                    *path = Path::Closed;
                    drop(path);
                    self.fail(error);
                    return;
                }
                let window = Window::new(window);
                let mut remote = Remote { link, channel, queue: VecDeque::new(), window, scheduled: false };
                let encoded = queue.into_iter().try_for_each(|element| remote.push_element(self, element));
                *path = if encoded.is_ok() { Path::Remote(remote) } else { Path::Closed };
                drop(path);
                if let Err(error) = encoded {
                    self.fail(error);
                }
            }
        }
    }

    /// The next frame the window admits. For the writer, which holds this on its list.
    pub(super) fn take(&self) -> Option<Taken> {
        let mut path = self.lock();
        let Path::Remote(remote) = &mut *path else { return None };
        if !remote.is_sendable() {
            remote.scheduled = false;
            return None;
        }
        let outgoing = remote.queue.pop_front()?;
        let last = matches!(outgoing, Outgoing::End);
        let frame = match outgoing {
            Outgoing::Frame(frame) => {
                remote.window.sent(payload_bytes(&frame));
                frame
            }
            Outgoing::Watermark(watermark) => wire::watermark(remote.channel, watermark),
            Outgoing::Idle => wire::small(remote.channel, Kind::Idle, &[]),
            Outgoing::Barrier(barrier) => wire::barrier(remote.channel, &barrier),
            Outgoing::End => wire::small(remote.channel, Kind::End, &[]),
        };
        let more = remote.is_sendable();
        remote.scheduled = more;
        if last {
            *path = Path::Closed;
        }
        Some(Taken { frame, more, last })
    }

    /// The consumer gave credit back.
    pub(super) fn credit(self: &Arc<Self>, bytes: u64) {
        let mut path = self.lock();
        let Path::Remote(remote) = &mut *path else { return };
        let bytes = remote.window.returned(bytes);
        remote.schedule();
        drop(path);
        if self.account.release(bytes) {
            self.waker.wake();
        }
    }

    /// Nobody will read this any more, or nobody will write it.
    pub(super) fn close(&self) {
        *self.lock() = Path::Closed;
    }

    /// The connection is lost.
    pub(super) fn fail(&self, error: NetworkError) {
        self.close();
        if self.failure.set(error).is_ok() {
            self.waker.wake();
        }
    }

    fn remote_channel(&self) -> Option<u32> {
        match &*self.lock() {
            Path::Remote(remote) => Some(remote.channel),
            Path::Waiting(_) | Path::Local { .. } | Path::Closed => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Path> {
        self.path.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remote {
    fn push(&mut self, outgoing: Outgoing) {
        match (self.queue.back_mut(), outgoing) {
            (Some(Outgoing::Watermark(last)), Outgoing::Watermark(watermark)) => *last = watermark,
            (_, outgoing) => self.queue.push_back(outgoing),
        }
        self.schedule();
    }

    /// Puts the channel on the writer's list if there is something to write and it is not there.
    fn schedule(&mut self) {
        if !self.scheduled && self.is_sendable() {
            self.scheduled = true;
            self.link.schedule(self.channel);
        }
    }

    fn is_sendable(&self) -> bool {
        match self.queue.front() {
            Some(Outgoing::Frame(frame)) => self.window.admits(payload_bytes(frame)),
            Some(Outgoing::Watermark(_) | Outgoing::Idle | Outgoing::Barrier(_) | Outgoing::End) => true,
            None => false,
        }
    }

    fn push_element(&mut self, outlet: &Arc<Outlet>, element: Element) -> Result<(), NetworkError> {
        match element {
            Element::Batch(batch) => {
                let frame = wire::data(self.channel, &*batch)?;
                // It was charged as it lay in memory; from here on it counts as it is sent.
                outlet.account.charge(payload_bytes(&frame));
                // `bind` wakes the producer in any case.
                let _woken_by_bind = outlet.account.release(charge_of(&*batch));
                self.push(Outgoing::Frame(frame));
            }
            Element::Watermark(watermark) => self.push(Outgoing::Watermark(watermark)),
            Element::Idle => self.push(Outgoing::Idle),
            Element::Barrier(barrier) => self.push(Outgoing::Barrier(barrier)),
            Element::EndOfInput => self.push(Outgoing::End),
        }
        Ok(())
    }
}

/// What a batch costs that is not encoded.
pub(super) fn charge_of(batch: &dyn Batch) -> u64 {
    batch.bytes().max(1) as u64
}

/// What a frame costs.
fn payload_bytes(frame: &[u8]) -> u64 {
    (frame.len() - HEADER_BYTES) as u64
}
