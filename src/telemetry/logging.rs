//! Logs and panics.

use std::fmt;
use std::fs::{File, OpenOptions, create_dir_all};
use std::io;
use std::panic::{self, PanicHookInfo};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use super::lines::Lines;
use crate::rpc::{ErrorKind, io_cause};
use crate::time::{Clock, Now, SystemClock};

/// The variable that filters logs.
const FILTER_VARIABLE: &str = "FLOTT_LOG";

/// Where logs go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// The error output, in colour on a terminal.
    Stderr,
    /// A file, appended to; its directory is created.
    File(PathBuf),
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error("cannot write the log {}: {}", path.display(), io_cause(source))]
    File {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// What `FLOTT_LOG` holds.
    #[error("FLOTT_LOG is no filter: {cause}; write for example debug, or flott::rpc=trace,info")]
    Filter {
        /// What is wrong with it.
        cause: String,
    },
}

impl Error {
    /// Always [`ErrorKind::User`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::User
    }
}

/// Sets up logging for this process: events at `default_level` and above, unless `FLOTT_LOG` says otherwise; and panics as events,
/// with the thread's name. Only the first call has an effect: a program may have set up its own.
///
/// # Errors
/// [`Error`]; nothing is set up then.
pub fn init_logging(target: &LogTarget, default_level: LevelFilter) -> Result<(), Error> {
    let filter = filter(std::env::var(FILTER_VARIABLE).ok().as_deref(), default_level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    let lines = |colour| Lines::new(UtcTime(SystemClock::new()), colour);
    let first = match target {
        LogTarget::Stderr => {
            let colour = rustix::termios::isatty(io::stderr());
            builder.with_ansi(colour).event_format(lines(colour)).with_writer(io::stderr).try_init().is_ok()
        }
        LogTarget::File(path) => {
            let file = open(path).map_err(|source| Error::File { path: path.clone(), source })?;
            // Each event is one write of one line to a file opened for appending.
            builder.with_ansi(false).event_format(lines(false)).with_writer(Mutex::new(file)).try_init().is_ok()
        }
    };
    if first {
        log_panics();
    }
    Ok(())
}

fn filter(text: Option<&str>, default_level: LevelFilter) -> Result<EnvFilter, Error> {
    let builder = EnvFilter::builder().with_default_directive(default_level.into());
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    builder.parse(text.unwrap_or_default()).map_err(|error| Error::Filter { cause: error.to_string() })
}

fn open(path: &PathBuf) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        create_dir_all(parent)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// Logs a panic before whatever the process does about it.
fn log_panics() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let thread = thread::current();
        let place = panic.location().map(ToString::to_string);
        tracing::error!(
            thread = thread.name().unwrap_or("unnamed"),
            place = place.as_deref().unwrap_or("unknown"),
            "panic: {}",
            message(panic)
        );
        default(panic);
    }));
}

fn message<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message")
}

/// `2025-11-22T19:08:07.123Z`.
struct UtcTime(SystemClock);

impl FormatTime for UtcTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write_utc(writer, self.0.now())
    }
}

/// A time as logs write it: `2025-11-22T19:08:07.123Z`. Times in this form sort as text.
pub fn utc(now: Now) -> String {
    let mut text = String::with_capacity(24);
    write_utc(&mut text, now).expect("a String takes what is written to it");
    text
}

fn write_utc(writer: &mut impl fmt::Write, now: Now) -> fmt::Result {
    const DAY_MS: u64 = 86_400_000;
    let (year, month, day) = civil_date(now.as_millis() / DAY_MS);
    let ms = now.as_millis() % DAY_MS;
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    write!(writer, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

/// Year, month and day of a count of days since 1970. Counts in eras of 400 years that begin on the 1st of March, so that the leap
/// day is the last one of a year (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn times_are_utc() {
        let text = |ms| utc(Now(ms));
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_827_696_789), "2000-02-29T12:34:56.789Z");
        assert_eq!(text(1_763_838_487_001), "2025-11-22T19:08:07.001Z");
        assert_eq!(text(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
    }

    #[test]
    fn a_bad_filter_is_refused_and_none_means_the_default() {
        assert!(filter(Some("flott=loud"), LevelFilter::INFO).is_err());
        assert_eq!(filter(None, LevelFilter::WARN).unwrap().to_string(), "warn");
        assert_eq!(
            filter(Some("flott::rpc=trace"), LevelFilter::INFO).unwrap().max_level_hint(),
            Some(LevelFilter::TRACE)
        );
    }

    #[test]
    fn an_event_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/daemon.log");
        let file = open(&path).unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .event_format(Lines::new(UtcTime(SystemClock::new()), false))
            .with_writer(Arc::new(file))
            .finish();
        tracing::subscriber::with_default(subscriber, || tracing::info!(job = 7, "job state changed"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("Z  INFO") && text.trim_end().ends_with("job state changed job=7"), "{text}");
    }
}
