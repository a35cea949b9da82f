//! What a query reads and where it writes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use flott::connectors::{DataGeneratorSource, DeserializationSchema, FileSource, Malformed};
use flott::engine::record::Record;
use flott::prelude::*;

use crate::changelog::Changelog;
use crate::generator::Generator;
use crate::model::Event;
use crate::timestamp::Timestamp;

/// So far may events come behind later ones.
const OUT_OF_ORDER: Duration = Duration::from_secs(4);

/// What is read.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Files(PathBuf),
    Generator { events: u64 },
}

impl FromStr for Input {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("generator:") {
            Some(events) => match events.replace('_', "").parse() {
                Ok(events) => Ok(Self::Generator { events }),
                Err(_) => Err(format!("`{events}` is no number of events; write generator:1000000, say")),
            },
            None if text.is_empty() => Err("an empty path names no file".to_owned()),
            None => Ok(Self::Files(PathBuf::from(text))),
        }
    }
}

/// Where answers go.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    Files(PathBuf),
    Discard,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("an empty path names no directory".to_owned()),
            "discard" => Ok(Self::Discard),
            dir => Ok(Self::Files(PathBuf::from(dir))),
        }
    }
}

/// What a query takes of an event, if it wants it. Fields that are not taken are never copied.
pub(crate) type Select<T> = fn(Event<'_>) -> Option<T>;

/// A query's surroundings.
pub(crate) struct Job {
    pub env: StreamExecutionEnvironment,
    pub input: Input,
    pub output: Output,
    pub seed: u64,
    pub rate: u64,
    pub mode: ExecutionMode,
}

impl Job {
    /// The events that `select` takes something of.
    pub(crate) fn events<T: Record>(&self, select: Select<T>) -> DataStream<T> {
        match &self.input {
            Input::Files(path) => {
                let source = FileSource::for_record_stream_format(EventLines(select), path);
                self.env.from_source(source, "Events")
            }
            Input::Generator { events } => {
                let generator = Arc::new(Generator::new(self.seed, self.rate));
                let source = DataGeneratorSource::new(*events, move |n| select(generator.event(n)));
                self.env.from_source(source, "Events").flat_map(|row, out: &mut Collector<'_, T>| out.extend(row))
            }
        }
    }

    /// The same in event time.
    pub(crate) fn timed<T: Record>(&self, select: Select<T>, time: fn(&T) -> Timestamp) -> DataStream<T> {
        let strategy = WatermarkStrategy::for_bounded_out_of_orderness(OUT_OF_ORDER)
            .with_timestamp_assigner(move |row: &T| EventTime(time(row).0));
        self.events(select).assign_timestamps_and_watermarks(strategy)
    }

    /// How answers that change are told.
    pub(crate) fn changelog(&self) -> Changelog {
        Changelog {
            // Who keeps nothing need not be told what to take back.
            retractions: matches!(self.output, Output::Files(_)),
            // Every input here ends.
            final_only: self.mode != ExecutionMode::Streaming,
        }
    }

    /// Writes the answers.
    pub(crate) fn write<T: Record>(&self, rows: &DataStream<T>) {
        match &self.output {
            Output::Files(dir) => rows.write_json_lines(dir),
            Output::Discard => rows.discard(),
        };
    }
}

/// Lines that are an event each; blank ones are none.
struct EventLines<T>(Select<T>);

impl<T: Record> DeserializationSchema for EventLines<T> {
    type Out = T;

    fn deserialize(&self, line: &[u8], rows: &mut Vec<T>) -> Result<(), Malformed> {
        match Event::from_json(line) {
            Ok(event) => rows.extend((self.0)(event)),
            Err(_) if line.trim_ascii().is_empty() => {}
            Err(error) => return Err(Malformed::new(error)),
        }
        Ok(())
    }
}

/// Writes the first `count` events as JSON lines: into a file, or with `-` to standard output.
pub(crate) fn generate(generator: &Generator, count: u64, out: &Path) -> io::Result<()> {
    let out: Box<dyn Write> =
        if out == Path::new("-") { Box::new(io::stdout().lock()) } else { Box::new(File::create(out)?) };
    let mut out = BufWriter::with_capacity(1 << 20, out);
    for n in 0..count {
        writeln!(out, "{}", generator.event(n).to_json()?)?;
    }
    out.flush()
}
