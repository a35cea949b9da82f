//! To a TCP server.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::cause;
use super::socket::connect;
use crate::engine::formats::SerializationSchema;
use crate::engine::operators::{OperatorContext, Sink, SinkWriter};
use crate::engine::record::{Record, Rows};
use crate::graph::delivery::DeliveryGuarantee;
use crate::graph::task::Failure;

/// What is held back before it is sent.
const BUFFER_BYTES: usize = 64 << 10;
/// How long a server may take none of what is sent, before the job fails.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Sends each record as a line to a server. Flink's `writeToSocket`.
///
/// Connects when the job starts, and closes when its input has ended. Lines are sent when 64 KiB have gathered, or the input pauses.
/// A server that reads slowly holds the job back. What is sent cannot be taken back: when a job is restarted after a failure, the
/// server gets some lines again.
pub struct SocketSink<T> {
    host: String,
    port: u16,
    schema: Arc<dyn SerializationSchema<T>>,
}

impl<T> SocketSink<T> {
    /// Connects to `host:port`.
    pub fn new(host: impl Into<String>, port: u16, schema: impl SerializationSchema<T>) -> Self {
        Self { host: host.into(), port, schema: Arc::new(schema) }
    }
}

impl<T: Record> Sink for SocketSink<T> {
    type In = T;

    fn delivery_guarantee(&self) -> DeliveryGuarantee {
        DeliveryGuarantee::AtLeastOnce
    }

    fn writer(&self, _context: &OperatorContext) -> Result<Box<dyn SinkWriter<T>>, Failure> {
        let address = format!("{}:{}", self.host, self.port);
        let stream = connect(&self.host, self.port).and_then(|stream| {
            stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        let stream = stream.map_err(|error| {
            let advice = format!("start the server first, e.g. nc -lk {}", self.port);
            Failure::transient(format!("cannot connect to {address}: {}; {advice}", cause(&error)))
        })?;
        Ok(Box::new(SocketWriter { address, stream, schema: Arc::clone(&self.schema), lines: Vec::new() }))
    }
}

struct SocketWriter<T> {
    address: String,
    stream: TcpStream,
    schema: Arc<dyn SerializationSchema<T>>,
    lines: Vec<u8>,
}

impl<T> SocketWriter<T> {
    fn send(&mut self) -> Result<(), Failure> {
        let sent = self.stream.write_all(&self.lines);
        self.lines.clear();
        sent.map_err(|error| {
            let cause = match error.kind() {
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                    format!("it took nothing for {} seconds", WRITE_TIMEOUT.as_secs())
                }
                _ => cause(&error),
            };
            Failure::transient(format!("cannot send to {}: {cause}", self.address))
        })
    }
}

impl<T: Record> SinkWriter<T> for SocketWriter<T> {
    fn write(&mut self, batch: Rows<T>) -> Result<(), Failure> {
        for record in &batch.0 {
            self.schema.serialize(record, &mut self.lines).map_err(|malformed| {
                Failure::user(format!("cannot format a {}: {malformed}", std::any::type_name::<T>()))
            })?;
            self.lines.push(b'\n');
            if self.lines.len() >= BUFFER_BYTES {
                self.send()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.lines.is_empty() { Ok(()) } else { self.send() }
    }

    fn prepare_checkpoint(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        self.flush()?;
        Ok(Vec::new())
    }

    fn prepare(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        self.flush()?;
        // A server that has closed already took what it wanted.
        let _ = self.stream.shutdown(Shutdown::Write);
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;
    use crate::engine::formats::{JsonLines, TextLines};
    use crate::engine::operators::testing::context;
    use crate::graph::plan::ExecutionMode;

    #[test]
    fn each_record_is_a_line_and_the_end_of_input_is_the_end_of_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = SocketSink::new("127.0.0.1", listener.local_addr().unwrap().port(), JsonLines::new());
        let mut writer = sink.writer(&context(ExecutionMode::Streaming)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        writer.write(Rows::new(vec![("a".to_owned(), 1u64), ("b".to_owned(), 2)])).unwrap();
        writer.flush().unwrap();
        let mut first = [0; 14];
        server.read_exact(&mut first).unwrap();
        assert_eq!(first, *b"[\"a\",1]\n[\"b\",2");
        writer.write(Rows::new(vec![("c".to_owned(), 3)])).unwrap();
        assert!(writer.prepare().unwrap().is_empty());
        let mut rest = String::new();
        server.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "]\n[\"c\",3]\n");
    }

    #[test]
    fn no_server_and_a_lost_one_are_said_first() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sink = SocketSink::<u64>::new("127.0.0.1", port, TextLines);
        let mut writer = sink.writer(&context(ExecutionMode::Streaming)).unwrap();
        drop(listener);
        let failure = sink.writer(&context(ExecutionMode::Streaming)).err().unwrap();
        let expected = format!("cannot connect to 127.0.0.1:{port}: connection refused; start the server first");
        assert!(failure.message.starts_with(&expected), "{failure}");
        let lost = loop {
            if let Err(failure) = writer.write(Rows::new((0..10_000).collect())) {
                break failure;
            }
        };
        assert!(lost.message.starts_with(&format!("cannot send to 127.0.0.1:{port}: ")), "{lost}");
    }
}
