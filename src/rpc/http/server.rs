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
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_http::timeout::TimeoutBody;
use tower_service::Service as _;
use tracing::{debug, warn};

use super::port_holder;
use crate::rpc::tls::{Acceptor, HANDSHAKE_TIMEOUT};
use crate::rpc::{ErrorKind, Tls, io_cause};

/// How long requests that are being answered may take when the server stops.
const DRAIN: Duration = Duration::from_secs(2);
/// Pause after a failed accept: out of file descriptors, most likely, and busy retries would not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take to send a request's head, and may leave its body standing still.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections at a time. Who comes later waits in the system's queue.
const CONNECTIONS_MAX: usize = 4096;
/// What who speaks no TLS where it is spoken is told.
const SPEAK_TLS: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 62\r\n\r\n\
                         this port speaks TLS: use https:// (and configure security.*)\n";

/// What the server knows of a connection's other end; in the extensions of its requests.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Whether it has shown the certificate of a member of the cluster.
    pub member: bool,
}

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
    tls: Tls,
    patience: Duration,
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
        Ok(Self { listener, address, tls: Tls::OFF, patience: PATIENCE })
    }

    /// Serves encrypted, if `tls` is on. It must hold a certificate then.
    #[must_use]
    pub fn with_tls(self, tls: &Tls) -> Self {
        Self { tls: tls.clone(), ..self }
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
        let (acceptor, patience) = (self.tls.acceptor(), self.patience);
        if self.tls.is_on() && acceptor.is_none() {
            return Err(io::Error::other("there is no certificate to serve with"));
        }
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((stream, peer)) => {
                        let front = Front { acceptor: acceptor.clone(), router: router.clone(), patience };
                        connections.spawn(connection(stream, peer, front, cancel.clone()));
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

/// What a connection meets.
#[derive(Clone)]
struct Front {
    acceptor: Option<Acceptor>,
    router: Router,
    patience: Duration,
}

/// One connection; its failure concerns its client alone.
async fn connection(stream: TcpStream, address: SocketAddr, mut front: Front, cancel: CancellationToken) {
    // Answers are small and waited for. Failing to say so costs latency only.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = front.acceptor.take() else {
        return requests(stream, address, Peer { member: false }, front, cancel).await;
    };
    let opening = async {
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, speaks_tls(&stream)).await {
            Ok(Ok(true)) => acceptor.accept(stream).await.map(Some),
            Ok(Ok(false)) => refuse(stream).await.map(|()| None),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(None),
        }
    };
    let opened = tokio::select! {
        biased;
        () = cancel.cancelled() => return,
        opened = opening => opened,
    };
    match opened {
        Ok(Some((stream, member))) => requests(stream, address, Peer { member }, front, cancel).await,
        Ok(None) => debug!(%address, "somebody spoke no TLS"),
        Err(error) => debug!(%address, cause = io_cause(&error), "no TLS connection"),
    }
}

/// By the first byte that comes, which stays where it is.
async fn speaks_tls(stream: &TcpStream) -> io::Result<bool> {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 0 || first == [HANDSHAKE])
}

/// Answers in the clear to who asks in the clear.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    /// What is left unread when a connection closes makes it break at the other end, answer and all.
    const REQUEST_BYTES_MAX: u64 = 64 << 10;
    stream.write_all(SPEAK_TLS.as_bytes()).await?;
    stream.shutdown().await?;
    let (mut rest, mut nowhere) = (stream.take(REQUEST_BYTES_MAX), tokio::io::sink());
    let _ = tokio::time::timeout(HANDSHAKE_TIMEOUT, tokio::io::copy(&mut rest, &mut nowhere)).await;
    Ok(())
}

async fn requests<S>(stream: S, address: SocketAddr, peer: Peer, front: Front, cancel: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let patience = front.patience;
    let service = service_fn(move |request: hyper::Request<Incoming>| answer(front.clone(), address, peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
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
        debug!(%address, %error, "connection ended");
    }
}

async fn answer(
    mut front: Front,
    address: SocketAddr,
    peer: Peer,
    request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    let mut request: Request = request.map(|body| axum::body::Body::new(TimeoutBody::new(front.patience, body)));
    request.extensions_mut().insert(ConnectInfo(address));
    request.extensions_mut().insert(peer);
    front.router.call(request).await
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;
    use crate::rpc::http::Client;
    use crate::rpc::tls::MEMBER_NAME;
    use crate::rpc::tls::testing::Authority;

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

    #[tokio::test]
    async fn who_dawdles_over_a_request_is_cut_off() {
        let server = Server { patience: Duration::from_millis(50), ..Server::bind("127.0.0.1", 0).unwrap() };
        let address = server.local_addr();
        let router =
            Router::new().route("/", axum::routing::post(async |body: axum::body::Bytes| body.len().to_string()));
        let mut tasks = JoinSet::new();
        tasks.spawn(server.serve(router, CancellationToken::new()));
        for (sent, answer) in [
            ("POST / HTTP/1.1\r\nhost: x\r\n", "HTTP/1.1 408 "),
            ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf", "HTTP/1.1 4"),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert!(text.is_empty() || text.starts_with(answer), "{text}");
        }
    }

    #[tokio::test]
    async fn who_speaks_no_tls_where_it_is_spoken_is_told_so() {
        let cluster = Authority::new();
        let tls = cluster.tls(Some(MEMBER_NAME));
        let server = Server::bind("127.0.0.1", 0).unwrap().with_tls(&tls);
        let address = server.local_addr().to_string();
        let router = Router::new().route(
            "/member",
            get(|axum::Extension(peer): axum::Extension<Peer>| async move { peer.member.to_string() }),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(server.serve(router, CancellationToken::new()));
        let ask = async |tls: &Tls| Client::new(&address).with_tls(tls).get_text("/member").await;
        assert_eq!(ask(&tls).await.unwrap(), "true");
        assert_eq!(ask(&cluster.tls(None)).await.unwrap(), "false");
        let refused = ask(&Tls::OFF).await.unwrap_err().to_string();
        assert!(refused.starts_with("this port speaks TLS"), "{refused}");
        let refused = ask(&Authority::new().tls(None)).await.unwrap_err().to_string();
        assert!(refused.contains("not signed by the authority"), "{refused}");
    }

    #[test]
    fn a_taken_port_is_named_with_its_holder() {
        let first = Server::bind("127.0.0.1", 0).unwrap();
        let port = first.local_addr().port();
        let error = Server::bind("127.0.0.1", port).unwrap_err();
        assert!(error.to_string().starts_with(&format!("port {port} is taken by ")), "{error}");
    }
}
