//! Doing what the core decided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::link::ResourceManagerLink;
use super::{Ending, Service};
use crate::ids::ContainerId;
use crate::nodemanager::cache::touch;
use crate::nodemanager::core::{Effect, Event, Launch};
use crate::nodemanager::directories;
use crate::nodemanager::error::Error;
use crate::nodemanager::handle::NodeView;
use crate::nodemanager::recovery;
use crate::nodemanager::resources::ResourceKey;
use crate::nodemanager::supervise::{Watched, supervise};
use crate::process::{Child, Identity, Signal, signal_group, signal_tree};
use crate::protocol::container::LocalResource;
use crate::rpc::io_cause;
use crate::storage::meta::Operation;

/// Something to do when its turn has come.
pub(super) enum Step {
    Effect(Effect),
    /// A look at the node, which must not show what is not durable.
    View(oneshot::Sender<NodeView>),
}

/// What came of work beside the loop.
pub(super) enum Done {
    Event(Event),
    Launched(ContainerId, Result<Child, String>),
    Measured(Vec<(ContainerId, u64)>),
    Disk(String),
    Nothing,
}

/// The write that an effect asks for, if it does.
fn write_of(effect: &Effect) -> Option<(ContainerId, Operation)> {
    if let Effect::Persist(record) = effect {
        return Some((record.lease.container, recovery::put(record)));
    }
    if let Effect::Forget(container) = effect { Some((*container, recovery::delete(*container))) } else { None }
}

impl Service {
    /// Does everything up to the next write that is not durable yet.
    pub(super) fn perform(&mut self, link: &ResourceManagerLink) -> Result<(), Error> {
        while !self.writing {
            self.begin_write()?;
            if self.writing {
                break;
            }
            match self.steps.pop_front() {
                None => break,
                Some(Step::View(answer)) => {
                    // Who asked may have gone.
                    let _ = answer.send(self.view(link.is_open()));
                }
                Some(Step::Effect(effect)) => self.effect(effect, link),
            }
        }
        Ok(())
    }

    /// Hands the writes whose turn it is to the writer, as one batch.
    fn begin_write(&mut self) -> Result<(), Error> {
        // Of several writes to one record the last one counts; a batch names each once.
        let mut operations = BTreeMap::new();
        while let Some(Step::Effect(effect)) = self.steps.front()
            && let Some((container, operation)) = write_of(effect)
        {
            operations.insert(container, operation);
            self.steps.pop_front();
        }
        if operations.is_empty() {
            return Ok(());
        }
        self.writing = true;
        let batch = operations.into_values().collect();
        self.writer.submit((), batch).map_err(|error| Error::State(error.to_string()))
    }

    fn effect(&mut self, effect: Effect, link: &ResourceManagerLink) {
        match effect {
            Effect::Persist(_) | Effect::Forget(_) => debug_assert!(false, "writes go to the writer"),
            Effect::Answer { request, outcome } => {
                if let Err(refused) = &outcome {
                    tracing::warn!(node = %self.node, %refused, "a request was refused");
                }
                if let Some(answer) = self.answers.remove(&request) {
                    // Who asked may have gone.
                    let _ = answer.send(outcome);
                }
            }
            Effect::Localise { key, resource } => self.localise(key, resource),
            Effect::AbandonLocalisation(key) => {
                if let Some(download) = self.downloads.remove(&key) {
                    download.abort();
                }
            }
            Effect::Launch(launch) => self.launch(launch),
            Effect::Signal { container, process, signal } => self.signal(container, process, signal),
            Effect::Report(statuses) => {
                for status in &statuses {
                    let exit = status.exit.as_ref().map(|exit| exit.cause.to_string());
                    tracing::info!(container = %status.container, state = ?status.state, exit, "container changed");
                }
                link.report(statuses);
            }
            Effect::DeleteContainer { container, user } => {
                self.collect_logs(container);
                let directories = self.launcher.directories.clone();
                self.delete(vec![directories.work(&user, container), directories.private(container)]);
            }
            Effect::DeleteApplication { application, user } => {
                let directories = self.launcher.directories.clone();
                let private = directories.private_of_application(application);
                self.delete(vec![directories.application(&user, application), private]);
            }
            Effect::WakeAt(at) => {
                self.wakes.insert(at);
            }
            Effect::Drained => self.drained = true,
        }
    }

