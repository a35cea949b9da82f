//! What a query reads and where it writes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use flott::connectors::{DataGeneratorSource, DeserializationSchema, FileSource, Malformed, from_json};
use flott::engine::record::Record;
use flott::prelude::*;
use serde::de::DeserializeOwned;

use crate::changelog::Changelog;
use crate::generator::Generator;
use crate::model::{Auction, Bid, Event, PartOf, Person};
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

/// What a query makes of the parts of an event that it reads, if it wants it.
pub(crate) type Select<P, A, B, T> = fn(Event<P, A, B>) -> Option<T>;

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
    pub(crate) fn events<P, A, B, T: Record>(&self, select: Select<P, A, B, T>) -> DataStream<T>
    where
        P: for<'a> PartOf<Person<'a>> + 'static,
        A: for<'a> PartOf<Auction<'a>> + 'static,
        B: for<'a> PartOf<Bid<'a>> + 'static,
    {
        match &self.input {
            Input::Files(path) => {
                let source = FileSource::for_record_stream_format(EventLines(select), path);
                self.env.from_source(source, "Events")
            }
            Input::Generator { events } => {
                let generator = Arc::new(Generator::new(self.seed, self.rate));
                let source = DataGeneratorSource::new(*events, move |n| select(generator.event(n).part()));
                self.env.from_source(source, "Events").flat_map(|row, out: &mut Collector<'_, T>| out.extend(row))
            }
        }
    }

    /// The same in event time.
    pub(crate) fn timed<P, A, B, T: Record>(
        &self,
        select: Select<P, A, B, T>,
        time: fn(&T) -> Timestamp,
    ) -> DataStream<T>
    where
        P: for<'a> PartOf<Person<'a>> + 'static,
        A: for<'a> PartOf<Auction<'a>> + 'static,
        B: for<'a> PartOf<Bid<'a>> + 'static,
    {
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
struct EventLines<P, A, B, T>(Select<P, A, B, T>);

impl<P, A, B, T> DeserializationSchema for EventLines<P, A, B, T>
where
    P: DeserializeOwned + 'static,
    A: DeserializeOwned + 'static,
    B: DeserializeOwned + 'static,
    T: Record,
{
    type Out = T;

    fn deserialize(&self, line: &[u8], rows: &mut Vec<T>) -> Result<(), Malformed> {
        match from_json(line) {
            Ok(event) => rows.extend((self.0)(event)),
            Err(_) if line.trim_ascii().is_empty() => {}
            Err(error) => return Err(error),
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
