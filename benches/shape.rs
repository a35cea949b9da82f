//! The shape of batches, keys and codecs, measured: records through closure → `key_by` → exchange over TCP → keyed sum.
//!
//! ```text
//! cargo bench --bench shape --no-default-features
//! ```
//!
//! Without default features, so that this binary can bring an allocator that counts; it allocates with mimalloc just the same.
//! `SHAPE_RECORDS` (default 4000000) sets the records of a run; each run is repeated and the cheapest is printed.
//! The alternatives stand side by side: columns or postcard rows, keys borrowed or owned by the receiver, the hash sent or made
//! again, the selected value sent or the whole record.

#![allow(missing_docs, unreachable_pub)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use flott::engine::network::{InputGate, Network, NetworkConfig, OPEN_BYTES, ResultPartition};
use flott::engine::record::{
    BATCH_RECORDS, Batch, BatchType, Element, Key, KeyRef, Keyed, KeyedTable, KeyedType, Record, Str, Waker, key_hash,
};
use flott::graph::plan::{EdgeId, Partitioner};
use flott::graph::task::{InputDeployment, OutputDeployment, Producer};
use flott::ids::{ExecutionAttemptId, JobId, TaskManagerId, VertexId, WorkerId};
use flott::time::Stopwatch;
use serde::{Deserialize, Serialize};

const RUNS: usize = 3;
const KEYS: u64 = 100_000;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[cfg(not(feature = "mimalloc"))]
mod counting {
    use std::alloc::{GlobalAlloc, Layout};
    use std::sync::atomic::Ordering;

    use mimalloc::MiMalloc;

    struct Counting;

