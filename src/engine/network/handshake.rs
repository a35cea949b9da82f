//! Who is at the other end of a connection. Both prove that they hold the job's secret without showing it.
//!
//! ```text
//! accepting worker ── magic, version, nonce ──► connecting worker
//!                  ◄─ Hello{from, to, nonce, proof} ──
//!                  ── Welcome{proof} or a refusal ──►
//! ```

use std::io::{self, Read};

use hmac::{Hmac, KeyInit, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::ids::WorkerId;

/// First bytes of a data connection, and the version of what follows.
const MAGIC: [u8; 8] = *b"flottd\x00\x01";
/// The longest handshake message.
const MESSAGE_BYTES_MAX: u16 = 4096;

type Nonce = [u8; 16];
type Proof = [u8; 32];

#[derive(Serialize, Deserialize)]
struct Hello {
    from: WorkerId,
    to: WorkerId,
    nonce: Nonce,
    proof: Proof,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Welcome { proof: Proof },
    Refused { cause: String },
}

/// How a handshake failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// The connection did.
    Lost(io::Error),
    /// One end does not want the other.
    Refused(String),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// The accepting end; returns who connected.
pub(super) async fn accept(
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
    me: &WorkerId,
    secret: &str,
) -> Result<WorkerId, Failed> {
    let nonce = random_nonce()?;
    socket.write_all(&[MAGIC.as_slice(), &nonce].concat()).await?;
    socket.flush().await?;
    let hello: Hello = receive(socket).await?;
    let refusal = if proof(secret, &nonce, &hello.from, &hello.to).verify_slice(&hello.proof).is_err() {
        // Before anything else is said to a stranger.
        Some("it does not hold this job's secret".to_owned())
    } else if hello.to != *me {
        Some(format!("worker {me} is at this address now, not {}", hello.to))
    } else if hello.from.job != me.job {
        Some(format!("worker {me} belongs to another job than {}", hello.from))
    } else {
        None
    };
    if let Some(cause) = refusal {
        send(socket, &Answer::Refused { cause: cause.clone() }).await?;
        return Err(Failed::Refused(cause));
    }
    let proof = proof(secret, &hello.nonce, me, &hello.from).finalize().into_bytes().into();
    send(socket, &Answer::Welcome { proof }).await?;
    Ok(hello.from)
}

/// The connecting end.
pub(super) async fn connect(
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
    me: &WorkerId,
    peer: &WorkerId,
    secret: &str,
) -> Result<(), Failed> {
    let mut magic = [0; MAGIC.len()];
    socket.read_exact(&mut magic).await?;
    if magic != MAGIC {
        return Err(Failed::Refused("it is not a worker's data port of this version of flott".to_owned()));
    }
    let mut theirs = Nonce::default();
    socket.read_exact(&mut theirs).await?;
    let nonce = random_nonce()?;
    let own_proof = proof(secret, &theirs, me, peer).finalize().into_bytes().into();
    send(socket, &Hello { from: me.clone(), to: peer.clone(), nonce, proof: own_proof }).await?;
    match receive(socket).await? {
        Answer::Welcome { proof: shown } => proof(secret, &nonce, peer, me)
            .verify_slice(&shown)
            .map_err(|_| Failed::Refused("it does not hold this job's secret".to_owned())),
        Answer::Refused { cause } => Err(Failed::Refused(cause)),
    }
}

fn proof(secret: &str, nonce: &Nonce, from: &WorkerId, to: &WorkerId) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("an HMAC key may have any length");
    mac.update(nonce);
    mac.update(format!("flott data {from} -> {to}").as_bytes());
    mac
}

fn random_nonce() -> io::Result<Nonce> {
    let mut nonce = Nonce::default();
    std::fs::File::open("/dev/urandom")?.read_exact(&mut nonce)?;
    Ok(nonce)
}

async fn send(socket: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let message = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let len = u16::try_from(message.len()).ok().filter(|len| *len <= MESSAGE_BYTES_MAX);
    let len = len.ok_or_else(|| io::Error::other("a worker's name is too long for the handshake"))?;
    socket.write_all(&[&len.to_le_bytes(), message.as_slice()].concat()).await?;
    socket.flush().await
}

async fn receive<M: DeserializeOwned>(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<M> {
    let len = socket.read_u16_le().await?;
    if len > MESSAGE_BYTES_MAX {
        return Err(super::wire::malformed("a handshake message is too long"));
    }
    let mut message = vec![0; usize::from(len)];
    socket.read_exact(&mut message).await?;
    postcard::from_bytes(&message).map_err(|_| super::wire::malformed("not a handshake message"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{JobId, TaskManagerId};

    fn worker(name: &str) -> WorkerId {
        WorkerId { task_manager: TaskManagerId(name.to_owned()), job: JobId(1), incarnation: 1 }
    }

    async fn meet(me: &WorkerId, secret: &str, from: &WorkerId, to: &WorkerId, shown: &str) -> (bool, Option<String>) {
        let (mut a, mut b) = tokio::io::duplex(8192);
        let (accepted, connected) = tokio::join!(accept(&mut a, me, secret), connect(&mut b, from, to, shown));
        let refusal = match connected {
            Ok(()) => None,
            Err(Failed::Refused(cause)) => Some(cause),
            Err(Failed::Lost(error)) => Some(error.to_string()),
        };
        (accepted.is_ok_and(|peer| peer == *from), refusal)
    }

    #[tokio::test]
    async fn workers_of_one_job_meet() {
        let (a, b) = (worker("a"), worker("b"));
        assert_eq!(meet(&a, "s", &b, &a, "s").await, (true, None));
    }

    #[tokio::test]
    async fn strangers_are_refused_with_a_reason() {
        let (a, b, c) = (worker("a"), worker("b"), worker("c"));
        let (accepted, cause) = meet(&a, "s", &b, &a, "t").await;
        assert!(!accepted && cause.unwrap().contains("secret"));
        let (accepted, cause) = meet(&a, "s", &b, &c, "s").await;
        assert!(!accepted && cause.unwrap().contains("is at this address now"));
        let other_job = WorkerId { job: JobId(2), ..b };
        let (accepted, cause) = meet(&a, "s", &other_job, &a, "s").await;
        assert!(!accepted && cause.unwrap().contains("another job"));
    }
}
