//! The side of a link that is opened to: takes connections, judges openings, serves sessions.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::connect::UPGRADE_NAME;
use super::frame::{Connection, Opening, OpeningVersion, Reply, decode, encode};
use super::outbox::LinkSender;
use super::pump::{End, Ends, Stop, pump};
use super::session::{Entry, Session, Sessions};
use super::{LinkOptions, PROTOCOL_VERSION, PeerId, Refusal};
use crate::rpc::io_cause;

/// Upgrades that wait for the acceptor's task. When full, the server answers 503 and the client tries again.
const UPGRADES_LEN_MAX: usize = 256;

/// What happens on the links of one acceptor, in order.
pub enum PeerEvent<H, W, In, Out> {
    /// A peer has connected and waits for the answer. Its messages follow once it is accepted.
    Hello {
        /// Who; the same as before if `resumed`.
        peer: PeerId,
        /// What it says of itself.
        hello: H,
        /// Whether it is a known peer that comes back: no message was lost, and the [`LinkSender`] given before goes on working.
        resumed: bool,
        /// Accept or refuse. Dropped unanswered, the connection is closed and the peer tries again.
        answer: Answer<W, Out>,
    },
    /// A message of an accepted peer.
    Message {
        /// Who.
        peer: PeerId,
        /// What.
        message: In,
    },
    /// The connection of an accepted peer has ended (or of one whose hello was not answered in time).
    Broken {
        /// Who.
        peer: PeerId,
        /// For people.
        cause: String,
        /// Whether the peer may come back with `resumed: true`. If not, it has said goodbye or was sent away.
        resumable: bool,
    },
}

impl<H: fmt::Debug, W, In: fmt::Debug, Out> fmt::Debug for PeerEvent<H, W, In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello { peer, hello, resumed, answer: _ } => {
                write!(f, "Hello({peer}, resumed: {resumed}, {hello:?})")
            }
            Self::Message { peer, message } => write!(f, "Message({peer}, {message:?})"),
            Self::Broken { peer, cause, resumable } => write!(f, "Broken({peer}, resumable: {resumable}, {cause})"),
        }
    }
}

/// The application's decision about a hello.
#[derive(Debug)]
pub struct Answer<W, Out> {
    verdict: oneshot::Sender<Result<W, Refusal>>,
    sender: LinkSender<Out>,
}

impl<W, Out> Answer<W, Out> {
    /// Lets the peer in. What is sent from now on follows the welcome.
    pub fn accept(self, welcome: W) -> LinkSender<Out> {
        // An error means that the connection is gone already; its Broken event follows, or the peer's next hello.
        let _ = self.verdict.send(Ok(welcome));
        self.sender
    }

    /// Sends the peer away for good; it does not try again.
    pub fn refuse(self, refusal: Refusal) {
        let _ = self.verdict.send(Err(refusal));
    }
}

/// Where links come in: gives the route to mount in an HTTP server.
#[derive(Clone, Debug)]
pub struct Acceptor {
    upgrades: mpsc::Sender<OnUpgrade>,
}

impl Acceptor {
    /// The handler that turns a request into a link.
    pub fn route<S: Clone + Send + Sync + 'static>(&self) -> MethodRouter<S> {
        let upgrades = self.upgrades.clone();
        get(move |request: Request| std::future::ready(admit(&upgrades, request)))
    }
}

fn admit(upgrades: &mpsc::Sender<OnUpgrade>, request: Request) -> Response {
    let wanted = |headers: &HeaderMap| headers.get(UPGRADE).is_some_and(|name| name == UPGRADE_NAME);
    if !wanted(request.headers()) {
        let headers = [(UPGRADE, UPGRADE_NAME), (CONNECTION, "upgrade")];
        return (StatusCode::UPGRADE_REQUIRED, headers, "only links are served here\n").into_response();
    }
    match upgrades.try_send(hyper::upgrade::on(request)) {
        Ok(()) => {
            let headers = [(UPGRADE, UPGRADE_NAME), (CONNECTION, "upgrade")];
            (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
        }
        Err(mpsc::error::TrySendError::Full(_)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "too many links at once\n").into_response()
        }
        Err(mpsc::error::TrySendError::Closed(_)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response()
        }
    }
}

/// Events of an acceptor's peers.
pub type PeerEvents<H, W, In, Out> = mpsc::Receiver<PeerEvent<H, W, In, Out>>;

