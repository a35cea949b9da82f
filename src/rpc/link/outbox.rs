//! What one side has to send: the queue of unacknowledged messages, some of them on their way.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use serde::Serialize;
use tokio::sync::Notify;

use super::frame::{MESSAGE_BYTES_MAX, put_message};
use super::{LinkOptions, Refusal};
use crate::rpc::ErrorKind;

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The queue is full: the peer has acknowledged nothing for long. The session is given up; when the link opens again it
    /// says `resumed: false` and takes messages again.
    #[error("the link's queue is full: the peer does not keep up")]
    Full,
    /// The link has ended for good.
    #[error("the link has ended: {0}")]
    Closed(Refusal),
    /// The message is no JSON or above 16 MiB.
    #[error("the message cannot be sent: {0}")]
    Unsendable(String),
}

impl LinkError {
    /// What the sender can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Full => ErrorKind::Transient,
            Self::Closed(_) => ErrorKind::Fenced,
            Self::Unsendable(_) => ErrorKind::Permanent,
        }
    }
}

/// The sending side of a link. Cheap to clone; all clones send into the same order.
pub struct LinkSender<Out> {
    outbox: Arc<Outbox>,
    messages: PhantomData<fn(Out)>,
}

impl<Out> LinkSender<Out> {
    pub(super) fn new(outbox: Arc<Outbox>) -> Self {
        Self { outbox, messages: PhantomData }
    }

    /// Ends the link after what is queued has been sent; the peer is told why. Never blocks. Sending is refused from now on.
    pub fn close(&self, refusal: Refusal) {
        self.outbox.close(refusal);
    }

    /// How many messages wait to be sent or acknowledged; a gauge.
    pub fn queue_len(&self) -> usize {
        self.outbox.lock().queue.len()
    }
}

impl<Out: Serialize> LinkSender<Out> {
    /// Queues `message`. Never blocks; order is the order of calls. It leaves at once if the link is connected, else after the
    /// reconnect if the session is resumed, else never.
    ///
    /// # Errors
    /// [`LinkError::Full`] when [`LinkOptions::queue_len_max`] or [`LinkOptions::queue_bytes_max`] is reached.
    pub fn send(&self, message: Out) -> Result<(), LinkError> {
        let json = serde_json::to_vec(&message).map_err(|error| LinkError::Unsendable(error.to_string()))?;
        self.outbox.push(json.into_boxed_slice())
    }
}

impl<Out> Clone for LinkSender<Out> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.outbox))
    }
}

impl<Out> fmt::Debug for LinkSender<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkSender").field("queue_len", &self.queue_len()).finish_non_exhaustive()
    }
}

/// Shared by the senders of a link and the task of its present connection.
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Something changed that the connection's writer must look at. Keeps one permit, so no change is missed.
    pub(super) changed: Notify,
    queue_len_max: usize,
    queue_bytes_max: usize,
}

struct State {
    /// Unacknowledged messages; the first one has number `first_seq`.
    queue: VecDeque<Box<[u8]>>,
    bytes: usize,
    first_seq: u64,
    /// The next one to write to the present connection.
    cursor: u64,
    life: Life,
}

enum Life {
    Open,
    /// The queue was full. Everything is refused until a fresh session begins.
    Overflowed,
    /// To be told to the peer after the queue.
    Closing(Refusal),
    Ended(Refusal),
}

impl State {
    fn next_seq(&self) -> u64 {
        self.first_seq + self.queue.len() as u64
    }

    fn clear(&mut self) {
        self.queue = VecDeque::new();
        self.bytes = 0;
        self.first_seq = 1;
        self.cursor = 1;
    }
}

impl Outbox {
    pub(super) fn new(options: &LinkOptions) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { queue: VecDeque::new(), bytes: 0, first_seq: 1, cursor: 1, life: Life::Open }),
            changed: Notify::new(),
            queue_len_max: options.queue_len_max,
            queue_bytes_max: options.queue_bytes_max,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under this lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, message: Box<[u8]>) -> Result<(), LinkError> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(LinkError::Unsendable(format!("{} bytes are above the limit of 16 MiB", message.len())));
        }
        let mut state = self.lock();
        match &state.life {
            Life::Open => {}
            Life::Overflowed => return Err(LinkError::Full),
            Life::Closing(refusal) | Life::Ended(refusal) => {
                return Err(LinkError::Closed(refusal.clone()));
            }
        }
        let full =
            state.queue.len() >= self.queue_len_max || state.bytes.saturating_add(message.len()) > self.queue_bytes_max;
        if full {
            state.clear();
            state.life = Life::Overflowed;
        } else {
            state.bytes += message.len();
            state.queue.push_back(message);
        }
        drop(state);
        self.changed.notify_one();
        if full { Err(LinkError::Full) } else { Ok(()) }
    }

    /// The peer has everything up to `seq`. False if that was never sent.
    pub(super) fn acknowledge(&self, seq: u64) -> bool {
        let mut state = self.lock();
        if matches!(state.life, Life::Overflowed) {
            return true; // What it acknowledges has been given up.
        }
        if seq >= state.next_seq() {
            return false;
        }
        while state.first_seq <= seq {
            let message = state.queue.pop_front().expect("seq is below next_seq");
            state.bytes -= message.len();
            state.first_seq += 1;
        }
        state.cursor = state.cursor.max(state.first_seq);
        true
    }

    /// A new connection of the same session: the peer has everything up to `seq`, the rest is sent again. False if
    /// what it lacks is gone.
    pub(super) fn resume_from(&self, seq: u64) -> bool {
        let possible = seq + 1 >= self.lock().first_seq && !self.overflowed() && self.acknowledge(seq);
        if possible {
            let mut state = self.lock();
            state.cursor = state.first_seq;
        }
        possible
    }

    /// A fresh session: drops everything and numbers from 1.
    pub(super) fn restart(&self) {
        let mut state = self.lock();
        state.clear();
        if matches!(state.life, Life::Overflowed) {
            state.life = Life::Open;
        }
    }

    /// Appends frames of messages not yet written, up to about `bytes_max`.
    pub(super) fn take_frames(&self, ack: u64, out: &mut BytesMut, bytes_max: usize) {
        let mut state = self.lock();
        while state.cursor < state.next_seq() && out.len() < bytes_max {
            let index = usize::try_from(state.cursor - state.first_seq).expect("cursor is within the queue");
            put_message(out, ack, state.cursor, &state.queue[index]);
            state.cursor += 1;
        }
    }

    /// Whether the session has been given up because the queue was full.
    pub(super) fn overflowed(&self) -> bool {
        matches!(self.lock().life, Life::Overflowed)
    }

    /// Why the link is to be closed.
    pub(super) fn closing(&self) -> Option<Refusal> {
        match &self.lock().life {
            Life::Closing(refusal) => Some(refusal.clone()),
            Life::Open | Life::Overflowed | Life::Ended(_) => None,
        }
    }

    fn close(&self, refusal: Refusal) {
        let mut state = self.lock();
        if !matches!(state.life, Life::Ended(_)) {
            state.life = Life::Closing(refusal);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Nothing will be sent any more.
    pub(super) fn end(&self, refusal: Refusal) {
        let mut state = self.lock();
        state.clear();
        if !matches!(state.life, Life::Ended(_)) {
            state.life = Life::Ended(refusal);
        }
    }
}
