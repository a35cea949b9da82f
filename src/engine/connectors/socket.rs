//! Lines from a TCP server.
//!
//! ```text
//! server ─► thread: connect, read ─bounded channel, waker─► reader: lines
//! ```

use std::io::{self, Read};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::cause;
use super::collection::KnownSplits;
use super::lines::Lines;
use crate::engine::formats::{DeserializationSchema, JsonLines, TextLines};
use crate::engine::operators::{
    Boundedness, OnError, OperatorContext, Origin, Output, Polled, Source, SourceReader, SplitEnumerator, Waker,
};
use crate::engine::record::Record;
use crate::graph::delivery::DeliveryGuarantee;
use crate::graph::task::{Failure, Split};

/// Received and not yet taken: 16 × 64 KiB. When full, the thread stops reading and TCP holds the server back.
const CHUNKS_MAX: usize = 16;
const CHUNK_BYTES: usize = 64 << 10;
/// How long a server may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The records in the lines that a server sends, until it closes the connection. Give it one subtask.
///
/// Connects once and does not connect again; what was received and not processed when a job fails is lost. Line ends and invalid
/// UTF-8 are treated as for files.
///
/// ```no_run
/// use flott::connectors::{OnError, SocketSource};
/// use flott::prelude::*;
///
/// # fn main() -> Result<(), flott::Error> {
/// let env = StreamExecutionEnvironment::new();
/// let source = SocketSource::<_>::json_lines("127.0.0.1", 9999).on_error(OnError::DeadLetter);
/// let pairs: DataStream<(String, u64)> = env.from_source(source, "pairs").set_parallelism(1);
/// pairs.key_by(|pair| pair.0.clone()).sum(|pair| pair.1).print();
/// pairs.dead_letters().map(|letter| format!("{}: {}", letter.error, letter.text())).print_to_err();
/// env.execute("sums")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SocketSource<D> {
    address: Address,
    schema: Arc<D>,
    on_error: Option<OnError>,
}

/// The lines that a server sends, as text. Flink's `socketTextStream`.
pub type SocketTextSource = SocketSource<TextLines>;

#[derive(Clone, Debug)]
struct Address {
    host: String,
    port: u16,
}

impl SocketTextSource {
    /// Connects to `host:port`.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self::for_record_stream_format(TextLines, host, port)
    }
}

impl<T: Record> SocketSource<JsonLines<T>> {
    /// Reads the JSON values that a server at `host:port` sends, one a line; blank lines are none.
    pub fn json_lines(host: impl Into<String>, port: u16) -> Self {
        Self::for_record_stream_format(JsonLines::new(), host, port)
    }
}

impl<D: DeserializationSchema> SocketSource<D> {
    /// Reads the records that a server at `host:port` sends, in lines of this format.
    pub fn for_record_stream_format(schema: D, host: impl Into<String>, port: u16) -> Self {
        Self { address: Address { host: host.into(), port }, schema: Arc::new(schema), on_error: None }
    }

    /// Sets what happens to lines that are no record. By default text is repaired and anything else fails the job.
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = Some(on_error);
        self
    }
}

impl<D: DeserializationSchema> Source for SocketSource<D> {
    type Out = D::Out;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Unbounded
    }

    fn guarantee(&self) -> String {
        "at-most-once: a socket cannot replay".to_owned()
    }

    fn delivery_guarantee(&self) -> DeliveryGuarantee {
        DeliveryGuarantee::AtMostOnce
    }

    fn enumerator(&self, _context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        let payload = serde_json::Value::Null;
        let id = format!("{}:{}", self.address.host, self.address.port);
        Ok(Box::new(KnownSplits(vec![Split { id, payload, lane: None }])))
    }

    fn reader(&self, _context: &OperatorContext, waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(SocketReader {
            address: self.address.clone(),
            waker,
            connection: None,
            rest: Vec::new(),
            lines: Lines::new(Arc::clone(&self.schema), self.on_error),
        }))
    }
}

/// What the thread has to say; the channel's end is the end of the input.
type Chunk = Result<Vec<u8>, Failure>;

struct SocketReader<D: DeserializationSchema> {
    address: Address,
    waker: Waker,
    connection: Option<Connection>,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    lines: Lines<D>,
}

/// A thread that reads from the server. It ends when the server closes, or this is dropped.
struct Connection {
    chunks: Receiver<Chunk>,
    /// To interrupt the thread's read; absent until connected.
    stream: Arc<Mutex<Option<TcpStream>>>,
}