    #[expect(unsafe_code, reason = "a global allocator cannot be had without")]
    // SAFETY: every call is handed on to mimalloc as it is; counting touches no memory but the counter.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            super::ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the caller's promise is mimalloc's condition.
            unsafe { MiMalloc.alloc(layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            super::ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the caller's promise is mimalloc's condition.
            unsafe { MiMalloc.alloc_zeroed(layout) }
        }

        unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            super::ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the caller's promise is mimalloc's condition.
            unsafe { MiMalloc.realloc(memory, layout, size) }
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            // SAFETY: the caller's promise is mimalloc's condition.
            unsafe { MiMalloc.dealloc(memory, layout) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;
}

/// What the receiver does before it probes.
#[derive(Clone, Copy, PartialEq)]
enum Receiver {
    /// Nothing: hash and key as they came.
    Borrows,
    /// Makes a key of its own for each record.
    Owns,
    /// Hashes the key again.
    Rehashes,
}

/// A text that the codec does not know: it goes as postcard rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct RowText(String);

/// The same with the inline string.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct RowStr(Str);

/// A number that the codec does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct RowNumber(u64);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    customer: String,
    product: String,
    note: String,
}

#[derive(Clone, Copy, Default)]
struct Measured {
    wall_ns: f64,
    cpu_ns: f64,
    bytes: f64,
    allocations: f64,
}

fn main() {
    let records = std::env::var("SHAPE_RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000_000);
    let words = Arc::new(words());
    println!(
        "{:<58} {:>8} {:>8} {:>8} {:>8}",
        format!("{records} records, {KEYS} keys"),
        "wall ns",
        "CPU ns",
        "bytes",
        "allocs"
    );

    let number = |i: u64| key_of(i);
    let one = |_: u64| 1u64;
    for receiver in [Receiver::Borrows, Receiver::Rehashes] {
        run("u64: columns", receiver, records, number, |n| *n, one, |v| v);
    }
    run("u64: postcard rows", Receiver::Borrows, records, number, |n| RowNumber(*n), |_| RowNumber(1), |v| v.0);

    let pair = |i: u64| (words[key_of(i) as usize].clone(), 1u64);
    for receiver in [Receiver::Borrows, Receiver::Owns, Receiver::Rehashes] {
        run("(Str, u64): columns", receiver, records, pair, |p| p.0.clone(), |p| p.1, |v| v);
    }
    run(
        "(Str, u64): postcard rows of Str",
        Receiver::Borrows,
        records,
        pair,
        |p| RowStr(p.0.clone()),
        |p| RowNumber(p.1),
        |v| v.0,
    );
    let owned = |i: u64| (words[key_of(i) as usize].to_string(), 1u64);
    for receiver in [Receiver::Borrows, Receiver::Owns] {
        run("(String, u64): columns", receiver, records, owned, |p| p.0.clone(), |p| p.1, |v| v);
    }
    run(
        "(String, u64): postcard rows of String",
        Receiver::Borrows,
        records,
        owned,
        |p| RowText(p.0.clone()),
        |p| RowNumber(p.1),
        |v| v.0,
    );

    let order = |i: u64| {
        let customer = words[key_of(i) as usize].to_string();
        Order {
            product: format!("product number {}", i % 1000),
            note: "to be left with the neighbours".to_owned(),
            customer,
        }
    };
    let len = |order: Order| order.note.len() as u64;
    run(
        "three strings: key Str, value selected by the sender",
        Receiver::Borrows,
        records,
        order,
        |o| Str::from(&o.customer),
        len,
        |v| v,
    );
    run(
        "three strings: key String, value selected by the sender",
        Receiver::Borrows,
        records,
        order,
        |o| o.customer.clone(),
        len,
        |v| v,
    );
    run(
        "three strings: whole record to the receiver",
        Receiver::Borrows,
        records,
        order,
        |o| Str::from(&o.customer),
        |o| o,
        |o: Order| o.note.len() as u64,
    );
}

/// A skewed choice of keys that costs nothing: products of two even numbers fall off as words do.
fn key_of(i: u64) -> u64 {
    let random = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (a, b) = (random >> 40, (random >> 16) & 0xff_ffff);
    (((a * b) >> 24) * KEYS) >> 24
}

fn words() -> Vec<Str> {
    let mut random = fastrand::Rng::with_seed(1);
    let word = |n: u64| {
        let mut word = format!("{n:x}");
        (0..random.usize(0..8)).for_each(|_| word.push(random.lowercase()));
        Str::from(word)
    };
    (0..KEYS).map(word).collect()
}

/// Runs one shape several times and prints the cheapest run.
fn run<T: Record, K: Key, V: Record>(
    name: &str,
    receiver: Receiver,
    records: u64,
    make: impl Fn(u64) -> T + Sync,
    key: impl Fn(&T) -> K + Sync,
    value: impl Fn(T) -> V + Sync,
    number: impl Fn(V) -> u64 + Sync,
) {
    let case = Case { receiver, records, make, key, value, number };
    let runs = (0..RUNS).map(|_| case.measure());
    let Some(best) = runs.min_by(|a, b| a.cpu_ns.total_cmp(&b.cpu_ns)) else { return };
    let receives = match receiver {
        Receiver::Borrows => "",
        Receiver::Owns => ", each key owned",
        Receiver::Rehashes => ", rehashed",
    };
    let allocations = if cfg!(feature = "mimalloc") { "-".to_owned() } else { format!("{:.3}", best.allocations) };
    let Measured { wall_ns, cpu_ns, bytes, .. } = best;
    println!("{:<58} {wall_ns:>8.1} {cpu_ns:>8.1} {bytes:>8.1} {allocations:>8}", format!("{name}{receives}"));
}

struct Case<M, KF, VF, N> {
    receiver: Receiver,
    records: u64,
    make: M,
    key: KF,
    value: VF,
    number: N,
}

impl<M, KF, VF, N> Case<M, KF, VF, N> {
    fn measure<T: Record, K: Key, V: Record>(&self) -> Measured
    where
        M: Fn(u64) -> T + Sync,
        KF: Fn(&T) -> K + Sync,
        VF: Fn(T) -> V + Sync,
        N: Fn(V) -> u64 + Sync,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let [a, b] = ["a", "b"].map(|name| {
            let config = NetworkConfig {
                tls: flott::rpc::Tls::OFF,
                bind_host: "127.0.0.1".to_owned(),
                worker: worker(name),
                secret: String::new(),
                open_bytes_max: OPEN_BYTES,
            };
            Network::start(runtime.handle(), config).expect("loopback has a free port")
        });
        let (feeding, eating) = (Parker::default(), Parker::default());
        let mut partition = partition(&a, &feeding);
        let batch_type: Arc<dyn BatchType> = Arc::new(KeyedType::<K, V>::new());
        let mut gates = [0, 1].map(|subtask| gate(&a, &b, subtask, &batch_type, &eating));
        let (watch, cpu, allocations) = (Stopwatch::start(), cpu_time(), ALLOCATIONS.load(Ordering::Relaxed));
        let sum = std::thread::scope(|scope| {
            scope.spawn(|| self.produce(&mut partition, &feeding));
            self.consume::<K, V>(&mut gates, &eating)
        });
        let (wall, cpu) = (watch.elapsed(), cpu_time().saturating_sub(cpu));
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - allocations;
        let records_in: u64 = gates.iter().map(InputGate::records_in).sum();
        let bytes_in: u64 = gates.iter().map(InputGate::bytes_in).sum();
        assert!(sum >= self.records && records_in == self.records, "records were lost");
        let per_record = |total: f64| total / self.records as f64;
        runtime.block_on(async { tokio::join!(a.shutdown(), b.shutdown()) });
        Measured {
            wall_ns: per_record(wall.as_nanos() as f64),
            cpu_ns: per_record(cpu.as_nanos() as f64),
            bytes: per_record(bytes_in as f64),
            allocations: per_record(allocations as f64),
        }
    }

    /// Closure and `key_by`, a batch at a time, as the operators do it.
    fn produce<T: Record, K: Key, V: Record>(&self, partition: &mut ResultPartition, parker: &Parker)
    where
        M: Fn(u64) -> T,
        KF: Fn(&T) -> K,
        VF: Fn(T) -> V,
    {
        let mut next = 0;
        while next < self.records {
            while !partition.has_room() {
                parker.park();
            }
            let end = self.records.min(next + BATCH_RECORDS as u64);
            let rows: Vec<T> = (next..end).map(&self.make).collect();
            next = end;
            let keys: Vec<K> = rows.iter().map(&self.key).collect();
            let hashes = keys.iter().map(key_hash).collect();
            let values = rows.into_iter().map(&self.value).collect();
            partition.emit(Box::new(Keyed::from_columns(hashes, keys, values))).expect("the consumer is there");
        }
        partition.end().expect("the consumer is there");
    }

    /// Both consumers, on one thread.
    fn consume<K: Key, V: Record>(&self, gates: &mut [InputGate; 2], parker: &Parker) -> u64
    where
        N: Fn(V) -> u64,
    {
        let mut tables = [KeyedTable::<K, u64>::new(), KeyedTable::new()];
        while !gates.iter().all(InputGate::is_finished) {
            let mut idle = true;
            for (gate, table) in gates.iter_mut().zip(&mut tables) {
                match gate.poll().expect("the producer is there") {
                    Some((_, Element::Batch(batch))) => self.fold(table, batch),
                    Some((_, Element::Watermark(_) | Element::Idle | Element::Barrier(_) | Element::EndOfInput)) => {}
                    None => continue,
                }
                idle = false;
            }
            if idle {
                parker.park();
            }
        }
        tables.iter().flat_map(KeyedTable::iter).map(|(_, sum)| sum).sum()
    }

    fn fold<K: Key, V: Record>(&self, table: &mut KeyedTable<K, u64>, batch: Box<dyn Batch>)
    where
        N: Fn(V) -> u64,
    {
        let number = &self.number;
        let mut add = |hash: u64, key: KeyRef<'_, K>, value: V| {
            *table.get_or_insert_with(hash, key, || 0).1 += number(value);
        };
        let batch = Keyed::<K, V>::of(batch);
        match self.receiver {
            Receiver::Borrows => batch.for_each(add),
            Receiver::Owns => batch.for_each(|hash, key, value| add(hash, KeyRef::Value(&key.to_owned()), value)),
            Receiver::Rehashes => batch.for_each(|_, key, value| match key {
                KeyRef::Value(own) => add(key_hash(own), key, value),
                // A Str on the stack: its hash is that of its text.
                KeyRef::Text(text) => add(key_hash(&Str::from(text)), key, value),
            }),
        }
    }
}

