//! The consumer's end: the queues of a gate's channels, and the gate that its subtask polls.
//!
//! One lock guards all queues of a gate. It is taken once per batch by each side, for a few lines; batches are decoded outside.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::NetworkError;
use super::credit::{Account, Returns, window_of};
use super::outlet::charge_of;
use super::upstream::Upstream;
use crate::engine::record::{Barrier, Batch, BatchType, Element, Waker};
use crate::time::EventTime;

/// What lies in a channel's queue.
pub(super) enum Item {
    /// From a producer in this process, charged by this much.
    Batch { batch: Box<dyn Batch>, charge: u64 },
    /// The payload of a data frame.
    Frame(Vec<u8>),
    /// Consecutive ones merge.
    Watermark(EventTime),
    /// Event time does not wait for the channel until something else comes.
    Idle,
    /// A checkpoint's.
    Barrier(Arc<Barrier>),
    /// Nothing comes behind this.
    End,
}

impl Item {
    /// What a local producer kept until its consumer came.
    pub(super) fn of(element: Element) -> Self {
        match element {
            Element::Batch(batch) => Self::Batch { charge: charge_of(&*batch), batch },
            Element::Watermark(watermark) => Self::Watermark(watermark),
            Element::Idle => Self::Idle,
            Element::Barrier(barrier) => Self::Barrier(barrier),
            Element::EndOfInput => Self::End,
        }
    }
}

/// The part of a gate that producers and connections write to.
pub(super) struct Gate {
    window: u64,
    waker: Waker,
    state: Mutex<State>,
}

struct State {
    channels: Vec<Queue>,
    /// Channels with something in them that are not blocked, the next one to serve first.
    ready: VecDeque<u32>,
    failure: Option<NetworkError>,
    /// The subtask is gone: what comes is dropped.
    closed: bool,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// What comes waits until the barrier has come on the other channels.
    blocked: bool,
    /// A local producer's account and how to wake it.
    producer: Option<(Arc<Account>, Waker)>,
}

struct Popped {
    index: u32,
    item: Item,
    /// A producer that waited for room.
    wake: Option<Waker>,
}

impl Gate {
    pub(super) fn new(channels: usize, waker: Waker) -> Self {
        let state = State {
            channels: (0..channels).map(|_| Queue::default()).collect(),
            ready: VecDeque::with_capacity(channels),
            failure: None,
            closed: false,
        };
        Self { window: window_of(channels), waker, state: Mutex::new(state) }
    }

    /// The window of each of its channels.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// A producer in this process: whom to tell when its batches have been taken.
    pub(super) fn attach(&self, index: u32, account: Arc<Account>, waker: Waker) {
        // None: the subtask is gone; its producer finds no room until it is cancelled too.
        if let Some(queue) = self.lock().channels.get_mut(index as usize) {
            queue.producer = Some((account, waker));
        }
    }

    /// Puts an item behind all others of channel `index`.
    pub(super) fn push(&self, index: u32, item: Item) {
        let mut state = self.lock();
        let State { channels, ready, failure: _, closed } = &mut *state;
        if *closed {
            return;
        }
        let Queue { items, blocked, .. } = &mut channels[index as usize];
        match (items.back_mut(), item) {
            (Some(Item::Watermark(last)), Item::Watermark(watermark)) => *last = watermark,
            (Some(_), item) => items.push_back(item),
            (None, item) if *blocked => items.push_back(item),
            (None, item) => {
                items.push_back(item);
                ready.push_back(index);
                let was_empty = ready.len() == 1;
                drop(state);
                if was_empty {
                    self.waker.wake();
                }
            }
        }
    }

    /// The connection of one of the channels is lost.
    pub(super) fn fail(&self, error: NetworkError) {
        self.lock().failure.get_or_insert(error);
        self.waker.wake();
    }

    fn pop(&self) -> Result<Option<Popped>, NetworkError> {
        let mut state = self.lock();
        if let Some(error) = &state.failure {
            return Err(error.clone());
        }
        let Some(index) = state.ready.pop_front() else { return Ok(None) };
        let queue = &mut state.channels[index as usize];
        let item = queue.items.pop_front().expect("a channel on the ready list has an item");
        let wake = match (&item, &queue.producer) {
            (Item::Batch { charge, .. }, Some((account, waker))) => account.release(*charge).then(|| waker.clone()),
            (
                Item::Batch { .. } | Item::Frame(_) | Item::Watermark(_) | Item::Idle | Item::Barrier(_) | Item::End,
                _,
            ) => None,
        };
        if !queue.items.is_empty() {
            state.ready.push_back(index);
        }
        Ok(Some(Popped { index, item, wake }))
    }

