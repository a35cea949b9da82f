//! What a server remembers of its peers between their connections.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::outbox::Outbox;
use super::pump::Inbound;
use super::{LinkOptions, Refusal};
use crate::time::Stopwatch;

/// One peer of an acceptor, as long as its session lasts; never used again within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(pub u64);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {}", self.0)
    }
}

/// One link, over its connections.
pub(super) struct Session {
    pub(super) peer: PeerId,
    pub(super) outbox: Arc<Outbox>,
    pub(super) inbound: Inbound,
    /// Held by the connection that serves the session.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    presence: Mutex<Presence>,
}

struct Presence {
    /// Cancelled when a newer connection takes over.
    superseded: CancellationToken,
    /// Since when no connection serves it.
    absent: Option<Stopwatch>,
}

impl Session {
    fn new(peer: PeerId, options: &LinkOptions) -> Arc<Self> {
        Arc::new(Self {
            peer,
            outbox: Outbox::new(options),
            inbound: Inbound::default(),
            turn: Arc::default(),
            presence: Mutex::new(Presence { superseded: CancellationToken::new(), absent: None }),
        })
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection takes over: the one before is told to go, and the token says when the next one comes.
    fn take_over(&self) -> CancellationToken {
        let mut presence = self.presence();
        presence.superseded.cancel();
        presence.superseded = CancellationToken::new();
        presence.absent = None;
        presence.superseded.clone()
    }

    /// The connection with this token has ended.
    pub(super) fn leave(&self, superseded: &CancellationToken) {
        if !superseded.is_cancelled() {
            self.presence().absent = Some(Stopwatch::start());
        }
    }
}

/// All sessions of one acceptor.
#[derive(Default)]
pub(super) struct Sessions {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_number: BTreeMap<u64, Arc<Session>>,
    peers: u64,
}

/// A session and how a connection came to it.
pub(super) struct Entry {
    pub(super) session: Arc<Session>,
    pub(super) resumed: bool,
    pub(super) superseded: CancellationToken,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds session `number` for a new connection, or begins it. Sessions that have been absent too long are forgotten here,
    /// so there are never more than came within [`LinkOptions::session_kept`].
    pub(super) fn enter(&self, number: u64, options: &LinkOptions) -> Entry {
        let mut state = self.lock();
        state.by_number.retain(|_, session| {
            let keep = session.presence().absent.is_none_or(|absent| absent.elapsed() <= options.session_kept);
            if !keep {
                session.outbox.end(Refusal::new(Refusal::CLOSED, "the peer did not come back"));
            }
            keep
        });
        if let Some(session) = state.by_number.get(&number) {
            let session = Arc::clone(session);
            let superseded = session.take_over();
            return Entry { session, resumed: true, superseded };
        }
        state.peers += 1;
        let session = Session::new(PeerId(state.peers), options);
        state.by_number.insert(number, Arc::clone(&session));
        let superseded = session.take_over();
        Entry { session, resumed: false, superseded }
    }

    /// Forgets `session`, unless its number has passed on to another one.
    pub(super) fn forget(&self, number: u64, session: &Arc<Session>, why: Refusal) {
        session.outbox.end(why);
        let mut state = self.lock();
        if state.by_number.get(&number).is_some_and(|present| Arc::ptr_eq(present, session)) {
            state.by_number.remove(&number);
        }
    }

    /// Whether `session` is still the one of this number.
    pub(super) fn holds(&self, number: u64, session: &Arc<Session>) -> bool {
        self.lock().by_number.get(&number).is_some_and(|present| Arc::ptr_eq(present, session))
    }
}
