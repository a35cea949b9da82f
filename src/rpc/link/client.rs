//! The side of a link that opens it and comes back when it breaks.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::connect::connect;
use super::frame::{Connection, Opening, Reply, decode, encode};
use super::outbox::{LinkSender, Outbox};
use super::pump::{End, Ends, Inbound, Stop, pump};
use super::{LinkOptions, LinkTarget, PROTOCOL_VERSION, Refusal};
use crate::rpc::io_cause;
use crate::time::Stopwatch;

/// What happens on a link, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent<W, In> {
    /// Connected, and the server has answered the hello.
    Opened {
        /// The server's answer.
        welcome: W,
        /// Whether the server still knew this link, so that nothing was lost. If not, and this is not the first time, all that was
        /// unacknowledged is dropped.
        resumed: bool,
    },
    /// A message of the server.
    Message(In),
    /// The connection is broken; the link goes on trying. Also said, once, when the first attempt to connect fails.
    Broken {
        /// For people.
        cause: String,
    },
    /// The link has ended for good: refused or closed by the server, or [`LinkOptions::give_up_after`] has passed. The last event.
    Refused(Refusal),
}

/// The receiving side of a link. Dropping it closes the link.
pub struct LinkReceiver<H, W, In> {
    events: mpsc::Receiver<LinkEvent<W, In>>,
    hello: Arc<Hello<H>>,
}

impl<H: Serialize, W, In> LinkReceiver<H, W, In> {
    /// The next event; `None` after the last one ([`LinkEvent::Refused`] or cancellation). Cancel-safe.
    pub async fn next(&mut self) -> Option<LinkEvent<W, In>> {
        self.events.recv().await
    }

    /// What to say at the next reconnect instead of the hello given to [`open`].
    pub fn set_hello(&self, hello: &H) {
        self.hello.set(hello);
    }
}

impl<H, W, In> fmt::Debug for LinkReceiver<H, W, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkReceiver").field("events_len", &self.events.len()).finish_non_exhaustive()
    }
}

/// The hello as JSON; without one there is nothing to say, which ends the link.
struct Hello<H> {
    json: Mutex<Option<Box<RawValue>>>,
    of: PhantomData<fn(H)>,
}

impl<H: Serialize> Hello<H> {
    fn set(&self, hello: &H) {
        *self.json.lock().unwrap_or_else(PoisonError::into_inner) = to_raw_value(hello).ok();
    }

    fn get(&self) -> Result<Box<RawValue>, End> {
        let json = self.json.lock().unwrap_or_else(PoisonError::into_inner).clone();
        json.ok_or_else(|| End::Ended(Refusal::new(Refusal::MALFORMED, "the hello is not expressible in JSON")))
    }
}

/// Opens a link to `target`, saying `hello`. Returns at once; the link connects, and reconnects with jittered backoff, in a task
/// of `tasks` until `cancel` or a [`LinkEvent::Refused`]. Cancelled, it sends what is queued (for at most a second) and
/// says goodbye, so that the server forgets the session.
pub fn open<H, W, Out, In>(
    tasks: &mut JoinSet<()>,
    target: LinkTarget,
    hello: &H,
    options: LinkOptions,
    cancel: CancellationToken,
) -> (LinkSender<Out>, LinkReceiver<H, W, In>)
where
    H: Serialize + 'static,
    W: DeserializeOwned + Send + 'static,
    Out: Serialize,
    In: DeserializeOwned + Send + 'static,
{
    let (events, receiver) = mpsc::channel(options.events_len_max);
    let outbox = Outbox::new(&options);
    let hello_json = Arc::new(Hello { json: Mutex::new(None), of: PhantomData });
    hello_json.set(hello);
    let client = Client {
        target,
        options,
        hello: Arc::clone(&hello_json),
        outbox: Arc::clone(&outbox),
        inbound: Inbound::default(),
        session: fastrand::u64(..),
        accepted_by: None,
        opened: None,
        events,
        cancel,
    };
    tasks.spawn(client.run());
    (LinkSender::new(outbox), LinkReceiver { events: receiver, hello: hello_json })
}

struct Client<H, W, In> {
    target: LinkTarget,
    options: LinkOptions,
    hello: Arc<Hello<H>>,
    outbox: Arc<Outbox>,
    inbound: Inbound,
    session: u64,
    /// The server process that accepted us last, if one ever has.
    accepted_by: Option<u64>,
    /// Set while the present connection is past its handshake.
    opened: Option<Stopwatch>,
    events: mpsc::Sender<LinkEvent<W, In>>,
    cancel: CancellationToken,
}