    /// Serves this channel no more until [`Gate::unblock`]. What lies in it still counts against its producer's credit.
    fn block(&self, index: u32) {
        let mut state = self.lock();
        let State { channels, ready, .. } = &mut *state;
        if let Some(queue) = channels.get_mut(index as usize) {
            queue.blocked = true;
            ready.retain(|channel| *channel != index);
        }
    }

    /// Serves all channels again.
    fn unblock(&self) {
        let mut state = self.lock();
        let State { channels, ready, .. } = &mut *state;
        for (index, queue) in (0..).zip(channels) {
            if std::mem::take(&mut queue.blocked) && !queue.items.is_empty() {
                ready.push_back(index);
            }
        }
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let queues = std::mem::take(&mut state.channels);
        drop(state);
        drop(queues);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a channel comes from.
pub(super) enum Origin {
    /// This process.
    Local,
    /// Behind a connection.
    Remote { link: Arc<Upstream>, channel: u32, returns: Returns },
}

/// The input of a subtask from one edge. Owned and polled by the subtask's thread. Flink's `InputGate`.
///
/// Channels that have something are served in turn, one element each. Batches of other processes are decoded here, on the
/// thread that works on them. Dropping it closes its channels.
pub struct InputGate {
    gate: Arc<Gate>,
    batch_type: Arc<dyn BatchType>,
    origins: Vec<Origin>,
    open_channels: usize,
    records_in: u64,
    bytes_in: u64,
}

impl InputGate {
    pub(super) fn new(gate: Arc<Gate>, batch_type: Arc<dyn BatchType>, origins: Vec<Origin>) -> Self {
        let open_channels = origins.len();
        Self { gate, batch_type, origins, open_channels, records_in: 0, bytes_in: 0 }
    }

    /// The next element and the index of its channel (its producer's position in the deployment); none: the waker will be
    /// called when there is one.
    ///
    /// Taking an element gives its credit back.
    ///
    /// # Errors
    /// [`NetworkError::PeerLost`] at once when a channel's connection broke before its end, and whatever else is wrong with what
    /// comes in. The gate is of no use then.
    pub fn poll(&mut self) -> Result<Option<(usize, Element)>, NetworkError> {
        let Some(Popped { index, item, wake }) = self.gate.pop()? else { return Ok(None) };
        if let Some(waker) = wake {
            waker.wake();
        }
        let element = match item {
            Item::Batch { batch, charge } => {
                self.bytes_in += charge;
                Element::Batch(batch)
            }
            Item::Frame(payload) => Element::Batch(self.decode(index, &payload)?),
            Item::Watermark(watermark) => Element::Watermark(watermark),
            Item::Idle => Element::Idle,
            Item::Barrier(barrier) => Element::Barrier(barrier),
            Item::End => {
                self.open_channels -= 1;
                Element::EndOfInput
            }
        };
        if let Element::Batch(batch) = &element {
            self.records_in += batch.len() as u64;
        }
        Ok(Some((index as usize, element)))
    }

    fn decode(&mut self, index: u32, payload: &[u8]) -> Result<Box<dyn Batch>, NetworkError> {
        let bytes = payload.len() as u64;
        self.bytes_in += bytes;
        if let Origin::Remote { link, channel, returns } = &mut self.origins[index as usize]
            && let Some(credit) = returns.taken(bytes)
        {
            link.credit(*channel, credit);
        }
        Ok(self.batch_type.decode(payload)?)
    }

    /// Gives nothing of this channel until [`InputGate::unblock`]: its barrier has come before that of others.
    pub fn block(&mut self, channel: usize) {
        self.gate.block(channel as u32);
    }

    /// Gives of every channel again.
    pub fn unblock(&mut self) {
        self.gate.unblock();
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.origins.len()
    }

    /// Whether every channel has ended.
    pub fn is_finished(&self) -> bool {
        self.open_channels == 0
    }

    /// Records taken.
    pub fn records_in(&self) -> u64 {
        self.records_in
    }

    /// Bytes taken: frames as they came, local batches as they lay in memory.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }
}

impl Drop for InputGate {
    fn drop(&mut self) {
        self.gate.close();
        for origin in &self.origins {
            if let Origin::Remote { link, channel, .. } = origin {
                link.close(*channel);
            }
        }
    }
}

impl std::fmt::Debug for InputGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { origins, open_channels, records_in, bytes_in, .. } = self;
        write!(
            f,
            "InputGate({open_channels} of {} channels open, {records_in} records, {bytes_in} bytes)",
            origins.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::{Rows, RowsType};
    use crate::ids::CheckpointId;

    fn gate(channels: usize) -> (Arc<Gate>, InputGate) {
        let gate = Arc::new(Gate::new(channels, Waker::new(|| {})));
        let origins = (0..channels).map(|_| Origin::Local).collect();
        (Arc::clone(&gate), InputGate::new(gate, Arc::new(RowsType::<u32>::new()), origins))
    }

    fn batch(record: u32) -> Item {
        Item::of(Element::Batch(Box::new(Rows::new(vec![record]))))
    }

    fn drain(gate: &mut InputGate) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some((channel, element)) = gate.poll().unwrap() {
            seen.push(match element {
                Element::Batch(batch) => format!("{channel}:{}", Rows::<u32>::of(batch).0[0]),
                Element::Watermark(watermark) => format!("{channel}:w{watermark}"),
                Element::Idle => format!("{channel}:idle"),
                Element::Barrier(barrier) => format!("{channel}:b{}", barrier.checkpoint),
                Element::EndOfInput => format!("{channel}:end"),
            });
        }
        seen
    }

    #[test]
    fn channels_are_served_in_turn_and_in_order() {
        let (shared, mut gate) = gate(3);
        for record in [1, 2, 3] {
            shared.push(0, batch(record));
        }
        shared.push(2, batch(9));
        shared.push(2, Item::End);
        assert_eq!(drain(&mut gate), ["0:1", "2:9", "0:2", "2:end", "0:3"]);
        assert!(!gate.is_finished());
        shared.push(0, Item::End);
        shared.push(1, Item::End);
        drain(&mut gate);
        assert!(gate.is_finished());
        assert_eq!(gate.records_in(), 4);
    }

    #[test]
    fn consecutive_watermarks_merge_but_do_not_pass_records() {
        let (shared, mut gate) = gate(1);
        for item in
            [Item::Watermark(EventTime(1)), Item::Watermark(EventTime(2)), batch(7), Item::Watermark(EventTime(3))]
        {
            shared.push(0, item);
        }
        assert_eq!(drain(&mut gate), ["0:w2", "0:7", "0:w3"]);
    }

    #[test]
    fn a_blocked_channel_waits_and_then_goes_on_where_it_was() {
        let (shared, mut gate) = gate(2);
        let barrier = Arc::new(Barrier { checkpoint: CheckpointId(7), ..Barrier::default() });
        for (channel, item) in [(0, batch(1)), (0, Item::Barrier(Arc::clone(&barrier))), (0, batch(2)), (1, batch(3))] {
            shared.push(channel, item);
        }
        assert_eq!(gate.poll().unwrap().map(|next| next.0), Some(0));
        assert_eq!(gate.poll().unwrap().map(|next| next.0), Some(1));
        assert!(matches!(gate.poll(), Ok(Some((0, Element::Barrier(_))))));
        gate.block(0);
        shared.push(1, Item::Barrier(barrier));
        shared.push(1, batch(4));
        assert_eq!(drain(&mut gate), ["1:b7", "1:4"]);
        shared.push(0, batch(5));
        gate.block(1);
        shared.push(1, batch(6));
        assert!(drain(&mut gate).is_empty());
        gate.unblock();
        assert_eq!(drain(&mut gate), ["0:2", "1:6", "0:5"]);
    }

    #[test]
    fn an_empty_gate_is_finished() {
        assert!(gate(0).1.is_finished());
    }

    #[test]
    fn a_corrupt_frame_is_an_error() {
        let (shared, mut gate) = gate(1);
        shared.push(0, Item::Frame(vec![0xff; 3]));
        assert!(matches!(gate.poll(), Err(NetworkError::Codec(_))));
    }
}
