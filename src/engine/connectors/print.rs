//! The task's standard output or error.

use std::io::{self, Write as _};
use std::marker::PhantomData;

use super::cause;
use super::printed::append_printed;
use crate::engine::operators::{OperatorContext, Sink, SinkWriter};
use crate::engine::record::{Record, Rows};
use crate::graph::delivery::DeliveryGuarantee;
use crate::graph::task::Failure;

/// What is held back at most before it is written.
const BUFFER_BYTES: usize = 64 << 10;

/// Prints each record on a line; `(word,3)` for a tuple. Flink's `PrintSink`.
///
/// Any record can be printed: text and numbers as they are, tuples as `(a,b)`, sequences as `[a,b]`, structs as
/// `Name{field=value}`, maps as `{key=value}`, enums as the variant's name with what it holds, `None` as `null`. What is
/// printed is visible at once, so after a failure some of it may be printed again.
///
/// Lines are printed alone unless an identifier is set. Lines of one subtask stay in order and are never mixed up with
/// others' within a line; they are written when 64 KiB have gathered or the input pauses.
pub struct PrintSink<T> {
    target: Target,
    identifier: Option<String>,
    record: PhantomData<fn(T)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    StandardOutput,
    StandardError,
}

impl<T> PrintSink<T> {
    /// Prints on standard output.
    pub fn stdout() -> Self {
        Self { target: Target::StandardOutput, identifier: None, record: PhantomData }
    }

    /// Prints on standard error.
    pub fn stderr() -> Self {
        Self { target: Target::StandardError, identifier: None, record: PhantomData }
    }

    /// Begins each line with `identifier> `, or `identifier:subtask> ` with several subtasks, counted from 1.
    #[must_use]
    pub fn with_identifier(mut self, identifier: impl Into<String>) -> Self {
        self.identifier = Some(identifier.into());
        self
    }

    fn prefix(&self, subtask: u32, parallelism: u32) -> String {
        match &self.identifier {
            None => String::new(),
            Some(identifier) if parallelism == 1 => format!("{identifier}> "),
            Some(identifier) => format!("{identifier}:{}> ", subtask + 1),
        }
    }
}

impl<T: Record> Sink for PrintSink<T> {
    type In = T;

    fn delivery_guarantee(&self) -> DeliveryGuarantee {
        DeliveryGuarantee::AtLeastOnce
    }

    fn writer(&self, context: &OperatorContext) -> Result<Box<dyn SinkWriter<T>>, Failure> {
        let prefix = self.prefix(context.attempt.subtask, context.parallelism);
        Ok(Box::new(PrintWriter { target: self.target, prefix, lines: String::new() }))
    }
}

struct PrintWriter {
    target: Target,
    prefix: String,
    lines: String,
}

impl PrintWriter {
    fn print(&mut self) -> Result<(), Failure> {
        if self.lines.is_empty() {
            return Ok(());
        }
        // In one call, so that other subtasks' lines come before or behind.
        let (written, name) = match self.target {
            Target::StandardOutput => {
                let mut stdout = io::stdout().lock();
                (stdout.write_all(self.lines.as_bytes()).and_then(|()| stdout.flush()), "output")
            }
            Target::StandardError => (io::stderr().lock().write_all(self.lines.as_bytes()), "error"),
        };
        self.lines.clear();
        written.map_err(|error| Failure::permanent(format!("cannot print to standard {name}: {}", cause(&error))))
    }
}

impl<T: Record> SinkWriter<T> for PrintWriter {
    fn write(&mut self, batch: Rows<T>) -> Result<(), Failure> {
        for record in &batch.0 {
            self.lines.push_str(&self.prefix);
            append_printed(record, &mut self.lines)
                .map_err(|cause| Failure::user(format!("cannot print a {}: {cause}", std::any::type_name::<T>())))?;
            self.lines.push('\n');
            if self.lines.len() >= BUFFER_BYTES {
                self.print()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.print()
    }

    fn prepare_checkpoint(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        self.print()?;
        Ok(Vec::new())
    }

    fn prepare(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        self.print()?;
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_identifier_brings_a_prefix() {
        let plain = PrintSink::<u64>::stdout();
        assert_eq!((plain.prefix(0, 1), plain.prefix(1, 2)), (String::new(), String::new()));
        let named = PrintSink::<u64>::stdout().with_identifier("words");
        assert_eq!((named.prefix(0, 1), named.prefix(1, 2)), ("words> ".to_owned(), "words:2> ".to_owned()));
    }

    #[test]
    fn lines_gather_until_they_are_flushed() {
        let mut writer =
            PrintWriter { target: Target::StandardError, prefix: "w:1> ".to_owned(), lines: String::new() };
        writer.write(Rows::new(vec![("a".to_owned(), 1u64), ("b".to_owned(), 2)])).unwrap();
        assert_eq!(writer.lines, "w:1> (a,1)\nw:1> (b,2)\n");
        SinkWriter::<(String, u64)>::flush(&mut writer).unwrap();
        assert!(writer.lines.is_empty());
    }
}
