//! Object stores that speak S3's protocol, for threads that block.
//!
//! ```text
//! a task's or the JobManager's blocking thread ──request──► one thread of this module's own (tokio) ──HTTP──► the store
//!                                              ◄──channel──
//! Upload: what is written, in parts, of which some are under way      Download: ranges, read ahead while somebody reads on
//! ```
//! Invariants: an object is there whole or not at all; every request has a deadline and is tried again while that may help; nothing
//! here enters a caller's async runtime; keys and what a store says of signatures are never part of a message.

mod client;
mod download;
mod explain;
#[cfg(test)]
pub(crate) mod faults;
mod upload;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

pub use self::download::Download;
pub use self::upload::Upload;
use super::Error;
use super::files::Creation;
use super::places::{self, TRANSIENT};
use crate::config::S3Config;
use crate::rpc::{ErrorKind, io_cause};

/// Objects that are removed by one request at most, which the store may limit.
const LISTED_MAX: usize = 100_000;

/// The object stores of a process. Cheap to clone; connects when it is first used.
#[derive(Clone)]
pub struct Objects(Arc<Inner>);

struct Inner {
    config: S3Config,
    /// The thread of all requests.
    runtime: OnceLock<Result<Runtime, String>>,
    buckets: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(Ok(runtime)) = self.runtime.take() {
            // Whoever lets go of it last may stand in an async runtime, where nobody may wait.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Objects").field(&self.0.config).finish()
    }
}

/// One object: its store and its name there.
#[derive(Clone)]
struct Object {
    store: Arc<dyn ObjectStore>,
    key: Path,
    /// For people.
    place: String,
}

/// What a request comes to. Dropped, the request is given up.
struct Pending<T> {
    outcome: Receiver<T>,
    task: AbortHandle,
}

impl<T> Pending<T> {
    /// Blocks until then; none if the request has panicked.
    fn wait(self) -> Option<T> {
        self.outcome.recv().ok()
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Objects {
    /// Those that `config` and the process's environment name.
    pub fn new(config: S3Config) -> Self {
        Self(Arc::new(Inner { config, runtime: OnceLock::new(), buckets: Mutex::default() }))
    }

    /// A store of one's own under a bucket's name.
    #[cfg(test)]
    pub(crate) fn with_bucket(bucket: &str, store: Arc<dyn ObjectStore>) -> Self {
        let objects = Self::new(S3Config::default());
        objects.0.buckets.lock().unwrap().insert(bucket.to_owned(), store);
        objects
    }

    /// Content of an object; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub fn read(&self, place: &str) -> Result<Option<Bytes>, Error> {
        let object = self.object("read", place)?;
        absent_is_none(
            self.request("read", object, |object| async move { object.store.get(&object.key).await?.bytes().await }),
        )
    }

    /// Bytes of an object; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub fn len(&self, place: &str) -> Result<Option<u64>, Error> {
        let object = self.object("look at", place)?;
        let head = |object: Object| async move { object.store.head(&object.key).await };
        Ok(absent_is_none(self.request("look at", object, head))?.map(|meta| meta.size))
    }

    /// Writes an object unless there is one: of several writers exactly one creates it.
    ///
    /// # Errors
    /// [`Error::Object`]; whether the object is there is then not known.
    pub fn create_new(&self, place: &str, bytes: Bytes) -> Result<Creation, Error> {
        let object = self.object("write", place)?;
        let payload = PutPayload::from(bytes.clone());
        let options = PutOptions::from(PutMode::Create);
        let created = self.request("write", object, |object| async move {
            match object.store.put_opts(&object.key, payload, options).await {
                Err(object_store::Error::AlreadyExists { .. }) => Ok(Creation::AlreadyExists),
                created => created.map(|_| Creation::Created),
            }
        })??;
        // The answer to a first try may have been lost, and it is our own object that the second has met.
        if created == Creation::AlreadyExists && self.read(place)?.is_some_and(|found| found == bytes) {
            return Ok(Creation::Created);
        }
        Ok(created)
    }

    /// Begins an object, which is there once [`Upload::finish`] says so.
    ///
    /// # Errors
    /// [`Error::Object`] for a bucket that cannot be reached by what is configured.
    pub fn upload(&self, place: &str) -> Result<Upload, Error> {
        Ok(Upload::new(self.clone(), self.object("write", place)?))
    }

