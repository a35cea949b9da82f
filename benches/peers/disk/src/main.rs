//! State beyond memory in embedded stores: the work of flott's `benches/disk.rs`, so that both can be set side by side.
//!
//! ```text
//! apt-get install librocksdb-dev
//! cargo run --release -- <fjall|redb|rocksdb|rocksdb-each> <keys> <memory MB> <uniform|zipf> [seconds]
//! ```
//! A sum a key, in batches of 1024 records: read, changed, written back. First every key once, then keys at random for a while. No log
//! and no fsync anywhere, since a stream engine's checkpoint is its log; the memory is halved between what is read and what is
//! written. `rocksdb` reads a batch by one multi-get and writes it by one write batch, `rocksdb-each` gets and puts record by record, as
//! Flink's backend does.

mod rocks;

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use redb::ReadableTable;

const BATCH: usize = 1024;

/// A store of sums.
trait Store {
    fn add(&mut self, sums: &HashMap<u64, u64>) -> Result<(), Box<dyn Error>>;
}

struct Fjall {
    _database: fjall::Database,
    sums: fjall::Keyspace,
}

impl Fjall {
    fn open(path: &Path, memory: u64) -> Result<Self, Box<dyn Error>> {
        let database = fjall::Database::builder(path).cache_size(memory / 2).manual_journal_persist(true);
        let database = database.max_write_buffer_size(Some(memory / 2)).worker_threads(1).open()?;
        let options = || fjall::KeyspaceCreateOptions::default().expect_point_read_hits(true).max_memtable_size(memory / 4);
        let sums = database.keyspace("sums", options)?;
        Ok(Self { _database: database, sums })
    }
}

impl Store for Fjall {
    fn add(&mut self, sums: &HashMap<u64, u64>) -> Result<(), Box<dyn Error>> {
        for (key, more) in sums {
            let key = key.to_le_bytes();
            let known = self.sums.get(key)?.and_then(|value| Some(u64::from_le_bytes(value.as_ref().try_into().ok()?)));
            self.sums.insert(key, (known.unwrap_or(0) + more).to_le_bytes())?;
        }
        Ok(())
    }
}

const SUMS: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("sums");

struct Redb(redb::Database, u32);

impl Store for Redb {
    fn add(&mut self, sums: &HashMap<u64, u64>) -> Result<(), Box<dyn Error>> {
        let mut transaction = self.0.begin_write()?;
        // Without a durable commit now and then it never uses a page again.
        self.1 += 1;
        let durability = if self.1 % 1000 == 0 { redb::Durability::Immediate } else { redb::Durability::None };
        transaction.set_durability(durability)?;
        {
            let mut table = transaction.open_table(SUMS)?;
            for (key, more) in sums {
                let known = table.get(key)?.map_or(0, |value| value.value());
                table.insert(key, known + more)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, keys, memory, spread, seconds @ ..] = arguments.as_slice() else {
        return Err("which store, how many keys, how many MB, and uniform or zipf?".into());
    };
    let (keys, memory) = (keys.parse::<u64>()?, memory.parse::<u64>()? << 20);
    let seconds = seconds.first().map_or(Ok(30), |seconds| seconds.parse())?;
    let directory = std::env::temp_dir().join(format!("flott-peers-disk-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let mut store: Box<dyn Store> = match name.as_str() {
        "fjall" => Box::new(Fjall::open(&directory, memory)?),
        "redb" => {
            let mut builder = redb::Database::builder();
            Box::new(Redb(builder.set_cache_size(memory as usize).create(directory.join("redb"))?, 0))
        }
        "rocksdb" => Box::new(rocks::Rocks::open(&directory, memory, true)?),
        "rocksdb-each" => Box::new(rocks::Rocks::open(&directory, memory, false)?),
        other => return Err(format!("no store {other}").into()),
    };
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let mut sums = HashMap::with_capacity(BATCH);
    for start in (0..keys).step_by(BATCH) {
        sums.clear();
        sums.extend((start..(start + BATCH as u64).min(keys)).map(|key| (scrambled(key, keys), 1)));
        store.add(&sums)?;
    }
    let (filled, filled_cpu) = (started.elapsed(), cpu_seconds() - cpu);
    let (started, cpu, mut records) = (Instant::now(), cpu_seconds(), 0u64);
    while started.elapsed() < Duration::from_secs(seconds) {
        sums.clear();
        for _ in 0..BATCH {
            *sums.entry(drawn(keys, spread == "zipf")).or_default() += 1;
        }
        store.add(&sums)?;
        records += BATCH as u64;
    }
    let rate = records as f64 / started.elapsed().as_secs_f64();
    println!(
        "{name:13} {spread:8} {keys} keys, {} MB: filled in {:.1} s ({:.2} CPU us a key), {:.0} thousand records/s, \
         {:.2} CPU us a record, peak RSS {} MB",
        memory >> 20,
        filled.as_secs_f64(),
        filled_cpu * 1e6 / keys as f64,
        rate / 1e3,
        (cpu_seconds() - cpu) * 1e6 / records as f64,
        peak_rss_kb() >> 10
    );
    drop(store);
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// A key at random: all alike, or the k-th with a weight of 1/k.
fn drawn(keys: u64, zipf: bool) -> u64 {
    let rank = if zipf { ((keys as f64).powf(fastrand::f64()) as u64).min(keys) - 1 } else { fastrand::u64(..keys) };
    scrambled(rank, keys)
}

/// So that keys that are alike in rank are not alike in anything else.
fn scrambled(rank: u64, keys: u64) -> u64 {
    rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys
}

fn peak_rss_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

/// Of all threads, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
    ticks as f64 / 100.0
}
