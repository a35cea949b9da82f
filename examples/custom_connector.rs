//! A source and a sink of one's own: a ledger of payments in, account balances out.
//!
//! ```text
//! cargo run --example custom_connector -- --ledger /tmp/ledger --balances /tmp/balances
//! ```
//!
//! The *ledger* is a file of 16-byte payments: account and amount, little-endian. Its source divides it into ranges of whole payments,
//! which subtasks read in parallel. The *balances* are a directory with one file an account; the sink writes them in two phases, so that
//! they all change when the job has succeeded, and none otherwise.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use flott::engine::operators::{
    Boundedness, Discovery, NextDiscovery, OperatorContext, Output, Polled, Sink, SinkWriter, Source, SourceReader,
    SplitEnumerator, Waker,
};
use flott::engine::record::Rows;
use flott::graph::task::{Failure, Split};
use flott::prelude::*;

/// Sums the payments of a ledger into balances.
#[derive(clap::Parser)]
struct Args {
    /// The ledger; absent, one of 100,000 payments is written first.
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    /// Directory for the balances, one file an account.
    #[arg(long, value_name = "DIR")]
    balances: PathBuf,
    /// Number of subtasks.
    #[arg(long, value_name = "N", default_value_t = 2)]
    parallelism: u32,
}

type Payment = (u64, i64);

const PAYMENT_BYTES: u64 = 16;
const PAYMENTS_PER_SPLIT: u64 = 10_000;
const PAYMENTS_PER_BATCH: u64 = 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Args = flott::parse();
    if !args.ledger.exists() {
        write_ledger(&args.ledger)?;
    }
    let env = StreamExecutionEnvironment::new();
    env.set_parallelism(args.parallelism);
    env.from_source(LedgerSource { path: args.ledger }, "Ledger")
        .key_by(|(account, _)| *account)
        .emit(Emission::Final)
        .sum(|(_, amount)| *amount)
        .sink_to(BalanceSink { dir: args.balances })
        .name("Balances");
    env.execute("balances")?;
    Ok(())
}

// ---- The source ----------------------------------------------------------------------------------------------------

/// Reads payments. Every process of the job has one, made by `main`: it holds where the data is, and nothing open.
struct LedgerSource {
    path: PathBuf,
}

impl LedgerSource {
    /// Failures say the cause first. *Transient*: trying again may help. A ledger that is missing would be permanent.
    fn failed(path: &Path, error: &std::io::Error) -> Failure {
        Failure::transient(format!("cannot read the ledger {}: {error}", path.display()))
    }
}

impl Source for LedgerSource {
    type Out = Payment;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerator(&self, _context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        Ok(Box::new(LedgerEnumerator { path: self.path.clone() }))
    }

    fn reader(&self, _context: &OperatorContext, _waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        let ledger = File::open(&self.path).map_err(|error| Self::failed(&self.path, &error))?;
        Ok(Box::new(LedgerReader { path: self.path.clone(), ledger, left: 0..0 }))
    }
}

/// Runs once in the job, beside subtask 0, and says what there is to read.
struct LedgerEnumerator {
    path: PathBuf,
}

impl SplitEnumerator for LedgerEnumerator {
    fn discover(&mut self) -> Result<Discovery, Failure> {
        let bytes = fs::metadata(&self.path).map_err(|error| LedgerSource::failed(&self.path, &error))?.len();
        let payments = bytes / PAYMENT_BYTES;
        let starts = (0..payments).step_by(PAYMENTS_PER_SPLIT as usize);
        let split = |start: u64| {
            let end = (start + PAYMENTS_PER_SPLIT).min(payments);
            // The id names the part for ever; the payload is for our readers alone.
            Split { id: format!("payments {start}..{end}"), payload: serde_json::json!([start, end]), lane: None }
        };
        Ok(Discovery { splits: starts.map(split).collect(), next: NextDiscovery::Complete })
    }
}

/// Reads one split after the other, in one subtask.
struct LedgerReader {
    path: PathBuf,
    ledger: File,
    left: std::ops::Range<u64>,
}

impl SourceReader for LedgerReader {
    fn assign(&mut self, split: Split) -> Result<(), Failure> {
        let (start, end): (u64, u64) = serde_json::from_value(split.payload)
            .map_err(|error| Failure::permanent(format!("{error}: not a part of a ledger: {}", split.id)))?;
        let seek = self.ledger.seek(SeekFrom::Start(start * PAYMENT_BYTES));
        seek.map_err(|error| LedgerSource::failed(&self.path, &error))?;
        self.left = start..end;
        Ok(())
    }