/// Serves links: one task in `tasks` which owns one task per connection, until `cancel`. Then every connection is closed
/// (after sending what is queued, for at most a second) so that its peer comes back to whoever serves next.
pub fn acceptor<H, W, In, Out>(
    tasks: &mut JoinSet<()>,
    options: LinkOptions,
    cancel: CancellationToken,
) -> (Acceptor, PeerEvents<H, W, In, Out>)
where
    H: DeserializeOwned + Send + 'static,
    W: Serialize + Send + 'static,
    In: DeserializeOwned + Send + 'static,
    Out: 'static,
{
    let (upgrades, incoming) = mpsc::channel(UPGRADES_LEN_MAX);
    let (events, receiver) = mpsc::channel(options.events_len_max);
    let (sessions, server) = (Sessions::default(), fastrand::u64(..));
    let host = Arc::new(Host { options, sessions, server, events, cancel, answers: PhantomData });
    tasks.spawn(host.run(incoming));
    (Acceptor { upgrades }, receiver)
}

struct Host<H, W, In, Out> {
    options: LinkOptions,
    sessions: Sessions,
    /// Names this acceptor among those of all times.
    server: u64,
    events: mpsc::Sender<PeerEvent<H, W, In, Out>>,
    cancel: CancellationToken,
    answers: PhantomData<fn() -> (W, Out)>,
}

