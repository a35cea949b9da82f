//! What a barrier costs the thread of a task with much state, and what restoring that costs.
//!
//! One operator by hand, as a task's loop runs it: batches of records whose keys are drawn evenly at random change their values; at a
//! barrier the state is frozen, which holds the thread up, and another thread writes it to a file while batches go on and copy the
//! entries that they change first. In the end a second operator is restored from the last file.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use flott::engine::checkpoint::{LocalStorage, RestoredStates, Taker, write_states};
use flott::graph::task::{RestoredFile, StateFile};
use flott::ids::OperatorId;
use flott::prelude::*;
use flott::testing::KeyedOneInputHarness;
use flott::time::Stopwatch;

use crate::latency::Taken;
use crate::scatter;

const OPERATOR: OperatorId = OperatorId(1);
const KEY_GROUPS: u32 = 128;
const BATCH: u64 = 1024;

/// What is measured.
#[derive(Clone, clap::Args)]
pub struct Barrier {
    /// How much memory the state takes.
    #[arg(long, default_value_t = 1024)]
    megabytes: u64,
    /// How many barriers come, one as soon as the file of the one before has been written and as long again.
    #[arg(long, default_value_t = 20)]
    barriers: u32,
    /// Where the files go, of which two are there at a time.
    #[arg(long)]
    directory: PathBuf,
}

impl Barrier {
    pub fn run(&self) -> Result<(), flott::Error> {
        let mut task = Task::new();
        task.operator.open().expect("the operator opens");
        let keys = task.fill(self.megabytes);
        println!("state of {keys} keys, {} MB", resident_mb());
        let (mut holds, mut worst) = (Taken::default(), Taken::default());
        let (mut apart, mut meanwhile) = (Taken::default(), Taken::default());
        let mut last: Option<StateFile> = None;
        for barrier in 0..self.barriers {
            let (hold, done) = task.barrier(&self.directory, barrier);
            holds.add(nanos(hold));
            let watch = Stopwatch::start();
            let (file, longest) = loop_until(&done, || task.batch(keys), &mut meanwhile);
            worst.add(nanos(hold + longest));
            if let Some(before) = last.replace(file) {
                std::fs::remove_file(before.path).expect("the file before is there");
            }
            let (took, rest) = (watch.elapsed(), Stopwatch::start());
            while rest.elapsed() < took {
                apart.add(nanos(task.batch(keys)));
            }
        }
        holds.print("barrier: hold of the thread");
        worst.print("barrier: hold and the longest batch until the file is there");
        apart.print("barrier: batches of 1024 without a checkpoint");
        meanwhile.print("barrier: batches of 1024 while a file is written");
        meanwhile.histogram();
        drop(task);
        if let Some(file) = last {
            restore(&file, keys);
            std::fs::remove_file(&file.path).expect("the last file is there");
        }
        Ok(())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Batches until the file is written; that, and how long the longest took.
fn loop_until(
    done: &Receiver<StateFile>,
    mut batch: impl FnMut() -> Duration,
    taken: &mut Taken,
) -> (StateFile, Duration) {
    let mut longest = Duration::ZERO;
    loop {
        match done.try_recv() {
            Ok(file) => return (file, longest),
            Err(TryRecvError::Disconnected) => panic!("the file is not written"),
            Err(TryRecvError::Empty) => {}
        }
        let took = batch();
        longest = longest.max(took);
        taken.add(nanos(took));
    }
}

fn restore(file: &StateFile, keys: u64) {
    let mut task = Task::new();
    let taker = Taker { subtask: 0, parallelism: 1, groups: 0..KEY_GROUPS, max_parallelism: KEY_GROUPS };
    let written = RestoredFile { file: file.clone(), subtask: 0, parallelism: 1 };
    let watch = Stopwatch::start();
    let mut states = RestoredStates::open(&LocalStorage, &[written], taker).expect("the file is whole");
    task.operator.open_from(&mut states.operator(OPERATOR, true, Now(0))).expect("the state is restored");
    let seconds = watch.elapsed().as_secs_f64();
    println!("restore of {keys} entries: {:.2} M entries/s, {seconds:.2} s", keys as f64 / seconds / 1e6);
}

/// Adds up.
#[derive(Clone, Default)]
struct Sum {
    sum: ValueState<u64>,
}

impl KeyedProcessFunction<u64, u64, u64> for Sum {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.sum = ctx.value_state("sum");
        Ok(())
    }

    fn process_element(&mut self, _key: u64, ctx: &mut KeyedContext<'_, u64>, _out: &mut Collector<'_, u64>) {
        *self.sum.get_or_default(ctx) += 1;
    }
}

/// A task's operator, and what has come so far.
struct Task {
    operator: KeyedOneInputHarness<u64, u64, u64>,
    number: u64,
}

impl Task {
    fn new() -> Self {
        Self { operator: KeyedOneInputHarness::new(|key: &u64| *key, Sum::default()), number: 0 }
    }

    /// New keys until the process has grown by so much; how many they are.
    fn fill(&mut self, megabytes: u64) -> u64 {
        let (before, mut keys) = (resident_mb(), 0);
        while resident_mb() < before + megabytes {
            for _ in 0..64 {
                self.operator.process_elements(keys..keys + BATCH).expect("sums have room");
                keys += BATCH;
            }
        }
        keys
    }

    /// How long a batch of records of all keys alike takes.
    fn batch(&mut self, keys: u64) -> Duration {
        let records: Vec<u64> = (self.number..self.number + BATCH).map(|number| scatter(number) % keys).collect();
        self.number += BATCH;
        let watch = Stopwatch::start();
        self.operator.process_elements(records).expect("sums have room");
        watch.elapsed()
    }

    /// Freezes the state and has it written; how long the thread was held up, and where the file's name will come.
    fn barrier(&mut self, directory: &Path, number: u32) -> (Duration, Receiver<StateFile>) {
        let watch = Stopwatch::start();
        let snapshot = self.operator.snapshot().expect("sums can be frozen");
        let hold = watch.elapsed();
        let (directory, (send, receive)) = (directory.display().to_string(), sync_channel(1));
        std::thread::spawn(move || {
            let name = format!("state-{number}");
            let written = write_states(&LocalStorage, &directory, &name, false, vec![(OPERATOR, snapshot)]);
            let _ = send.send(written.expect("the directory can be written").expect("there is state"));
        });
        (hold, receive)
    }
}

/// The memory that this process holds now.
fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() / 1024
}
