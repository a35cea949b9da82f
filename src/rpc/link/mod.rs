//! Links: long-lived, ordered, two-way streams of JSON messages between two processes.
//!
//! ```text
//! client: open ─► LinkSender ─► Outbox ═► frames over an upgraded HTTP connection ═► PeerEvent ─► server
//!               LinkReceiver ◄─ LinkEvent ◄═ frames ◄═ Outbox ◄─ LinkSender ◄─ Answer::accept
//! ```
//!
//! The party that may come and go opens the link ([`open`]); the other one accepts ([`acceptor`]). The connection starts as
//! `GET` with `Upgrade: flott-link` and goes on as length-prefixed JSON frames. A link outlives its connections: it is a
//! *session*, named by a random number the client draws. After a reconnect both sides send again what the other has not
//! acknowledged, and drop what they have seen, so each message arrives once and in order. If the server does not know the
//! session (it restarted, or one side gave the session up) the client is told `resumed: false`, whatever was unacknowledged is
//! dropped, and the application registers afresh.
//!
//! Invariants:
//! * Order holds within one link and direction. All events of one acceptor come through one channel.
//! * A broken connection is an event at once; a peer silent for [`LinkOptions::frozen_after`] counts as broken.
//! * Sending never blocks. Not reading events stops reading the socket, and so in the end the other side.
//! * An acknowledged message has been handed to the receiving application's channel (not: been acted upon).
//!
//! What it does not know: what messages mean, who may send them (the hello carries tokens, the application judges them).

mod acceptor;
mod client;
mod connect;
mod frame;
mod outbox;
mod pump;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::acceptor::{Acceptor, Answer, PeerEvent, PeerEvents, acceptor};
pub use self::client::{LinkEvent, LinkReceiver, open};
pub use self::connect::LinkTarget;
pub use self::frame::PROTOCOL_VERSION;
pub use self::outbox::{LinkError, LinkSender};
pub use self::session::PeerId;

/// Why a link was ended for good. The client does not try again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For programs: one of the constants here, or the application's own.
    pub code: String,
    /// For people: the cause first, then what to do.
    pub message: String,
}

impl Refusal {
    /// The two sides speak different versions of the link protocol.
    pub const PROTOCOL_VERSION: &'static str = "protocol-version";
    /// A message was not understood.
    pub const MALFORMED: &'static str = "malformed";
    /// The side that sent this has closed the link on purpose.
    pub const CLOSED: &'static str = "closed";
    /// No connection within [`LinkOptions::give_up_after`].
    pub const UNREACHABLE: &'static str = "unreachable";
    /// The address answered, but not as a link: wrong path, wrong service, no permission.
    pub const HTTP: &'static str = "http";

    /// `code` for programs, `message` for people.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// How a link behaves. The defaults are the cluster's; tests shorten them.
#[derive(Clone)]
pub struct LinkOptions {
    /// What this side calls itself in refusals: `ResourceManager`, `program`.
    pub name: String,
    /// A side that has sent nothing for so long sends an empty frame. Default 1 s.
    pub heartbeat: Duration,
    /// A peer that has sent nothing for so long is frozen: the connection is broken. Default 5 s.
    pub frozen_after: Duration,
    /// How long connecting and the exchange of hello and welcome may take each. Default 10 s.
    pub handshake_timeout: Duration,
    /// Client: pause before the first reconnect, jittered, doubled up to [`Self::reconnect_max`]. Default 20 ms.
    pub reconnect_initial: Duration,
    /// Client: longest pause between reconnects. Default 1 s.
    pub reconnect_max: Duration,
    /// Client: the link ends with [`Refusal::UNREACHABLE`] after so long without a connection. Default: never.
    pub give_up_after: Option<Duration>,
    /// Server: how long a session without connection is remembered. Default 60 s.
    pub session_kept: Duration,
    /// Most messages unsent or unacknowledged per link and direction. When full the send is refused and the *session* is
    /// given up: the link breaks and starts afresh, so that no message is lost unnoticed. Default 65,536.
    pub queue_len_max: usize,
    /// The same in bytes of JSON. Default 64 MiB.
    pub queue_bytes_max: usize,
    /// Events that wait for the application. When full, sockets are not read (backpressure). Default 1,024.
    pub events_len_max: usize,
}

impl LinkOptions {
    /// The defaults for a side called `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            heartbeat: Duration::from_secs(1),
            frozen_after: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            reconnect_initial: Duration::from_millis(20),
            reconnect_max: Duration::from_secs(1),
            give_up_after: None,
            session_kept: Duration::from_secs(60),
            queue_len_max: 65_536,
            queue_bytes_max: 64 << 20,
            events_len_max: 1_024,
        }
    }
}

impl fmt::Debug for LinkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkOptions").field("name", &self.name).finish_non_exhaustive()
    }
}