    /// About one batch a call: in between the subtask answers its mail.
    fn poll(&mut self, out: &mut dyn Output) -> Result<Polled, Failure> {
        let payments = PAYMENTS_PER_BATCH.min(self.left.end - self.left.start);
        if payments == 0 {
            return Ok(Polled::SplitFinished);
        }
        let mut bytes = vec![0; (payments * PAYMENT_BYTES) as usize];
        self.ledger.read_exact(&mut bytes).map_err(|error| LedgerSource::failed(&self.path, &error))?;
        self.left.start += payments;
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let payment = |bytes: &[u8]| (number(&bytes[..8]), number(&bytes[8..]).cast_signed());
        out.emit(Box::new(Rows::new(bytes.chunks_exact(16).map(payment).collect::<Vec<Payment>>())))?;
        Ok(Polled::More)
    }

    /// What `assign` is given to go on from here, after a failure: it stands in the checkpoint.
    fn position(&self) -> Result<serde_json::Value, Failure> {
        Ok(serde_json::json!([self.left.start, self.left.end]))
    }

    fn stop(&mut self, _out: &mut dyn Output) -> Result<(), Failure> {
        self.left = 0..0;
        Ok(())
    }
}

// ---- The sink ------------------------------------------------------------------------------------------------------

/// Writes balances in two phases: each subtask stages its own in a hidden file; when all have, the job decides, and the staged files
/// are applied.
struct BalanceSink {
    dir: PathBuf,
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::permanent(format!("cannot write the balances to {}: {error}", path.display()))
}

impl Sink for BalanceSink {
    type In = (u64, i64);

    fn writer(&self, context: &OperatorContext) -> Result<Box<dyn SinkWriter<Self::In>>, Failure> {
        fs::create_dir_all(&self.dir).map_err(|error| unwritable(&self.dir, &error))?;
        // Job, subtask and attempt are in the name: an execution that was given up never writes into the file of its successor.
        let name = format!(".staged-{}-{}", context.job, context.attempt);
        Ok(Box::new(StagedBalances { dir: self.dir.clone(), name, files: 0, open: None }))
    }

    /// Called when the decision is durable, by any process of the job, and again if that fails: what was applied is gone, and
    /// applying it twice writes the same.
    fn commit(&self, staged: Vec<serde_json::Value>) -> Result<(), Failure> {
        for path in staged.iter().filter_map(|path| path.as_str().map(Path::new)).filter(|path| path.exists()) {
            let balances = fs::read_to_string(path).map_err(|error| unwritable(path, &error))?;
            for (account, balance) in balances.lines().filter_map(|line| line.split_once(' ')) {
                let to = self.dir.join(account);
                fs::write(&to, format!("{balance}\n")).map_err(|error| unwritable(&to, &error))?;
            }
            fs::remove_file(path).map_err(|error| unwritable(path, &error))?;
        }
        Ok(())
    }

    fn discard(&self, staged: Vec<serde_json::Value>) -> Result<(), Failure> {
        for path in staged.iter().filter_map(|path| path.as_str()) {
            // What is gone already needs no removing.
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

/// One subtask's staged balances. The open file is removed with the writer, unless it was handed over.
struct StagedBalances {
    dir: PathBuf,
    name: String,
    files: u32,
    open: Option<(PathBuf, File)>,
}

impl SinkWriter<(u64, i64)> for StagedBalances {
    fn write(&mut self, batch: Rows<(u64, i64)>) -> Result<(), Failure> {
        if self.open.is_none() {
            let path = self.dir.join(format!("{}-{}", self.name, self.files));
            self.files += 1;
            let file = File::create(&path).map_err(|error| unwritable(&path, &error))?;
            self.open = Some((path, file));
        }
        let lines: String = batch.0.iter().map(|(account, balance)| format!("{account} {balance}\n")).collect();
        let Some((path, file)) = &mut self.open else { return Ok(()) };
        file.write_all(lines.as_bytes()).map_err(|error| unwritable(path, &error))
    }

    /// At a checkpoint in streaming mode: what is written from here on goes into another file. After a failure the job goes on from the
    /// checkpoint, and this file is applied with it.
    fn prepare_checkpoint(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        self.prepare()
    }

    fn prepare(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        let Some((path, file)) = &self.open else { return Ok(Vec::new()) };
        file.sync_all().map_err(|error| unwritable(path, &error))?;
        let staged = serde_json::json!(path);
        self.open = None;
        Ok(vec![staged])
    }
}

impl Drop for StagedBalances {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.open {
            let _ = fs::remove_file(path);
        }
    }
}

/// A ledger in which account a of 100 receives 1 + 2 + … + 1000 times its own number, in some order.
fn write_ledger(path: &Path) -> std::io::Result<()> {
    let mut ledger = Vec::new();
    for i in 0..100_000u64 {
        let (account, amount) = (i % 100, (i % 100) * (i / 100 + 1));
        ledger.extend_from_slice(&account.to_le_bytes());
        ledger.extend_from_slice(&amount.to_le_bytes());
    }
    // Under another name first: in a cluster several processes may find that there is none.
    let own = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&own, ledger)?;
    fs::rename(own, path)
}
