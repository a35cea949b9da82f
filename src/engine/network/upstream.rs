//! The consumer's side of a connection: reads what one producing worker sends.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::Notify;

use super::NetworkError;
use super::gate::{Gate, Item};
use super::registry::ChannelKey;
use super::wire::{self, Frame, Kind, Open, malformed};
use crate::ids::WorkerId;
use crate::rpc::io_cause;
use crate::time::EventTime;

/// Small frames and headers are read through this much; a larger payload goes past it.
const READ_BYTES: usize = 64 * 1024;

/// A connection to a producing worker, made or in the making.
pub(super) struct Upstream {
    peer: WorkerId,
    address: String,
    state: Mutex<State>,
    /// Signalled when there is something to write.
    work: Notify,
}

#[derive(Default)]
struct State {
    channels: BTreeMap<u32, (Arc<Gate>, u32)>,
    next_channel: u32,
    /// Frames to write. Bounded: a channel has one `Open`, one `Close`, and a `Credit` per quarter of a window taken.
    outgoing: Vec<u8>,
    broken: Option<NetworkError>,
}

impl Upstream {
    pub(super) fn new(peer: WorkerId, address: String) -> Arc<Self> {
        Arc::new(Self { peer, address, state: Mutex::default(), work: Notify::new() })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn peer(&self) -> &WorkerId {
        &self.peer
    }

    /// Whether nothing more can come over it.
    pub(super) fn is_broken(&self) -> bool {
        self.lock().broken.is_some()
    }

    /// Opens a channel into `gate`; the connection may still be in the making.
    pub(super) fn open(&self, key: ChannelKey, gate: &Arc<Gate>, index: u32) -> Result<u32, NetworkError> {
        let mut state = self.lock();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        let channel = state.next_channel;
        state.next_channel += 1;
        state.channels.insert(channel, (Arc::clone(gate), index));
        let open = Open { key, window: gate.window() };
        let payload = postcard::to_stdvec(&open).expect("ids and numbers can be written");
        state.outgoing.extend_from_slice(&wire::small(channel, Kind::Open, &payload));
        drop(state);
        self.work.notify_one();
        Ok(channel)
    }

    /// Gives credit back.
    pub(super) fn credit(&self, channel: u32, bytes: u64) {
        let mut state = self.lock();
        if state.channels.contains_key(&channel) {
            state.outgoing.extend_from_slice(&wire::small(channel, Kind::Credit, &bytes.to_le_bytes()));
            drop(state);
            self.work.notify_one();
        }
    }

    /// The consumer is gone. Nothing to say when the channel has ended.
    pub(super) fn close(&self, channel: u32) {
        let mut state = self.lock();
        if state.channels.remove(&channel).is_some() {
            state.outgoing.extend_from_slice(&wire::small(channel, Kind::Close, &[]));
            drop(state);
            self.work.notify_one();
        }
    }

    /// Reads until the producer's worker closes the connection or it breaks.
    pub(super) async fn serve(&self, reader: impl AsyncRead + Unpin, writer: impl AsyncWrite + Unpin) -> NetworkError {
        let error = tokio::select! {
            Err(error) = self.write(writer) => error,
            read = self.read(reader) => match read {
                Ok(()) => io::Error::new(io::ErrorKind::UnexpectedEof, "the worker closed the connection"),
                Err(error) => error,
            },
        };
        self.lost(&error)
    }

    /// The connection broke or could not be made, for this cause.
    pub(super) fn lost(&self, error: &io::Error) -> NetworkError {
        NetworkError::PeerLost { peer: self.peer.clone(), address: self.address.clone(), cause: io_cause(error) }
    }

    /// Tells every gate with an open channel here.
    pub(super) fn fail(&self, error: &NetworkError) {
        let mut state = self.lock();
        state.broken.get_or_insert_with(|| error.clone());
        state.outgoing = Vec::new();
        let channels = std::mem::take(&mut state.channels);
        drop(state);
        for (gate, _) in channels.into_values() {
            gate.fail(error.clone());
        }
    }

    async fn write(&self, mut writer: impl AsyncWrite + Unpin) -> io::Result<()> {
        loop {
            let outgoing = std::mem::take(&mut self.lock().outgoing);
            if outgoing.is_empty() {
                self.work.notified().await;
                continue;
            }
            writer.write_all(&outgoing).await?;
            writer.flush().await?; // An encrypted stream may keep its last record back.
        }
    }

    async fn read(&self, reader: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(READ_BYTES, reader);
        while let Some(frame) = wire::read(&mut reader).await? {
            self.deliver(frame)?;
        }
        Ok(())
    }

    fn deliver(&self, frame: Frame) -> io::Result<()> {
        let (channel, ends) = (frame.channel, frame.kind == Kind::End);
        let item = match frame.kind {
            Kind::Data => Item::Frame(frame.payload),
            Kind::Watermark => Item::Watermark(EventTime(frame.number()?.cast_signed())),
            Kind::Idle => Item::Idle,
            Kind::Barrier => Item::Barrier(Arc::new(frame.barrier()?)),
            Kind::End => Item::End,
            Kind::Open | Kind::Credit | Kind::Close => return Err(malformed("a request against its direction")),
        };
        let mut state = self.lock();
        let target = if ends { state.channels.remove(&channel) } else { state.channels.get(&channel).cloned() };
        drop(state);
        // None: the consumer has closed it, and the producer does not know yet.
        if let Some((gate, index)) = target {
            gate.push(index, item);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