impl<H, W, In> Client<H, W, In>
where
    H: Serialize,
    W: DeserializeOwned,
    In: DeserializeOwned,
{
    async fn run(mut self) {
        let cancel = self.cancel.clone();
        let refusal = self.keep_connected().await;
        let closed = refusal.clone().unwrap_or_else(|| Refusal::new(Refusal::CLOSED, "closed by this side"));
        self.outbox.end(closed);
        if let Some(refusal) = refusal {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                _ = self.events.send(LinkEvent::Refused(refusal)) => {} // An error means that nobody listens.
            }
        }
    }

    /// Until the link ends; returns why, if the application is to be told.
    async fn keep_connected(&mut self) -> Option<Refusal> {
        let cancel = self.cancel.clone();
        let mut pause = self.options.reconnect_initial;
        let mut down = Stopwatch::start();
        let mut told = false;
        loop {
            let end = self.connection().await;
            if self.opened.take().is_some() {
                (pause, down, told) = (self.options.reconnect_initial, Stopwatch::start(), false);
            }
            let cause = match end {
                End::Broken(cause) => cause,
                End::Overflowed => "the outgoing queue is full".to_owned(),
                End::Ended(refusal) => return Some(refusal),
                End::Stopped(_) | End::Unwanted => return None,
            };
            debug!(target = ?self.target, cause, "link broken");
            if self.options.give_up_after.is_some_and(|limit| down.elapsed() >= limit) {
                let message = format!("{cause}; gave up after {:.1?}", down.elapsed());
                return Some(Refusal::new(Refusal::UNREACHABLE, message));
            }
            let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            let pausing = async {
                if !told && self.events.send(LinkEvent::Broken { cause }).await.is_err() {
                    return false;
                }
                tokio::time::sleep(jittered).await;
                true
            };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return None,
                wanted = pausing => if !wanted { return None },
            }
            told = true;
            pause = (pause * 2).min(self.options.reconnect_max);
        }
    }

    /// One connection, from connecting to its end.
    async fn connection(&mut self) -> End {
        let cancel = self.cancel.clone();
        let opening = tokio::select! {
            biased;
            () = cancel.cancelled() => return End::Stopped(Stop::Shutdown(None)),
            opening = self.open() => opening,
        };
        let mut connection = match opening {
            Ok(connection) => connection,
            Err(end) => return end,
        };
        self.opened = Some(Stopwatch::start());
        let farewell = Refusal::new(Refusal::CLOSED, format!("{} has closed the link", self.options.name));
        let stop = async {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = self.events.closed() => {} // The receiver is gone.
            }
            Stop::Shutdown(Some(farewell))
        };
        let ends = Ends { outbox: &self.outbox, inbound: &self.inbound, options: &self.options };
        pump(&mut connection, ends, &self.events, LinkEvent::Message, stop).await
    }

    async fn open(&mut self) -> Result<Connection<TokioIo<Upgraded>>, End> {
        if self.outbox.overflowed() {
            self.session = fastrand::u64(..);
        }
        let limit = self.options.handshake_timeout;
        let mut connection = Connection::new(connect(&self.target, limit).await?);
        let late = || End::Broken(format!("{} did not answer the hello within {limit:?}", self.target.authority()));
        let reply = timeout(limit, self.greet(&mut connection)).await.map_err(|_| late())??;
        let (resumed, last_received_seq, server, welcome) = match reply {
            Reply::Accepted { resumed, last_received_seq, server, welcome } => {
                (resumed, last_received_seq, server, welcome)
            }
            Reply::Refused(refusal) => return Err(End::Ended(refusal)),
        };
        if resumed && !self.outbox.resume_from(last_received_seq) {
            self.session = fastrand::u64(..);
            return Err(End::Broken("the server has lost track of the link".to_owned()));
        }
        if !resumed {
            self.inbound.restart();
            // What was sent before the first connection has nobody who could have dropped it.
            if self.accepted_by.is_some() || !self.outbox.resume_from(0) {
                self.outbox.restart();
            }
        }
        let resumed = resumed && self.accepted_by.is_some();
        self.accepted_by = Some(server);
        let opened = LinkEvent::Opened { welcome, resumed };
        self.events.send(opened).await.map_err(|_| End::Unwanted)?;
        Ok(connection)
    }

    async fn greet(&self, connection: &mut Connection<TokioIo<Upgraded>>) -> Result<Reply<W>, End> {
        let opening = Opening {
            protocol_version: PROTOCOL_VERSION,
            speaker: self.options.name.clone(),
            session: self.session,
            last_received_seq: self.inbound.received(),
            accepted_by: self.accepted_by,
            hello: self.hello.get()?,
        };
        let sent = connection.send(encode(&opening, "hello").map_err(End::Ended)?).await;
        sent.map_err(|error| End::Broken(io_cause(&error)))?;
        let reply = connection.receive().await?;
        decode(&reply, "welcome").map_err(End::Ended)
    }
}