    fn localise(&mut self, key: ResourceKey, resource: LocalResource) {
        if self.localiser.has(&key) {
            touch(&self.launcher.directories.copy(&key), self.clock.now());
            self.apply(Event::Localised { resource: key, outcome: Ok(()) });
            return;
        }
        let localiser = self.localiser.clone();
        let of = key.clone();
        let download = self.children.spawn(async move {
            let outcome = localiser.fetch(&of, &resource).await;
            Done::Event(Event::Localised { resource: of, outcome })
        });
        self.downloads.insert(key, download);
    }

    fn launch(&mut self, launch: Launch) {
        let launcher = self.launcher.clone();
        self.children.spawn_blocking(move || Done::Launched(launch.lease.container, launcher.launch(&launch)));
    }

    pub(super) fn supervise(&mut self, container: ContainerId, watched: Watched) {
        let directories = self.launcher.directories.clone();
        self.children.spawn(async move { Done::Event(supervise(container, watched, directories).await) });
    }

    fn signal(&mut self, container: ContainerId, process: Identity, signal: Signal) {
        self.children.spawn_blocking(move || {
            let sent = match signal {
                // Killing is for everything, the rest for the leader's group, which passes it on as it sees fit.
                Signal::Kill => signal_tree(process, signal).map(drop),
                Signal::Terminate | Signal::Quit => signal_group(process, signal),
            };
            if let Err(error) = sent {
                tracing::error!(%container, ?signal, cause = io_cause(&error), "cannot signal the container's processes");
            }
            Done::Nothing
        });
    }

    fn delete(&mut self, paths: Vec<std::path::PathBuf>) {
        self.children.spawn_blocking(move || {
            for path in paths {
                if let Err(error) = directories::remove(&path) {
                    tracing::warn!(path = %path.display(), cause = io_cause(&error), "cannot delete a directory");
                }
            }
            Done::Nothing
        });
    }

    pub(super) fn done(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Event(event)) => {
                if let Event::Localised { resource, .. } = &event {
                    self.downloads.remove(resource);
                }
                self.apply(event);
            }
            Ok(Done::Launched(container, Ok(child))) => {
                let process = child.identity();
                self.supervise(container, Watched::Child(Box::new(child)));
                self.apply(Event::Launched { container, process });
            }
            Ok(Done::Launched(container, Err(why))) => self.apply(Event::LaunchFailed { container, why }),
            Ok(Done::Measured(measured)) => {
                self.measuring = false;
                for (container, rss_bytes) in measured {
                    self.apply(Event::Measured { container, rss_bytes });
                }
            }
            Ok(Done::Disk(report)) => self.disk_checked(report),
            Ok(Done::Nothing) => {}
            Err(error) if error.is_cancelled() => {}
            Err(error) => tracing::error!(node = %self.node, %error, "work of the NodeManager panicked"),
        }
    }

    /// The end: says goodbye, lets what was begun finish for a moment, closes the store.
    pub(super) async fn leave(
        mut self,
        outcome: Result<(), Error>,
        link: ResourceManagerLink,
        mut links: JoinSet<()>,
        stop_link: CancellationToken,
    ) -> Result<(), Error> {
        const LAST_WORK_MAX: Duration = Duration::from_secs(2);
        if outcome.is_ok() && matches!(self.ending, Some(Ending::Asked)) {
            link.unregister();
        }
        for download in self.downloads.values() {
            download.abort();
        }
        stop_link.cancel();
        let last_work = async { while self.children.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORK_MAX, last_work).await.is_err() {
            tracing::warn!(left = self.children.len(), "work was cut off at the NodeManager's end");
            self.children.abort_all();
        }
        while links.join_next().await.is_some() {}
        drop(link);
        let writer = self.writer;
        let closed = tokio::task::spawn_blocking(move || writer.close()).await;
        outcome?;
        if let Some(Ending::Refused(error)) = self.ending {
            return Err(error);
        }
        match closed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::State(error.to_string())),
            Err(panic) => Err(Error::State(Arc::new(panic).to_string())),
        }
    }
}