impl<D: DeserializationSchema> SourceReader for SocketReader<D> {
    fn assign(&mut self, _split: Split) -> Result<(), Failure> {
        self.connection = Some(Connection::open(self.address.clone(), self.waker.clone())?);
        Ok(())
    }

    fn poll(&mut self, out: &mut dyn Output) -> Result<Polled, Failure> {
        let Some(connection) = &self.connection else { return Ok(Polled::SplitFinished) };
        match connection.chunks.try_recv() {
            Ok(chunk) => {
                self.take(&chunk?)?;
                self.lines.emit(out)?;
                Ok(Polled::More)
            }
            Err(TryRecvError::Empty) => Ok(Polled::Waiting { until: None }),
            Err(TryRecvError::Disconnected) => {
                self.end(out)?;
                Ok(Polled::SplitFinished)
            }
        }
    }

    fn position(&self) -> Result<serde_json::Value, Failure> {
        // A server does not say again what it has said.
        Ok(serde_json::Value::Null)
    }

    fn stop(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        // What has been received is part of the input; what the server has not sent yet is not.
        while let Some(Ok(chunk)) = self.connection.as_ref().and_then(|connection| connection.chunks.try_recv().ok()) {
            self.take(&chunk)?;
            self.lines.emit(out)?;
        }
        self.end(out)
    }

    fn take_bad_records(&mut self) -> u64 {
        self.lines.take_bad()
    }
}

impl<D: DeserializationSchema> SocketReader<D> {
    fn take(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        let mut from = 0;
        for feed in memchr::memchr_iter(b'\n', chunk) {
            if self.rest.is_empty() {
                self.push(&chunk[from..feed])?;
            } else {
                let mut line = std::mem::take(&mut self.rest);
                line.extend_from_slice(&chunk[from..feed]);
                self.push(&line)?;
                line.clear();
                self.rest = line;
            }
            from = feed + 1;
        }
        self.rest.extend_from_slice(&chunk[from..]);
        Ok(())
    }

    fn push(&mut self, line: &[u8]) -> Result<(), Failure> {
        let Address { host, port } = &self.address;
        self.lines.push(line, || Origin { place: format!("{host}:{port}"), offset: None })
    }

    fn end(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        self.connection = None;
        let line = std::mem::take(&mut self.rest);
        if !line.is_empty() {
            self.push(&line)?;
        }
        self.lines.emit(out)
    }
}

impl Connection {
    fn open(address: Address, waker: Waker) -> Result<Self, Failure> {
        let (sender, chunks) = bounded(CHUNKS_MAX);
        let stream = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&stream);
        let read = move || {
            let ended = receive(&address, &shared, &sender, &waker);
            if let Err(failure) = ended {
                // A receiver that is gone has no use for it.
                let _ = sender.send(Err(failure));
            }
            drop(sender);
            waker.wake();
        };
        // Detached on purpose: resolving and connecting cannot be interrupted, and a dropped reader must not wait for them. The
        // thread ends at its next send or read, since dropping this closes both.
        thread::Builder::new()
            .name("socket-source".to_owned())
            .spawn(read)
            .map_err(|error| Failure::transient(format!("cannot start a thread: {}", cause(&error))))?;
        Ok(Self { chunks, stream })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Fails when the server was faster, and then nothing is left to do.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Reads until the server closes, or nobody listens any more.
fn receive(
    address: &Address,
    shared: &Mutex<Option<TcpStream>>,
    chunks: &Sender<Chunk>,
    waker: &Waker,
) -> Result<(), Failure> {
    let Address { host, port } = address;
    let refused = |error: &io::Error| {
        let cause = cause(error);
        let advice = format!("start the server first, e.g. nc -lk {port}");
        Failure::transient(format!("cannot connect to {host}:{port}: {cause}; {advice}"))
    };
    let mut stream = connect(host, *port).map_err(|error| refused(&error))?;
    let handle = stream.try_clone().map_err(|error| refused(&error))?;
    *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                // A slow trickle must not hold 64 KiB a line.
                chunk.truncate(read);
                chunk.shrink_to_fit();
                if chunks.send(Ok(chunk)).is_err() {
                    return Ok(());
                }
                waker.wake();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Failure::transient(format!("lost the connection to {host}:{port}: {}", cause(&error))));
            }
        }
    }
}

