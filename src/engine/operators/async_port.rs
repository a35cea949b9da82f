//! Where futures run: beside the subtasks' threads, or wherever a simulator or test polls them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};

use tokio::runtime::{Builder, Runtime};

/// A future that an operator waits for. What it comes to, it tells the operator itself.
pub(crate) type Detached = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes futures and sees to it that they are polled. Cheap to clone.
///
/// Whoever hands a future in can abort it, and does so when it is dropped itself: nothing outlives its subtask.
#[derive(Clone)]
pub(crate) struct AsyncPort(Arc<dyn Fn(Detached) + Send + Sync>);

impl AsyncPort {
    /// Futures are handed to `poll`.
    pub(crate) fn new(poll: impl Fn(Detached) + Send + Sync + 'static) -> Self {
        Self(Arc::new(poll))
    }

    /// Futures are polled when they are handed in, by whoever hands them in: in a simulation there is nothing outside to wait for.
    pub(crate) fn at_once() -> Self {
        Self::new(|mut future| {
            let mut context = Context::from_waker(Waker::noop());
            assert!(
                future.as_mut().poll(&mut context).is_ready(),
                "a simulated program's requests are answered at once"
            );
        })
    }

    /// Futures run on a tokio runtime of their own, which is started for the first of them and ends with the last clone of
    /// this. Apart from the network's, so that a future that blocks holds up other futures and nothing else.
    pub(crate) fn tokio() -> Self {
        let runtime = LazyRuntime::default();
        Self::new(move |future| runtime.spawn(future))
    }

    /// Takes a future.
    pub(crate) fn spawn(&self, future: Detached) {
        (self.0)(future);
    }
}

impl fmt::Debug for AsyncPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsyncPort")
    }
}

/// Threads of the runtime: futures wait more than they work.
const THREADS: usize = 2;

#[derive(Default)]
struct LazyRuntime(OnceLock<Runtime>);

impl LazyRuntime {
    fn spawn(&self, future: Detached) {
        let runtime = self.0.get_or_init(|| {
            let runtime =
                Builder::new_multi_thread().worker_threads(THREADS).thread_name("flott-async").enable_all().build();
            // Called on a subtask's thread, which fails by it and says so.
            runtime.unwrap_or_else(|error| panic!("no threads for asynchronous requests: {error}"))
        });
        // Whoever waits for the future hears from itself, and aborts it through its own handle.
        drop(runtime.spawn(future));
    }
}

impl Drop for LazyRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
