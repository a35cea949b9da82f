//! Ctrl-C in a program that runs its job itself: the first cancels the job, the second ends the process.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::signal::unix::{SignalKind, signal};

use super::Error;

/// Exit code of a process ended by Ctrl-C.
const INTERRUPTED: i32 = 130;
/// Exit code of a process ended by TERM.
const TERMINATED: i32 = 143;

/// The jobs to cancel; a program has one, tests may have several at a time.
static JOBS: Mutex<Vec<Sender<()>>> = Mutex::new(Vec::new());
/// The thread that waits for signals. It lives as long as the process, because the system's own reaction to them cannot be
/// restored: without a job it does what the system would have done.
static WATCH: OnceLock<Result<(), String>> = OnceLock::new();

/// Signals meant for one job, until this is dropped.
pub(super) struct Interrupts {
    sender: Sender<()>,
    receiver: Receiver<()>,
}

impl Interrupts {
    /// From here on signals are for this job.
    pub(super) fn watch() -> Result<Self, Error> {
        let watching = WATCH.get_or_init(|| {
            let thread = thread::Builder::new().name("flott-signals".to_owned());
            thread.spawn(wait_for_signals).map(drop).map_err(|error| crate::rpc::io_cause(&error))
        });
        if let Err(cause) = watching {
            return Err(Error::Internal { cause: format!("{cause}: cannot start the thread that waits for Ctrl-C") });
        }
        let (sender, receiver) = bounded(1);
        JOBS.lock().unwrap_or_else(PoisonError::into_inner).push(sender.clone());
        Ok(Self { sender, receiver })
    }

    /// Says when the job is to be cancelled.
    pub(super) fn receiver(&self) -> &Receiver<()> {
        &self.receiver
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        let mut jobs = JOBS.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|job| !job.same_channel(&self.sender));
    }
}

fn wait_for_signals() {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::warn!(%error, "Ctrl-C ends the process without cancelling the job"),
    };
    runtime.block_on(async {
        let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
            return tracing::warn!("Ctrl-C ends the process without cancelling the job");
        };
        loop {
            let code = tokio::select! {
                _ = interrupt.recv() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
            };
            let jobs = std::mem::take(&mut *JOBS.lock().unwrap_or_else(PoisonError::into_inner));
            if jobs.is_empty() {
                std::process::exit(code);
            }
            eprintln!("cancelling the job; once more to end the process at once");
            for job in jobs {
                // One that is full or gone has been told, or has ended.
                let _ = job.try_send(());
            }
        }
    });
}
