//! The producer's side of a connection: serves one consuming worker.
//!
//! ```text
//! Open ─► registry ─► outlet bound ─schedule─► ready list ─► writer: one frame a channel in turn, many frames a write
//! Credit ─► outlet's window ─schedule─┘
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::Notify;

use super::NetworkError;
use super::outlet::Outlet;
use super::registry::{Consumer, Registry};
use super::wire::{self, Kind, Open, malformed};
use crate::ids::WorkerId;
use crate::rpc::io_cause;

/// Bytes gathered for one write: enough that its system call costs little beside the copy.
const WRITE_BYTES: usize = 256 * 1024;
/// Frames gathered for one write.
const WRITE_FRAMES: usize = 64;

/// A connection to a consuming worker.
pub(super) struct Downstream {
    peer: WorkerId,
    address: String,
    state: Mutex<State>,
    /// Signalled when the ready list becomes non-empty.
    work: Notify,
}

#[derive(Default)]
struct State {
    outlets: BTreeMap<u32, Arc<Outlet>>,
    /// Channels with a frame that may go. Each at most once, so it is bounded by their number.
    ready: VecDeque<u32>,
    broken: Option<NetworkError>,
}

impl Downstream {
    pub(super) fn new(peer: WorkerId, address: String) -> Arc<Self> {
        Arc::new(Self { peer, address, state: Mutex::default(), work: Notify::new() })
    }

    /// A producer's end meets its consumer here.
    pub(super) fn add(&self, channel: u32, outlet: Arc<Outlet>) -> Result<(), NetworkError> {
        let mut state = self.lock();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        state.outlets.insert(channel, outlet);
        Ok(())
    }

    /// `channel` has a frame that may go.
    pub(super) fn schedule(&self, channel: u32) {
        self.lock().ready.push_back(channel);
        self.work.notify_one();
    }

    /// Serves until the consumer's worker closes the connection or it breaks.
    pub(super) async fn serve(
        self: &Arc<Self>,
        reader: impl AsyncRead + Unpin,
        writer: impl AsyncWrite + Unpin,
        registry: &Registry,
    ) -> NetworkError {
        let error = tokio::select! {
            Err(error) = self.write(writer) => error,
            read = self.read(reader, registry) => match read {
                Ok(()) => io::Error::new(io::ErrorKind::UnexpectedEof, "the worker closed the connection"),
                Err(error) => error,
            },
        };
        let error =
            NetworkError::PeerLost { peer: self.peer.clone(), address: self.address.clone(), cause: io_cause(&error) };
        self.fail(&error, registry);
        error
    }

    /// Everything on this connection is lost.
    pub(super) fn fail(self: &Arc<Self>, error: &NetworkError, registry: &Registry) {
        let mut state = self.lock();
        state.broken.get_or_insert_with(|| error.clone());
        state.ready.clear();
        let outlets = std::mem::take(&mut state.outlets);
        drop(state);
        for outlet in outlets.into_values() {
            outlet.fail(error.clone());
        }
        registry.drop_link(self);
    }

    async fn write(&self, mut writer: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut frames = Vec::with_capacity(WRITE_FRAMES);
        loop {
            self.gather(&mut frames);
            if frames.is_empty() {
                self.work.notified().await;
                continue;
            }
            write_all(&mut writer, &frames).await?;
            writer.flush().await?; // An encrypted stream may keep its last record back.
            frames.clear();
        }
    }

    /// Takes frames from the ready channels in turn.
    fn gather(&self, frames: &mut Vec<Vec<u8>>) {
        let mut bytes = 0;
        while bytes < WRITE_BYTES && frames.len() < WRITE_FRAMES {
            let Some((channel, outlet)) = self.next_ready() else { break };
            let Some(taken) = outlet.and_then(|outlet| outlet.take()) else { continue };
            bytes += taken.frame.len();
            frames.push(taken.frame);
            if taken.last {
                self.lock().outlets.remove(&channel);
            } else if taken.more {
                self.lock().ready.push_back(channel);
            }
        }
    }

    fn next_ready(&self) -> Option<(u32, Option<Arc<Outlet>>)> {
        let mut state = self.lock();
        let channel = state.ready.pop_front()?;
        Some((channel, state.outlets.get(&channel).cloned()))
    }

    async fn read(self: &Arc<Self>, reader: impl AsyncRead + Unpin, registry: &Registry) -> io::Result<()> {
        let mut reader = BufReader::new(reader);
        while let Some(frame) = wire::read(&mut reader).await? {
            match frame.kind {
                Kind::Open => {
                    let open: Open = postcard::from_bytes(&frame.payload).map_err(|_| malformed("no channel"))?;
                    let Open { key, window } = open;
                    let consumer = Consumer::Remote { link: Arc::clone(self), channel: frame.channel, window };
                    registry.add_consumer(key, consumer).map_err(|error| malformed(&error.to_string()))?;
                }
                Kind::Credit => {
                    let outlet = self.lock().outlets.get(&frame.channel).cloned();
                    // None: all of it was sent, and the consumer is still taking.
                    if let Some(outlet) = outlet {
                        outlet.credit(frame.number()?);
                    }
                }
                Kind::Close => {
                    let outlet = self.lock().outlets.remove(&frame.channel);
                    match outlet {
                        Some(outlet) => outlet.close(),
                        None => registry.close(self, frame.channel),
                    }
                }
                Kind::Data | Kind::Watermark | Kind::Barrier | Kind::End | Kind::Idle => {
                    return Err(malformed("data against its direction"));
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all frames with as few system calls as the socket allows.
async fn write_all(writer: &mut (impl AsyncWrite + Unpin), frames: &[Vec<u8>]) -> io::Result<()> {
    let mut slices: Vec<io::IoSlice<'_>> = frames.iter().map(|frame| io::IoSlice::new(frame)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        let written = writer.write_vectored(rest).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        io::IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}
