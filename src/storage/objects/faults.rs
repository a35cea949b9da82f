//! A store in memory that fails when it is told to.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use std::sync::Arc;

/// Of the requests that are made, those from a certain one on fail, until it is mended.
#[derive(Debug)]
pub(crate) struct Faulty {
    inside: InMemory,
    requests: Arc<Requests>,
}

/// How many requests were made, and which fail.
#[derive(Debug)]
pub(crate) struct Requests {
    made: AtomicU64,
    /// Requests that succeed before one fails.
    left: AtomicI64,
    /// Whether the one that fails has its effect, as when only the answer is lost.
    has_effect: bool,
}

impl Requests {
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// From now on no request fails.
    pub(crate) fn mend(&self) {
        self.left.store(i64::MAX, Ordering::SeqCst);
    }

    /// Whether this one fails, and whether it takes effect.
    fn next(&self) -> (bool, bool) {
        self.made.fetch_add(1, Ordering::SeqCst);
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        (left <= 0, left > 0 || (left == 0 && self.has_effect))
    }
}

impl Faulty {
    /// After so many requests none succeeds any more; the first that does not takes effect or not.
    pub(crate) fn after(requests: u64, has_effect: bool) -> (Arc<Self>, Arc<Requests>) {
        let left = AtomicI64::new(i64::try_from(requests).unwrap());
        let requests = Arc::new(Requests { made: AtomicU64::new(0), left, has_effect });
        (Arc::new(Self { inside: InMemory::new(), requests: Arc::clone(&requests) }), requests)
    }
}

fn failed() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "non-2xx status code: 503 Service Unavailable: ".into() }
}

/// Does what takes effect, and says what it is told to.
async fn outcome<T>((fails, takes_effect): (bool, bool), work: impl Future<Output = Result<T>>) -> Result<T> {
    if !takes_effect {
        return Err(failed());
    }
    let done = work.await;
    if fails { Err(failed()) } else { done }
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        outcome(self.requests.next(), self.inside.put_opts(at, payload, options)).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = outcome(self.requests.next(), self.inside.put_multipart_opts(at, options)).await?;
        Ok(Box::new(FaultyUpload { inside: upload, requests: Arc::clone(&self.requests) }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        outcome(self.requests.next(), self.inside.get_opts(at, options)).await
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.requests.next() {
            (_, false) => futures_util::stream::once(async { Err(failed()) }).boxed(),
            (_, true) => self.inside.delete_stream(at),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.requests.next() {
            (true, _) => futures_util::stream::once(async { Err(failed()) }).boxed(),
            (false, _) => self.inside.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        outcome(self.requests.next(), self.inside.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        outcome(self.requests.next(), self.inside.copy_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inside: Box<dyn MultipartUpload>,
    requests: Arc<Requests>,
}

#[async_trait::async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.inside.put_part(data);
        let next = self.requests.next();
        Box::pin(outcome(next, part))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        outcome(self.requests.next(), self.inside.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        outcome(self.requests.next(), self.inside.abort()).await
    }
}
