//! TLS between the processes of a cluster, and between them and those who ask.
//!
//! ```text
//! files (ca, certificate, key) ─► Tls ─┬─► connect: a link, a data connection, a request ─► is it a member? ─► encrypted stream
//!                                      └─► accept:  whoever connects ─► encrypted stream + whether a member is at its end
//! ```
//!
//! A *member* shows a certificate that the cluster's own authority has signed and that carries the cluster's name. Names of hosts
//! are not looked at: nodes come and go and are reached by several names, and what matters is whether the peer belongs to the
//! cluster. Certificates carry the hosts' names all the same, for browsers and other people's tools.
//!
//! Invariants: TLS 1.3 only; with [`Tls`] off nothing here is on any path; a key's content is nowhere but in rustls.

mod files;
mod verify;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use self::files::{certificates, private_key};
use self::verify::MemberVerifier;
use super::{ErrorKind, io_cause};

/// Name that the certificates of a cluster's members carry, unless the configuration says another.
pub const MEMBER_NAME: &str = "flott.cluster";
/// How long a connection may take until both sides know each other.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a process finds who it is and whom it believes. PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFiles {
    /// Certificates of the cluster's authority.
    pub ca: PathBuf,
    /// This process' certificate, with those between it and the authority, and its key. A client that shows a token needs none.
    pub own: Option<(PathBuf, PathBuf)>,
    /// What members' certificates are named.
    pub name: String,
}

/// Why TLS cannot be had as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("cannot read {}: {}", path.display(), io_cause(source))]
    File {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// What is in it.
    #[error("{} {cause}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, as the rest of a sentence.
        cause: String,
    },
    /// The name of members.
    #[error("`{0}` is no name for a certificate; take one like {MEMBER_NAME}")]
    Name(String),
    /// A daemon must show who it is.
    #[error("a daemon needs a certificate and a key of its own; make them with `flott security init DIR`")]
    NoCertificate,
}

impl TlsError {
    /// Always [`ErrorKind::Permanent`]: it takes a person.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Permanent
    }
}

/// Whether and how this process encrypts. Off by default; cheap to clone.
#[derive(Clone, Default)]
pub struct Tls(Option<Arc<Credentials>>);

struct Credentials {
    files: TlsFiles,
    name: ServerName<'static>,
    client: Arc<ClientConfig>,
    server: Option<Arc<ServerConfig>>,
}

impl Tls {
    /// No encryption.
    pub const OFF: Self = Self(None);

    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let name = ServerName::try_from(files.name.clone()).map_err(|_| TlsError::Name(files.name.clone()))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files.ca)? {
            roots.add(certificate).map_err(|error| TlsError::Content {
                path: files.ca.clone(),
                cause: format!("holds no certificate of an authority: {error}"),
            })?;
        }
        let (client, server) = configs(&files, &name, Arc::new(roots))?;
        Ok(Self(Some(Arc::new(Credentials { files, name, client, server }))))
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What it was loaded from; none when off.
    pub fn files(&self) -> Option<&TlsFiles> {
        self.0.as_ref().map(|credentials| &credentials.files)
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.is_on() { "https" } else { "http" }
    }

    /// Whether this process can prove that it is a member, and so serve.
    pub fn has_certificate(&self) -> bool {
        self.0.as_ref().is_some_and(|credentials| credentials.server.is_some())
    }

    /// For requests: believes members only. When off it believes nobody: an `https://` address is refused rather than fetched
    /// from who knows whom.
    pub(crate) fn request_config(&self) -> ClientConfig {
        static NOBODY: LazyLock<ClientConfig> = LazyLock::new(|| {
            ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_protocol_versions(&[&TLS13])
                .expect("ring speaks TLS 1.3")
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth()
        });
        self.0.as_ref().map_or_else(|| NOBODY.clone(), |credentials| ClientConfig::clone(&credentials.client))
    }

    pub(crate) fn acceptor(&self) -> Option<Acceptor> {
        let credentials = self.0.as_ref()?;
        let server = credentials.server.as_ref()?;
        Some(Acceptor { tls: TlsAcceptor::from(Arc::clone(server)), name: credentials.name.clone() })
    }

    pub(crate) fn connector(&self) -> Option<Connector> {
        let credentials = self.0.as_ref()?;
        Some(Connector { tls: TlsConnector::from(Arc::clone(&credentials.client)), name: credentials.name.clone() })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.files() {
            Some(files) => write!(f, "Tls({})", files.ca.display()),
            None => f.write_str("Tls(off)"),
        }
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.files() == other.files()
    }
}

impl Eq for Tls {}

type Configs = (Arc<ClientConfig>, Option<Arc<ServerConfig>>);

fn configs(files: &TlsFiles, name: &ServerName<'static>, roots: Arc<RootCertStore>) -> Result<Configs, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let invalid = |path: &PathBuf, cause: String| TlsError::Content { path: path.clone(), cause };
    let authority = |error: &dyn fmt::Display| invalid(&files.ca, format!("cannot serve as an authority: {error}"));
    let verifier = MemberVerifier::new(Arc::clone(&roots), &provider, name.clone()).map_err(|e| authority(&e))?;
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .expect("ring speaks TLS 1.3")
        .dangerous() // What is dangerous about it, not to look at a certificate, it does not do.
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some((certificate, key)) = &files.own else {
        return Ok((Arc::new(client.with_no_client_auth()), None));
    };
    let chain = certificates(certificate)?;
    let unfit =
        |error: rustls::Error| invalid(certificate, format!("and {} do not belong together: {error}", key.display()));
    let client = client.with_client_auth_cert(chain.clone(), private_key(key)?).map_err(unfit)?;
    let members = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .allow_unauthenticated() // Who shows none is no member; tokens may do.
        .build()
        .map_err(|error| authority(&error))?;
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("ring speaks TLS 1.3")
        .with_client_cert_verifier(members)
        .with_single_cert(chain, private_key(key)?)
        .map_err(unfit)?;
    Ok((Arc::new(client), Some(Arc::new(server))))
}

/// Takes connections over.
#[derive(Clone)]
pub(crate) struct Acceptor {
    tls: TlsAcceptor,
    name: ServerName<'static>,
}

impl Acceptor {
    /// The encrypted stream, and whether a member is at its other end.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(server::TlsStream<TcpStream>, bool)> {
        let stream = within_time(self.tls.accept(stream)).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let member = shown.is_some_and(|certificate| verify::carries_name(certificate, &self.name));
        Ok((stream, member))
    }
}

/// Opens connections to members.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: TlsConnector,
    name: ServerName<'static>,
}

impl Connector {
    /// # Errors
    /// If who is there is no member, or speaks something else; [`io_cause`] says so.
    pub(crate) async fn connect(&self, stream: TcpStream) -> io::Result<client::TlsStream<TcpStream>> {
        within_time(self.tls.connect(self.name.clone(), stream)).await
    }
}

async fn within_time<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")),
    }
}

/// A failed handshake in an operator's words: the cause, then what to do.
pub(crate) fn explain(error: &rustls::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS; configure security.tls.* (or security.dir) alike at both ends".to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is not signed by the authority in security.tls.ca".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is not one of this cluster's members (security.tls.name)".to_owned(),
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired; make new ones with `flott security init`".to_owned()
        }
        Error::AlertReceived(
            AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::DecryptError,
        ) => "it does not believe our certificate: another authority signed it".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