    /// Opens an object to read parts of it.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub fn download(&self, place: &str) -> Result<Option<Download>, Error> {
        let object = self.object("read", place)?;
        Ok(self.len(place)?.map(|len| Download::new(self.clone(), object, len)))
    }

    /// Names of the directories right below a place, sorted.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub fn directories(&self, place: &str) -> Result<Vec<String>, Error> {
        let object = self.object("list", place)?;
        let listed = self.request("list", object, |object| async move {
            let prefix = Some(&object.key).filter(|key| !key.as_ref().is_empty());
            object.store.list_with_delimiter(prefix).await
        })??;
        let name = |path: &Path| path.filename().map(str::to_owned);
        let mut names: Vec<String> = listed.common_prefixes.iter().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    /// Names of the objects right below a place, sorted.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub fn names(&self, place: &str) -> Result<Vec<String>, Error> {
        let object = self.object("list", place)?;
        let listed = self.request("list", object, |object| async move {
            object.store.list_with_delimiter(Some(&object.key)).await
        })??;
        let mut names: Vec<String> =
            listed.objects.iter().filter_map(|meta| meta.location.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    /// Removes one object; that it is not there is fine.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub fn remove(&self, place: &str) -> Result<(), Error> {
        let object = self.object("remove", place)?;
        let remove = |object: Object| async move { object.store.delete(&object.key).await };
        absent_is_none(self.request("remove", object, remove)).map(drop)
    }

    /// Removes every object below a place.
    ///
    /// # Errors
    /// [`Error::Object`]; some may be gone then.
    pub fn remove_below(&self, place: &str) -> Result<(), Error> {
        let object = self.object("remove", place)?;
        let remove = |object: Object| async move {
            let found = object.store.list(Some(&object.key)).take(LISTED_MAX).map_ok(|meta| meta.location);
            let found: Vec<Path> = found.try_collect().await?;
            let found = futures_util::stream::iter(found.into_iter().map(Ok)).boxed();
            object.store.delete_stream(found).try_for_each(|_| std::future::ready(Ok(()))).await
        };
        absent_is_none(self.request("remove", object, remove)).map(drop)
    }

    fn object(&self, verb: &'static str, place: &str) -> Result<Object, Error> {
        let (bucket, key) = places::bucket_and_key(place);
        let unusable = |error: object_store::Error| explain::error(verb, place, &error);
        let key = Path::parse(key).map_err(|error| unusable(error.into()))?;
        let mut buckets = self.0.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let store = match buckets.get(bucket) {
            Some(store) => Arc::clone(store),
            None => {
                let store = client::connect(&self.0.config, bucket).map_err(unusable)?;
                buckets.insert(bucket.to_owned(), Arc::clone(&store));
                store
            }
        };
        Ok(Object { store, key, place: place.to_owned() })
    }

    /// Makes a request and blocks until it has its answer.
    fn request<T, F>(
        &self,
        verb: &'static str,
        object: Object,
        request: impl FnOnce(Object) -> F,
    ) -> Result<Result<T, Error>, Error>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let place = object.place.clone();
        let answer = self.begin(verb, &place, request(object))?.wait();
        let answer = answer.ok_or_else(|| given_up(verb, &place))?;
        Ok(answer.map_err(|error| explain::error(verb, &place, &error)))
    }

    /// Begins a request, on this module's thread.
    fn begin<T: Send + 'static>(
        &self,
        verb: &'static str,
        place: &str,
        request: impl Future<Output = T> + Send + 'static,
    ) -> Result<Pending<T>, Error> {
        let start = || {
            let threads =
                Builder::new_multi_thread().worker_threads(1).thread_name("flott-objects").enable_all().build();
            threads.map_err(|error| io_cause(&error))
        };
        let runtime = self.0.runtime.get_or_init(start).as_ref().map_err(|cause| Error::Object {
            verb,
            place: place.to_owned(),
            cause: format!("no thread for requests: {cause}"),
            kind: ErrorKind::Transient,
        })?;
        // One answer, which its place awaits.
        let (answer, outcome) = sync_channel(1);
        let task = runtime.spawn(async move {
            // Nobody may want it any more.
            let _ = answer.send(request.await);
        });
        Ok(Pending { outcome, task: task.abort_handle() })
    }

    /// Begins to read a part of an object.
    fn begin_range(&self, object: &Object, range: Range<u64>) -> Result<Pending<object_store::Result<Bytes>>, Error> {
        let Object { store, key, place } = object.clone();
        self.begin("read", &place, async move { store.get_range(&key, range).await })
    }
}

/// For `std::io`, whose users name the place themselves. What may pass is told from what is so by the kind.
fn io_error(error: Error) -> io::Error {
    let kind = match error.kind() {
        ErrorKind::Transient => TRANSIENT,
        ErrorKind::Permanent | ErrorKind::Fenced | ErrorKind::User => io::ErrorKind::Other,
    };
    match error {
        Error::Object { cause, .. } => io::Error::new(kind, cause),
        other => io::Error::new(kind, other),
    }
}

fn given_up(verb: &'static str, place: &str) -> Error {
    let cause = "the request broke off".to_owned();
    Error::Object { verb, place: place.to_owned(), cause, kind: ErrorKind::Transient }
}

/// An answer in which that there is no such object is a value.
fn absent_is_none<T>(answer: Result<Result<T, Error>, Error>) -> Result<Option<T>, Error> {
    match answer? {
        Ok(found) => Ok(Some(found)),
        Err(error) if explain::is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
