//! Requests and answers over HTTP/1.1: a server for routers, a client with deadlines and retries.

mod client;
mod error;
mod port;
mod server;

pub use self::client::{Client, Download};
pub use self::error::Error;
pub use self::port::port_holder;
pub use self::server::{BindError, Server};
