//! Answers that are taken piece by piece: into a file, or as they come.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::{Method, Response};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::client::root_cause;
use super::{Client, Error};

/// What [`Client::download`] has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// In hex digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

impl Client {
    /// GET into a file (created or overwritten, not synced), streamed. `path` may be a whole address. Each chunk has the
    /// deadline to itself.
    ///
    /// # Errors
    /// As [`Client::get`], or [`Error::File`]. The file may then exist in part.
    pub async fn download(&self, path: &str, to: &Path) -> Result<Download, Error> {
        let failed = |source| Error::File { verb: "write", path: to.to_owned(), source };
        let call = self.call(Method::GET, path);
        let response = call.within(call.limit, call.start(|request| request)).await?;
        let mut chunks = response.bytes_stream();
        let mut file = File::create(to).await.map_err(failed)?;
        let (mut digest, mut bytes) = (Sha256::new(), 0);
        loop {
            let next = async { chunks.next().await.transpose().map_err(|error| call.failed(&error)) };
            let Some(chunk) = call.within(call.limit, next).await? else {
                break;
            };
            digest.update(&chunk);
            bytes += chunk.len() as u64;
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Download { sha256, bytes })
    }

    /// GET of what somebody goes on writing, taken piece by piece, however long that takes: only the head of the answer has a
    /// deadline.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn follow(&self, path: &str) -> Result<Pieces, Error> {
        let call = self.call(Method::GET, path);
        let response = call.within(call.limit, call.start(|request| request)).await?;
        Ok(Pieces { response, request: call.describe() })
    }
}

/// An answer that comes in pieces. Nothing more is read than is asked for.
pub struct Pieces {
    response: Response,
    request: String,
}

impl Pieces {
    /// The next piece; none after the last. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Broken`]; what came before is whole.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let failed = |error: reqwest::Error| Error::Broken { request: self.request.clone(), cause: root_cause(&error) };
        self.response.chunk().await.map_err(failed)
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("request", &self.request).finish_non_exhaustive()
    }
}
