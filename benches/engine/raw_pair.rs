//! Two threads and a TCP connection on loopback: the least that a message can take here.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::latency::{Taken, now_ns};

/// What is measured: messages of eight bytes, the moment they are due, at the pace of the latency job.
#[derive(Clone, clap::Args)]
pub struct RawPair {
    /// Messages a second.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// How long they come.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

impl RawPair {
    pub fn run(&self) -> Result<(), flott::Error> {
        let (sender, receiver) = connected().expect("loopback connects");
        let (interval_ns, messages) = (1_000_000_000 / self.rate, self.rate * self.seconds);
        let sending = thread::spawn(move || send(sender, interval_ns, messages));
        receive(receiver).print("raw TCP latency");
        sending.join().expect("the sender ends");
        Ok(())
    }
}

fn connected() -> std::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let sender = TcpStream::connect(listener.local_addr()?)?;
    sender.set_nodelay(true)?;
    Ok((sender, listener.accept()?.0))
}

fn send(mut to: TcpStream, interval_ns: u64, mut left: u64) {
    let mut next_due = now_ns() + 100_000_000;
    let mut frame = Vec::new();
    while left > 0 {
        frame.clear();
        while left > 0 && next_due <= now_ns() && frame.len() < 8192 {
            frame.extend(next_due.to_le_bytes());
            next_due += interval_ns;
            left -= 1;
        }
        if frame.is_empty() {
            thread::park_timeout(Duration::from_millis(1));
        } else {
            to.write_all(&frame).expect("the receiver listens");
        }
    }
}

fn receive(mut from: TcpStream) -> Taken {
    let mut taken = Taken::default();
    let (mut buffer, mut filled) = (vec![0; 64 * 1024], 0);
    loop {
        let read = from.read(&mut buffer[filled..]).expect("the sender sends");
        if read == 0 {
            return taken;
        }
        filled += read;
        let now = now_ns();
        let (messages, _) = buffer[..filled].as_chunks::<8>();
        messages.iter().for_each(|due| taken.add(now.saturating_sub(u64::from_le_bytes(*due))));
        let whole = filled / 8 * 8;
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}
