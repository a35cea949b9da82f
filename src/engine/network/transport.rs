//! The worker's data port, and its connections to and from other workers.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::credit::Returns;
use super::downstream::Downstream;
use super::gate::{Gate, Origin};
use super::handshake::{self, Failed};
use super::registry::{ChannelKey, Registry};
use super::upstream::Upstream;
use super::{NetworkConfig, NetworkError};
use crate::graph::task::Producer;
use crate::ids::WorkerId;
use crate::rpc::io_cause;

/// How long a connection may take to be made and to introduce itself.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may leave sent bytes or a keep-alive unanswered: then its machine is gone, not slow.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a failed accept: usually there are no file descriptors left, and trying at once burns a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The worker's data port and connections.
pub(super) struct Transport {
    config: Arc<NetworkConfig>,
    data_address: String,
    runtime: Handle,
    tasks: TaskTracker,
    cancel: CancellationToken,
    /// By producing worker and address. A broken one is replaced.
    upstreams: Mutex<BTreeMap<WorkerId, Arc<Upstream>>>,
}

impl Transport {
    pub(super) fn start(
        runtime: &Handle,
        config: NetworkConfig,
        registry: Arc<Registry>,
    ) -> Result<Self, NetworkError> {
        let bind = |host: &str| {
            let listener = std::net::TcpListener::bind((host, 0))?;
            listener.set_nonblocking(true)?;
            let _inside = runtime.enter();
            let listener = TcpListener::from_std(listener)?;
            Ok((listener.local_addr()?.port(), listener))
        };
        let host = config.bind_host.clone();
        let (port, listener) = bind(&host)
            .map_err(|error: io::Error| NetworkError::Bind { host: host.clone(), cause: io_cause(&error) })?;
        let data_address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let (tasks, cancel, config) = (TaskTracker::new(), CancellationToken::new(), Arc::new(config));
        let accepting = accept_all(listener, Arc::clone(&config), registry, tasks.clone());
        tasks.spawn_on(cancel.clone().run_until_cancelled_owned(accepting), runtime);
        Ok(Self { config, data_address, runtime: runtime.clone(), tasks, cancel, upstreams: Mutex::default() })
    }

    pub(super) fn data_address(&self) -> &str {
        &self.data_address
    }

    pub(super) fn worker(&self) -> &WorkerId {
        &self.config.worker
    }

    /// Opens a channel from another worker, over the connection to it, which is made if there is none.
    pub(super) fn open(
        &self,
        key: ChannelKey,
        producer: &Producer,
        gate: &Arc<Gate>,
        index: u32,
    ) -> Result<Origin, NetworkError> {
        if self.cancel.is_cancelled() {
            return Err(NetworkError::Shutdown);
        }
        let link = self.upstream_to(producer);
        let channel = link.open(key, gate, index)?;
        Ok(Origin::Remote { link, channel, returns: Returns::new(gate.window()) })
    }

    fn upstream_to(&self, producer: &Producer) -> Arc<Upstream> {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = upstreams.get(&producer.worker)
            && !link.is_broken()
            && link.address() == producer.data_address
        {
            return Arc::clone(link);
        }
        let link = Upstream::new(producer.worker.clone(), producer.data_address.clone());
        upstreams.insert(producer.worker.clone(), Arc::clone(&link));
        let (config, cancel, serving) = (Arc::clone(&self.config), self.cancel.clone(), Arc::clone(&link));
        let task = async move {
            let error = tokio::select! {
                () = cancel.cancelled() => NetworkError::Shutdown,
                error = connect_and_serve(&serving, &config) => error,
            };
            debug!(peer = %serving.peer(), %error, "data connection to a producing worker ended");
            serving.fail(&error);
        };
        self.tasks.spawn_on(task, &self.runtime);
        link
    }

    #[cfg(test)]
    pub(super) fn has_no_upstream(&self) -> bool {
        self.upstreams.lock().unwrap().is_empty()
    }

