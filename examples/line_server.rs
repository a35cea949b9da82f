//! A line source for demonstrations: serves the lines of a text, over and over, to whoever connects.
//!
//! `cargo run --example line_server -- --file TEXT --port 8888 --rate 1000`

use std::io::{BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

/// Serves the lines of a text, over and over, to whoever connects.
#[derive(Parser)]
struct Arguments {
    /// The text
    #[arg(long)]
    file: PathBuf,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8888)]
    port: u16,
    /// Lines a second
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// End each connection after this many lines
    #[arg(long)]
    lines: Option<u64>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let path = &arguments.file;
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(!text.is_empty(), "{} is empty: there is nothing to serve", path.display());
    let listener = TcpListener::bind(("127.0.0.1", arguments.port))
        .with_context(|| format!("cannot listen on port {}", arguments.port))?;
    println!("serving {} on {}", path.display(), listener.local_addr()?);
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let (text, arguments) = (&text, &arguments);
            let stream = stream.context("cannot accept a connection")?;
            // Whoever hangs up is served no more; that is how a job ends.
            scope.spawn(move || serve(stream, text, arguments));
        }
        Ok(())
    })
}

/// Writes lines in bursts of 10 ms until the client hangs up or has had its number.
fn serve(stream: TcpStream, text: &str, arguments: &Arguments) -> std::io::Result<()> {
    let mut out = BufWriter::new(stream);
    let mut lines = text
        .lines()
        .cycle()
        .take(arguments.lines.map_or(usize::MAX, |lines| usize::try_from(lines).unwrap_or(usize::MAX)));
    let burst = (arguments.rate / 100).max(1);
    let pause = Duration::from_secs_f64(f64::from(burst) / f64::from(arguments.rate));
    // A channel that nobody sends on is a timer.
    let (_open, timer): (SyncSender<()>, _) = sync_channel(0);
    loop {
        for _ in 0..burst {
            let Some(line) = lines.next() else { return out.flush() };
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        match timer.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) | Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
