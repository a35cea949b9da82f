//! What an event of a log looks like: one line, and of a task's thread, which task it is.
//!
//! A span would say so, too; but the registry of spans knows 4,096 threads of a process at most, and a worker may have more tasks.

use std::cell::RefCell;
use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Compact, Format, Writer, format};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

thread_local! {
    static TASK: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Has whatever this thread logs from now on say which task it is.
pub fn log_as(task: impl fmt::Display) {
    TASK.set(task.to_string());
}

/// Formats events as lines.
pub(super) struct Lines<T>(Format<Compact, T>);

impl<T> Lines<T> {
    pub(super) fn new(timer: T, colour: bool) -> Self {
        Self(format().compact().with_timer(timer).with_ansi(colour))
    }
}

impl<S, N, T> FormatEvent<S, N> for Lines<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    T: FormatTime,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        TASK.with_borrow(|task| {
            if task.is_empty() {
                return self.0.format_event(ctx, out, event);
            }
            let mut line = String::new();
            self.0.format_event(ctx, Writer::new(&mut line), event)?;
            writeln!(out, "{} {task}", line.trim_end_matches('\n'))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Barrier, Mutex};
    use std::thread;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A panic at the first line ended every further task of a worker without a word.
    #[test]
    fn each_of_thousands_of_threads_says_which_task_it_is() {
        const THREADS: usize = 4_200;
        let (log, logged) = (Log::default(), Barrier::new(THREADS));
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .event_format(Lines::new((), false))
            .with_writer(move || writer.clone())
            .finish();
        let dispatch = tracing::Dispatch::new(subscriber);
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (dispatch, logged) = (&dispatch, &logged);
                let work = move || {
                    log_as(format_args!("subtask={number}"));
                    tracing::dispatcher::with_default(dispatch, || tracing::info!(count = 1, "begins"));
                    // All of them live at once.
                    logged.wait();
                };
                thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, work).unwrap();
            }
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), THREADS);
        let last = format!("begins count=1 subtask={}", THREADS - 1);
        assert!(text.lines().any(|line| line.ends_with(&last)), "{:?}", text.lines().next());
    }
}
