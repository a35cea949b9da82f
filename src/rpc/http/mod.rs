//! Requests and answers over HTTP/1.1: a server for routers, a client with deadlines and retries.

mod client;
mod error;
mod port;
mod server;
mod transfer;

pub use self::client::{Client, root_cause};
pub use self::error::Error;
pub use self::port::port_holder;
pub use self::server::{BindError, Peer, Server};
pub use self::transfer::{Download, Pieces};