impl<H, W, In, Out> Host<H, W, In, Out>
where
    H: DeserializeOwned + Send + 'static,
    W: Serialize + Send + 'static,
    In: DeserializeOwned + Send + 'static,
    Out: 'static,
{
    async fn run(self: Arc<Self>, mut incoming: mpsc::Receiver<OnUpgrade>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => break,
                Some(_) = connections.join_next() => {}
                upgrade = incoming.recv() => match upgrade {
                    Some(upgrade) => {
                        connections.spawn(Arc::clone(&self).serve(upgrade));
                    }
                    None => break, // Nobody can come in any more; those who are in stay.
                },
            }
        }
        drop(incoming);
        while connections.join_next().await.is_some() {}
    }

    /// One connection. Its failure concerns nobody else: the peer tries again.
    async fn serve(self: Arc<Self>, upgrade: OnUpgrade) {
        let limit = self.options.handshake_timeout;
        let handshake = async {
            let io = upgrade.await.map_err(|error| End::Broken(error.to_string()))?;
            let mut connection = Connection::new(TokioIo::new(io));
            let opening = connection.receive().await?;
            Ok::<_, End>((connection, opening))
        };
        let outcome = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return,
            outcome = timeout(limit, handshake) => outcome,
        };
        let Ok(Ok((mut connection, opening))) = outcome else {
            debug!("a connection ended before its opening");
            return;
        };
        let opening = match self.understand(&opening) {
            Ok(opening) => opening,
            Err(refusal) => return self.turn_away(&mut connection, refusal).await,
        };
        let number = opening.session;
        let (entry, _turn) = self.enter(number, opening.last_received_seq, opening.accepted_by).await;
        self.attend(&mut connection, number, &entry, opening.hello).await;
        entry.session.leave(&entry.superseded);
    }

    /// Finds or begins the session, waiting until the connection before has let go of it.
    async fn enter(&self, number: u64, received: u64, accepted_by: Option<u64>) -> (Entry, OwnedMutexGuard<()>) {
        // Our welcome got lost: what the client has received, and what it believes to be known here, another process sent and knew.
        let of_another = accepted_by.is_some_and(|server| server != self.server);
        loop {
            let entry = self.sessions.enter(number, &self.options);
            let turn = Arc::clone(&entry.session.turn).lock_owned().await;
            if !self.sessions.holds(number, &entry.session) {
                continue; // Given up while we waited.
            }
            if entry.resumed && (of_another || !entry.session.outbox.resume_from(received)) {
                let lost = Refusal::new(Refusal::CLOSED, "the session could not be resumed");
                self.sessions.forget(number, &entry.session, lost);
                continue;
            }
            return (entry, turn);
        }
    }

    fn understand(&self, opening: &[u8]) -> Result<Opening<H>, Refusal> {
        let OpeningVersion { protocol_version, speaker } = decode(opening, "opening")?;
        if protocol_version != PROTOCOL_VERSION {
            let speaker = speaker.as_deref().unwrap_or("the peer");
            let message = format!(
                "{speaker} speaks link protocol {protocol_version}, this {} {PROTOCOL_VERSION}; use the same version of flott",
                self.options.name
            );
            return Err(Refusal::new(Refusal::PROTOCOL_VERSION, message));
        }
        decode(opening, "hello")
    }

    async fn turn_away<T: AsyncRead + AsyncWrite>(&self, connection: &mut Connection<T>, refusal: Refusal) {
        let reply = encode(&Reply::<()>::Refused(refusal), "refusal").expect("two strings are JSON");
        // If it does not arrive the peer comes again and is told again.
        let _ = timeout(self.options.handshake_timeout, connection.send(reply)).await;
    }

    /// From the hello to the end of the connection. Called by one connection per session at a time.
    async fn attend<T>(&self, connection: &mut Connection<T>, number: u64, entry: &Entry, hello: H)
    where
        T: AsyncRead + AsyncWrite,
    {
        let Entry { session, resumed, superseded } = entry;
        let verdict = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return,
            () = superseded.cancelled() => return self.abandon(number, entry).await,
            verdict = self.judge(session, *resumed, hello) => verdict,
        };
        let Some(verdict) = verdict else {
            return self.abandon(number, entry).await;
        };
        let accepted = verdict.and_then(|welcome| {
            let last_received_seq = session.inbound.received();
            encode(&Reply::Accepted { resumed: *resumed, last_received_seq, server: self.server, welcome }, "welcome")
        });
        let reply = match accepted {
            Ok(reply) => reply,
            Err(refusal) => {
                self.sessions.forget(number, session, refusal.clone());
                return self.turn_away(connection, refusal).await;
            }
        };
        let end = match timeout(self.options.handshake_timeout, connection.send(reply)).await {
            Ok(Ok(())) => self.pump(connection, session, superseded).await,
            Ok(Err(error)) => End::Broken(io_cause(&error)),
            Err(_) => End::Broken("the peer does not read".to_owned()),
        };
        self.report(number, session, end).await;
    }

    /// Asks the application; `None` if it does not answer.
    async fn judge(&self, session: &Arc<Session>, resumed: bool, hello: H) -> Option<Result<W, Refusal>> {
        let (verdict, answer) = oneshot::channel();
        let sender = LinkSender::new(Arc::clone(&session.outbox));
        let answer_to = Answer { verdict, sender };
        let hello = PeerEvent::Hello { peer: session.peer, hello, resumed, answer: answer_to };
        self.events.send(hello).await.ok()?;
        timeout(self.options.handshake_timeout, answer).await.ok()?.ok()
    }

    /// The hello found no answer in time. Of a session that began with it nothing remains. A late answer leads nowhere,
    /// which the event says.
    async fn abandon(&self, number: u64, entry: &Entry) {
        let cause = "the connection ended before the hello was answered".to_owned();
        if entry.resumed {
            self.report(number, &entry.session, End::Broken(cause)).await;
        } else {
            self.report(number, &entry.session, End::Ended(Refusal::new(Refusal::CLOSED, cause))).await;
        }
    }

    async fn pump<T>(&self, connection: &mut Connection<T>, session: &Session, superseded: &CancellationToken) -> End
    where
        T: AsyncRead + AsyncWrite,
    {
        let peer = session.peer;
        let stop = async {
            tokio::select! {
                biased;
                () = superseded.cancelled() => Stop::Superseded,
                () = self.cancel.cancelled() => Stop::Shutdown(None),
            }
        };
        let ends = Ends { outbox: &session.outbox, inbound: &session.inbound, options: &self.options };
        pump(connection, ends, &self.events, |message| PeerEvent::Message { peer, message }, stop).await
    }

    async fn report(&self, number: u64, session: &Arc<Session>, end: End) {
        let (cause, resumable) = match end {
            End::Broken(cause) => (cause, true),
            End::Overflowed => ("the outgoing queue is full".to_owned(), false),
            End::Ended(refusal) => (refusal.message, false),
            End::Stopped(Stop::Superseded) => ("the peer has opened a new connection".to_owned(), true),
            End::Stopped(Stop::Shutdown(_)) | End::Unwanted => return, // Nobody listens.
        };
        if !resumable {
            self.sessions.forget(number, session, Refusal::new(Refusal::CLOSED, cause.clone()));
        }
        let broken = PeerEvent::Broken { peer: session.peer, cause, resumable };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => {}
            _ = self.events.send(broken) => {} // An error means that nobody listens.
        }
    }
}