pub(super) fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;
    use crate::engine::operators::DeadLetter;
    use crate::engine::operators::testing::{Collected, context};
    use crate::engine::record::Str;
    use crate::graph::plan::ExecutionMode;

    fn reader(port: u16) -> (Box<dyn SourceReader>, Receiver<()>) {
        reader_of(&SocketTextSource::new("127.0.0.1", port))
    }

    /// A reader with its part assigned, and what its waker does: put a token into the channel.
    fn reader_of(source: &impl Source) -> (Box<dyn SourceReader>, Receiver<()>) {
        let (woken, wakes) = bounded(1);
        let waker = Waker::new(move || {
            let _ = woken.try_send(());
        });
        let context = context(ExecutionMode::Streaming);
        let splits = source.enumerator(&context).unwrap().discover().unwrap().splits;
        let mut reader = source.reader(&context, waker).unwrap();
        reader.assign(splits[0].clone()).unwrap();
        (reader, wakes)
    }

    fn read_to_end(reader: &mut dyn SourceReader, wakes: &Receiver<()>) -> Result<Vec<String>, Failure> {
        let mut out = Collected::default();
        loop {
            match reader.poll(&mut out)? {
                Polled::More => {}
                Polled::Waiting { .. } => wakes.recv_timeout(Duration::from_secs(10)).unwrap(),
                Polled::SplitFinished => return Ok(out.rows::<Str>().iter().map(Str::to_string).collect()),
            }
        }
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut reader, wakes) = reader(listener.local_addr().unwrap().port());
        let (mut server, _) = listener.accept().unwrap();
        for bytes in [b"on".as_slice(), b"e\ntwo\r\nth", b"r", b"ee\n\nfo\xffr"] {
            server.write_all(bytes).unwrap();
            server.flush().unwrap();
        }
        drop(server);
        let lines = read_to_end(reader.as_mut(), &wakes).unwrap();
        assert_eq!(lines, ["one", "two", "three", "", "fo\u{fffd}r"]);
        assert_eq!(reader.take_bad_records(), 1);
    }

    #[test]
    fn lines_that_are_no_record_fail_are_left_out_or_become_letters() {
        for (on_error, expected) in [(OnError::Fail, None), (OnError::Skip, Some(0)), (OnError::DeadLetter, Some(1))] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let source = SocketSource::<JsonLines<u64>>::json_lines("127.0.0.1", port).on_error(on_error);
            let (mut reader, wakes) = reader_of(&source);
            let (mut server, _) = listener.accept().unwrap();
            server.write_all(b"1\nnone\n2").unwrap();
            drop(server);
            let mut out = Collected::default();
            let ended = loop {
                match reader.poll(&mut out) {
                    Ok(Polled::More) => {}
                    Ok(Polled::Waiting { .. }) => wakes.recv_timeout(Duration::from_secs(10)).unwrap(),
                    Ok(Polled::SplitFinished) => break true,
                    Err(failure) => {
                        assert!(failure.message.contains(&format!("127.0.0.1:{port}")), "{failure}");
                        break false;
                    }
                }
            };
            assert_eq!(ended, expected.is_some(), "{on_error:?}");
            let Some(letters) = expected else { continue };
            assert_eq!((out.rows::<u64>(), reader.take_bad_records()), (vec![1, 2], 1), "{on_error:?}");
            let sides = out.side_rows::<DeadLetter>("dead-letters").into_iter();
            let found: Vec<String> = sides.map(|letter| letter.text()).collect();
            assert_eq!(found, vec!["none"; letters], "{on_error:?}");
        }
    }

    #[test]
    fn no_server_is_said_first_and_with_what_to_do() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (mut reader, wakes) = reader(port);
        let failure = read_to_end(reader.as_mut(), &wakes).unwrap_err();
        assert_eq!(
            failure.message,
            format!(
                "cannot connect to 127.0.0.1:{port}: connection refused; start the server first, e.g. nc -lk {port}"
            )
        );
    }

    #[test]
    fn a_stopped_reader_emits_what_came_and_hangs_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut reader, wakes) = reader(listener.local_addr().unwrap().port());
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"one\ntw").unwrap();
        wakes.recv_timeout(Duration::from_secs(10)).unwrap();
        let mut out = Collected::default();
        reader.stop(&mut out).unwrap();
        assert_eq!(out.rows::<Str>(), ["one", "tw"]);
        assert_eq!(reader.poll(&mut out).unwrap(), Polled::SplitFinished);
        assert_eq!(server.read(&mut [0]).unwrap(), 0, "the connection is closed");
    }
}
