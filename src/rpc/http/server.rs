//! Serving a router.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;
use tracing::{debug, warn};

use super::port_holder;
use crate::rpc::{ErrorKind, io_cause};

/// How long requests that are being answered may take when the server stops.
const DRAIN: Duration = Duration::from_secs(2);
/// Pause after a failed accept: out of file descriptors, most likely, and busy retries would not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take to send a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why an address could not be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error("port {port} is taken{}", holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    PortTaken {
        /// The port; the caller knows the key that changes it.
        port: u16,
        /// `command (pid 123)`, if it can be seen.
        holder: Option<String>,
    },
    /// Anything else: no such host, no permission.
    #[error("cannot listen on {address}: {}", io_cause(source))]
    Other {
        /// `host:port`.
        address: String,
        /// The cause.
        source: io::Error,
    },
}

impl BindError {
    /// Always [`ErrorKind::Permanent`]: it takes a person.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Permanent
    }
}

/// A listening socket that will serve a router. Connections are accepted by the system from [`Server::bind`] on and wait.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens on `host:port`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`BindError::PortTaken`] names the holder.
    pub fn bind(host: &str, port: u16) -> Result<Self, BindError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::PortTaken { port, holder: port_holder(port) },
            _ => BindError::Other { address: format!("{host}:{port}"), source },
        };
        let addresses: Vec<_> = (host, port).to_socket_addrs().map_err(failed)?.collect();
        let listener = TcpListener::bind(addresses.as_slice()).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` (with upgrades; handlers may take `ConnectInfo<SocketAddr>`) until `cancel`; then lets requests that
    /// are being answered finish, for at most two seconds. Upgraded connections belong to who upgraded them.
    ///
    /// # Errors
    /// Only if the runtime cannot take the socket over. Failures of single connections are logged.
    pub async fn serve(self, router: Router, cancel: CancellationToken) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(connection(stream, peer, router.clone(), cancel.clone()));
                    }
                    Err(error) => {
                        warn!(cause = io_cause(&error), "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let drained = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            debug!(count = connections.len(), "requests cut off at shutdown");
            connections.shutdown().await;
        }
        Ok(())
    }
}

/// One connection; its failure concerns its client alone.
async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, cancel: CancellationToken) {
    // Answers are small and waited for. Failing to say so costs latency only.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| answer(router.clone(), peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        outcome = connection.as_mut() => outcome,
    };
    if let Err(error) = outcome {
        debug!(%peer, %error, "connection ended");
    }
}

async fn answer(
    mut router: Router,
    peer: SocketAddr,
    request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    let mut request: Request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    router.call(request).await
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;
    use crate::rpc::http::Client;

    #[tokio::test]
    async fn a_server_answers_until_cancelled() {
        let server = Server::bind("127.0.0.1", 0).unwrap();
        let address = server.local_addr();
        let router = Router::new()
            .route("/peer", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }));
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(server.serve(router, cancel.clone()));
        let client = Client::new(&address.to_string());
        assert_eq!(client.get_text("/peer").await.unwrap(), "127.0.0.1");
        cancel.cancel();
        tasks.join_next().await.unwrap().unwrap().unwrap();
        assert!(client.get_text("/peer").await.unwrap_err().to_string().starts_with("cannot connect to"));
    }

    #[test]
    fn a_taken_port_is_named_with_its_holder() {
        let first = Server::bind("127.0.0.1", 0).unwrap();
        let port = first.local_addr().port();
        let error = Server::bind("127.0.0.1", port).unwrap_err();
        assert!(error.to_string().starts_with(&format!("port {port} is taken by ")), "{error}");
    }
}
