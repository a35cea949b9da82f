//! One connection of a link after the handshake: reads and writes until something ends it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frame::{Connection, Frame, Reader, decode, put_end, put_heartbeat};
use super::outbox::Outbox;
use super::{LinkOptions, Refusal};
use crate::rpc::io_cause;

/// Unacknowledged received messages after which we acknowledge without waiting for the heartbeat.
const ACK_EVERY: u64 = 64;
/// How much is written at once.
const WRITE_BYTES: usize = 64 << 10;
/// How long the last words may take when we stop.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a connection ended.
pub(super) enum End {
    /// The network or the peer's process: the session may be resumed.
    Broken(String),
    /// Our own queue was full: the session is given up.
    Overflowed,
    /// One side ended the link for good.
    Ended(Refusal),
    /// We were told to stop.
    Stopped(Stop),
    /// Nobody takes our events any more.
    Unwanted,
}

/// Why we were told to stop.
pub(super) enum Stop {
    /// Our process ends. What is queued is still sent, then the farewell, if any.
    Shutdown(Option<Refusal>),
    /// A newer connection of the same session has taken over.
    Superseded,
}

/// What has been received in a session.
#[derive(Default)]
pub(super) struct Inbound {
    received: AtomicU64,
    acknowledged: AtomicU64,
}

impl Inbound {
    /// The number of the last message received; 0 = none.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// A fresh session: numbers from 1.
    pub(super) fn restart(&self) {
        self.received.store(0, Ordering::Relaxed);
        self.acknowledged.store(0, Ordering::Relaxed);
    }

    /// The number of the last message received, which is about to be sent.
    fn acknowledge(&self) -> u64 {
        let received = self.received();
        self.acknowledged.store(received, Ordering::Relaxed);
        received
    }

    fn wants_acknowledgement(&self) -> bool {
        self.received() - self.acknowledged.load(Ordering::Relaxed) >= ACK_EVERY
    }
}

/// A session as its connection sees it.
pub(super) struct Ends<'a> {
    pub(super) outbox: &'a Outbox,
    pub(super) inbound: &'a Inbound,
    pub(super) options: &'a LinkOptions,
}

/// Moves messages both ways until the connection ends. Both directions run in the calling task.
pub(super) async fn pump<T, M, E>(
    connection: &mut Connection<T>,
    ends: Ends<'_>,
    events: &mpsc::Sender<E>,
    event_of: impl Fn(M) -> E,
    stop: impl Future<Output = Stop>,
) -> End
where
    T: AsyncRead + AsyncWrite,
    M: DeserializeOwned,
{
    let Connection { reader, writer } = connection;
    let mut unwritten = BytesMut::new();
    // A direction that waits must not hold up the other one: two peers that both only write would wait for ever.
    let end = tokio::select! {
        biased;
        stop = stop => End::Stopped(stop),
        end = read(reader, &ends, events, event_of) => end,
        end = write(writer, &mut unwritten, &ends) => end,
    };
    let last_words = match &end {
        End::Stopped(Stop::Shutdown(farewell)) => {
            ends.outbox.take_frames(ends.inbound.acknowledge(), &mut unwritten, usize::MAX);
            farewell.as_ref()
        }
        End::Ended(refusal) if refusal.code == Refusal::MALFORMED => Some(refusal),
        End::Broken(_) | End::Overflowed | End::Ended(_) | End::Unwanted | End::Stopped(Stop::Superseded) => {
            return end;
        }
    };
    if let Some(refusal) = last_words {
        put_end(&mut unwritten, ends.inbound.acknowledge(), refusal);
    }
    // Nobody is left to tell if this fails.
    let _ = timeout(FAREWELL, async {
        write_out(writer, &mut unwritten).await?;
        writer.shutdown().await
    })
    .await;
    end
}

async fn read<T, M, E>(
    reader: &mut Reader<T>,
    ends: &Ends<'_>,
    events: &mpsc::Sender<E>,
    event_of: impl Fn(M) -> E,
) -> End
where
    T: AsyncRead + AsyncWrite,
    M: DeserializeOwned,
{
    let frozen_after = ends.options.frozen_after;
    loop {
        let bytes = match timeout(frozen_after, reader.next()).await {
            Ok(Some(Ok(bytes))) => bytes,
            Ok(Some(Err(error))) => return End::Broken(io_cause(&error)),
            Ok(None) => return End::Broken("connection closed by peer".to_owned()),
            Err(_) => return End::Broken(format!("peer silent for {frozen_after:?}")),
        };
        let frame: Frame<M> = match decode(&bytes, "message") {
            Ok(frame) => frame,
            Err(refusal) => return End::Ended(refusal),
        };
        if !ends.outbox.acknowledge(frame.ack) {
            let complaint = format!("message {} acknowledged, which was never sent", frame.ack);
            return End::Ended(Refusal::new(Refusal::MALFORMED, complaint));
        }
        if let Some(refusal) = frame.end {
            return End::Ended(refusal);
        }
        let Some((seq, message)) = frame.message else {
            continue;
        };
        let received = ends.inbound.received();
        if seq <= received {
            continue; // Sent again after a reconnect; we had it.
        }
        if seq != received + 1 {
            return End::Broken(format!("message {seq} after {received}"));
        }
        // Counted as received and delivered in one step, without a point where this future can be dropped between.
        let Ok(permit) = events.reserve().await else {
            return End::Unwanted;
        };
        permit.send(event_of(message));
        ends.inbound.received.store(seq, Ordering::Relaxed);
        if ends.inbound.wants_acknowledgement() {
            ends.outbox.changed.notify_one();
        }
    }
}

async fn write<T: AsyncWrite>(writer: &mut WriteHalf<T>, unwritten: &mut BytesMut, ends: &Ends<'_>) -> End {
    let Ends { outbox, inbound, options } = ends;
    loop {
        if outbox.overflowed() {
            return End::Overflowed;
        }
        // Read before the queue: what is queued before the close must leave before it.
        let closing = outbox.closing();
        outbox.take_frames(inbound.received(), unwritten, WRITE_BYTES);
        if unwritten.has_remaining() {
            inbound.acknowledge();
        } else if let Some(refusal) = closing {
            put_end(unwritten, inbound.acknowledge(), &refusal);
            return match write_out(writer, unwritten).await {
                Ok(()) => End::Ended(refusal),
                Err(error) => End::Broken(io_cause(&error)),
            };
        } else if inbound.wants_acknowledgement()
            || timeout(options.heartbeat, outbox.changed.notified()).await.is_err()
        {
            put_heartbeat(unwritten, inbound.acknowledge());
        }
        if let Err(error) = write_out(writer, unwritten).await {
            return End::Broken(io_cause(&error));
        }
    }
}

/// Cancel-safe: what has been written is gone from `unwritten`.
async fn write_out<T: AsyncWrite>(writer: &mut WriteHalf<T>, unwritten: &mut BytesMut) -> std::io::Result<()> {
    while unwritten.has_remaining() {
        writer.write_buf(unwritten).await?;
    }
    writer.flush().await
}