    pub(super) async fn shutdown(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn connect_and_serve(link: &Upstream, config: &NetworkConfig) -> NetworkError {
    let connect = async {
        let socket = TcpStream::connect(link.address()).await?;
        prepare(&socket)?;
        Ok(socket)
    };
    let socket = match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return link.lost(&error),
        Err(_elapsed) => return link.lost(&io::ErrorKind::TimedOut.into()),
    };
    match config.tls.connector() {
        None => {
            let introduced = introduce(link, config, socket).await;
            match introduced.map(TcpStream::into_split) {
                Ok((reader, writer)) => link.serve(reader, writer).await,
                Err(error) => error,
            }
        }
        Some(connector) => {
            let introduced = match connector.connect(socket).await {
                Ok(stream) => introduce(link, config, stream).await,
                Err(error) => Err(link.lost(&error)),
            };
            match introduced.map(tokio::io::split) {
                Ok((reader, writer)) => link.serve(reader, writer).await,
                Err(error) => error,
            }
        }
    }
}

/// Says who we are, and hears whether that is wanted.
async fn introduce<S>(link: &Upstream, config: &NetworkConfig, mut socket: S) -> Result<S, NetworkError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let meeting = handshake::connect(&mut socket, &config.worker, link.peer(), &config.secret);
    match tokio::time::timeout(CONNECT_TIMEOUT, meeting).await {
        Ok(Ok(())) => Ok(socket),
        Ok(Err(Failed::Lost(error))) => Err(link.lost(&error)),
        Ok(Err(Failed::Refused(cause))) => {
            Err(NetworkError::Refused { peer: link.peer().clone(), address: link.address().to_owned(), cause })
        }
        Err(_elapsed) => Err(link.lost(&io::ErrorKind::TimedOut.into())),
    }
}

/// Serves the data port. A stranger costs a task until it is refused or its time is up.
async fn accept_all(
    listener: TcpListener,
    config: Arc<NetworkConfig>,
    registry: Arc<Registry>,
    connections: TaskTracker,
) {
    // Dropped with this future, so that connections end with the port.
    let cancel = CancellationToken::new();
    let _ends_connections = cancel.clone().drop_guard();
    loop {
        match listener.accept().await {
            Ok((socket, from)) => {
                let (config, registry) = (Arc::clone(&config), Arc::clone(&registry));
                let serving = serve_connection(socket, from.to_string(), config, registry, cancel.clone());
                connections.spawn(serving);
            }
            Err(error) => {
                warn!(cause = %io_cause(&error), "cannot accept a data connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(
    socket: TcpStream,
    address: String,
    config: Arc<NetworkConfig>,
    registry: Arc<Registry>,
    cancel: CancellationToken,
) {
    let introduce = async {
        prepare(&socket)?;
        Introduced::meet(socket, &config).await
    };
    let (peer, connection) = tokio::select! {
        () = cancel.cancelled() => return,
        introduced = tokio::time::timeout(CONNECT_TIMEOUT, introduce) => match introduced {
            Ok(Ok(introduced)) => introduced,
            Ok(Err(Failed::Refused(cause))) => return warn!(%address, %cause, "refused a data connection"),
            Ok(Err(Failed::Lost(error))) => return debug!(%address, cause = %io_cause(&error), "lost a stranger"),
            Err(_elapsed) => return debug!(%address, "a stranger did not introduce itself"),
        },
    };
    let link = Downstream::new(peer.clone(), address);
    let serving = async {
        match connection {
            Introduced::Plain(socket) => {
                let (reader, writer) = socket.into_split();
                link.serve(reader, writer, &registry).await
            }
            Introduced::Encrypted(stream) => {
                let (reader, writer) = tokio::io::split(*stream);
                link.serve(reader, writer, &registry).await
            }
        }
    };
    let error = tokio::select! {
        () = cancel.cancelled() => NetworkError::Shutdown,
        error = serving => error,
    };
    link.fail(&error, &registry);
    debug!(%peer, %error, "data connection to a consuming worker ended");
}

/// An accepted connection of a worker of this job. Two kinds, so that what goes in the clear knows nothing of the other.
enum Introduced {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Introduced {
    async fn meet(mut socket: TcpStream, config: &NetworkConfig) -> Result<(WorkerId, Self), Failed> {
        let Some(acceptor) = config.tls.acceptor() else {
            let peer = handshake::accept(&mut socket, &config.worker, &config.secret).await?;
            return Ok((peer, Self::Plain(socket)));
        };
        let (mut stream, member) = acceptor.accept(socket).await?;
        if !member {
            return Err(Failed::Refused("it shows no certificate of this cluster".to_owned()));
        }
        let peer = handshake::accept(&mut stream, &config.worker, &config.secret).await?;
        Ok((peer, Self::Encrypted(Box::new(stream))))
    }
}

/// Small frames leave at once; a peer whose machine has vanished is noticed.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, PEER_TIMEOUT / 3)?;
    sockopt::set_tcp_keepintvl(socket, PEER_TIMEOUT / 6)?;
    sockopt::set_tcp_keepcnt(socket, 4)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(socket, u32::try_from(PEER_TIMEOUT.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}