fn partition(network: &Network, parker: &Parker) -> ResultPartition {
    let consumers = vec![attempt(2, 0), attempt(2, 1)];
    let output = OutputDeployment { edge: EdgeId(0), partitioner: Partitioner::Hash, consumers, max_parallelism: 128 };
    network.result_partition(attempt(1, 0), &output, &parker.waker()).expect("nobody else has this name")
}

fn gate(from: &Network, to: &Network, subtask: u32, batch_type: &Arc<dyn BatchType>, parker: &Parker) -> InputGate {
    let data_address = from.data_address().unwrap_or_default().to_owned();
    let producers = vec![Producer { attempt: attempt(1, 0), worker: worker("a"), data_address }];
    let input = InputDeployment { edge: EdgeId(0), producers };
    to.input_gate(attempt(2, subtask), &input, Arc::clone(batch_type), &parker.waker())
        .expect("the producer's worker is there")
}

fn worker(name: &str) -> WorkerId {
    WorkerId { task_manager: TaskManagerId(name.to_owned()), job: JobId(1), incarnation: 1 }
}

fn attempt(vertex: u128, subtask: u32) -> ExecutionAttemptId {
    ExecutionAttemptId { vertex: VertexId(vertex), subtask, attempt: 0 }
}

/// User and system time of the process. The clock ticks of /proc are fine enough for runs of seconds.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// A subtask's sleep.
#[derive(Clone, Default)]
struct Parker(Arc<(Mutex<bool>, Condvar)>);

impl Parker {
    fn waker(&self) -> Waker {
        let this = self.clone();
        Waker::new(move || {
            *this.0.0.lock().expect("nobody panics with it") = true;
            this.0.1.notify_one();
        })
    }

    fn park(&self) {
        let mut awake = self.0.0.lock().expect("nobody panics with it");
        while !*awake {
            awake = self.0.1.wait(awake).expect("nobody panics with it");
        }
        *awake = false;
    }
}
