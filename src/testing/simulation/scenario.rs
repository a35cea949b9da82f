//! What a seed's cluster is made of, and what is run on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::state_storage::StateStorage;
use super::wordcount::{CountsSink, Flakiness, Lines, Output};
use crate::api::{StreamExecutionEnvironment, text};
use crate::engine::checkpoint::Manifest;
use crate::engine::operators::{Collector, Emission, ProgramGraph};
use crate::engine::record::Str;
use crate::graph::plan::{ExecutionMode, Plan};
use crate::ids::JobId;
use crate::jobmanager::job_master::RestartStrategy;
use crate::resource::Resource;

/// Faults come between these moments, in milliseconds.
const FAULTS_END_MS: std::ops::Range<u64> = 2_000..14_000;

/// A cluster and its jobs.
pub(super) struct Scenario {
    /// Hosts and what they offer.
    pub(super) nodes: Vec<(String, Resource)>,
    pub(super) jobs: Vec<JobSpec>,
    pub(super) faults: usize,
    pub(super) faults_end_ms: u64,
    /// Whether the jobs fit, all at once, on the others.
    pub(super) can_lose_a_node: bool,
    pub(super) flakiness: Arc<Flakiness>,
}

/// One word count.
pub(super) struct JobSpec {
    /// Of the program.
    pub(super) name: String,
    pub(super) job: JobId,
    pub(super) parallelism: u32,
    /// Of each TaskManager.
    pub(super) slots: u32,
    /// Whether its TaskManagers outlive their JobManager.
    pub(super) keeps_containers: bool,
    pub(super) submit_at_ms: u64,
    pub(super) cancel: Option<(u64, CancelBy)>,
    /// When its user wants another parallelism, and which: never more than it has at first, so that it fits.
    pub(super) rescales: Vec<(u64, u32)>,
    /// When its user wants it drained.
    pub(super) drain: Option<u64>,
    pub(super) restart_strategy: RestartStrategy,
    pub(super) plan: Plan,
    pub(super) program: ProgramGraph,
    pub(super) output: Arc<Output>,
    /// Where its checkpoints lie.
    pub(super) storage: StateStorage,
    /// How many of them are kept.
    pub(super) retained: usize,
    /// How often they are made.
    pub(super) checkpoint_interval: Option<Duration>,
    /// Whether each new count of a word is written, not the last one alone.
    pub(super) updates: bool,
    /// How many independent parts it consists of.
    pipelines: usize,
    /// The input: lines by split.
    texts: Arc<Vec<Vec<Str>>>,
}

impl JobSpec {
    /// The naive counts of what has been read, where the job was drained; else of all.
    pub(super) fn expected(&self, drained: Option<&Manifest>) -> BTreeMap<String, u64> {
        let mut expected = BTreeMap::new();
        for (index, lines) in self.texts.iter().enumerate() {
            let read = drained.map_or(lines.len(), |manifest| read_of(manifest, index, lines.len()));
            let pipeline = index / self.texts.len().div_ceil(self.pipelines);
            for word in lines[..read].iter().flat_map(|line| line.split_whitespace()) {
                *expected.entry(format!("{pipeline}.{word}")).or_default() += 1;
            }
        }
        expected
    }
}

/// How many of a split's lines lie before a savepoint.
fn read_of(manifest: &Manifest, index: usize, lines: usize) -> usize {
    let id = format!("split-{index}");
    let is_done = manifest.sources.values().any(|source| source.done.contains(&id));
    let remaining = manifest.sources.values().flat_map(|source| &source.remaining).find(|split| split.id == id);
    match remaining {
        Some(split) => split.payload[1].as_u64().and_then(|line| usize::try_from(line).ok()).unwrap_or(0),
        None if is_done => lines,
        None => 0,
    }
}

/// How a user cancels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CancelBy {
    /// Asks the JobManager.
    JobManager,
    /// Kills the application.
    ResourceManager,
}

impl Scenario {
    /// An eventful one has streaming jobs alone that take checkpoints all the while, and at least four faults laid out.
    pub(super) fn of(seed: u64, eventful: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let nodes: Vec<_> = (1..=3).map(|n| (format!("n{n}"), Resource::new(rng.u64(2..=4) * 1024, 8))).collect();
        let flakiness = Arc::new(Flakiness::new(rng.fork()));
        let jobs: Vec<_> = (1..=rng.u32(2..=3)).map(|number| job(number, &mut rng, &flakiness, eventful)).collect();
        // A master takes half of what a TaskManager does; counted as a whole one, so that fragments do not matter.
        let wanted: u64 = jobs.iter().map(|job| 1 + u64::from(job.parallelism.div_ceil(job.slots))).sum();
        let mut places: Vec<u64> = nodes.iter().map(|(_, node)| node.memory_mb / 512).collect();
        places.sort_unstable();
        Self {
            can_lose_a_node: wanted <= places[..2].iter().sum(),
            nodes,
            jobs,
            faults: match eventful {
                true => rng.usize(4..=12),
                false if seed.is_multiple_of(10) => 0,
                false => rng.usize(1..=12),
            },
            faults_end_ms: rng.u64(FAULTS_END_MS),
            flakiness,
        }
    }

    pub(super) fn job_of_program(&self, name: &str) -> Option<&JobSpec> {
        self.jobs.iter().find(|job| job.name == name)
    }
}

fn job(number: u32, rng: &mut Rng, flakiness: &Arc<Flakiness>, eventful: bool) -> JobSpec {
    let name = format!("wordcount-{number}");
    let parallelism = rng.u32(1..=4);
    let splits = texts(rng, if eventful { 10..30 } else { 1..14 });
    let output = Arc::new(Output::default());
    let streaming = eventful || rng.bool();
    let checkpoint_interval = match eventful {
        true => Some(Duration::from_millis(rng.u64(20..120))),
        false => (streaming && rng.u32(0..4) > 0).then(|| Duration::from_millis(rng.u64(50..2_000))),
    };
    // Published while the job runs, which only checkpoints make exact.
    let updates = checkpoint_interval.is_some() && rng.bool();
    let emission = if updates { Emission::Updates } else { Emission::Final };
    let mode = if streaming { ExecutionMode::Streaming } else { ExecutionMode::Batch };
    let splits = Arc::new(splits);
    let pipelines = if rng.u32(0..3) == 0 { 2 } else { 1 };
    let (plan, program) = word_count(&name, (&splits, pipelines), parallelism, flakiness, &output, mode, emission);
    let cancel = (rng.u32(0..6) == 0).then(|| {
        let by = if rng.bool() { CancelBy::JobManager } else { CancelBy::ResourceManager };
        (rng.u64(300..6_000), by)
    });
    let rescales = match streaming && rng.bool() {
        true => (0..rng.u32(1..=3)).map(|_| (rng.u64(300..8_000), rng.u32(1..=parallelism))).collect(),
        false => Vec::new(),
    };
    let drain = (streaming && rng.u32(0..3) == 0).then(|| rng.u64(500..8_000));
    let attempts = if rng.u32(0..8) == 0 { 1 } else { 30 };
    JobSpec {
        name,
        job: JobId(u128::from(number)),
        parallelism,
        slots: rng.u32(1..=2),
        keeps_containers: rng.u32(0..4) > 0,
        submit_at_ms: rng.u64(0..4_000),
        cancel,
        rescales,
        drain,
        restart_strategy: RestartStrategy::FixedDelay { attempts, delay: Duration::from_millis(rng.u64(0..500)) },
        plan,
        program,
        output,
        storage: StateStorage::default(),
        retained: if eventful { rng.usize(1..=3) } else { 1 },
        checkpoint_interval,
        updates,
        pipelines,
        texts: splits,
    }
}

fn texts(rng: &mut Rng, splits: std::ops::Range<u32>) -> Vec<Vec<Str>> {
    let line = |rng: &mut Rng| {
        let words: Vec<String> = (0..rng.u32(1..12)).map(|_| format!("w{}", rng.u32(0..40))).collect();
        Str::from(words.join(" ").as_str())
    };
    (0..rng.u32(splits)).map(|_| (0..rng.u32(0..20)).map(|_| line(rng)).collect()).collect()
}

/// The program that a user would write.
fn word_count(
    name: &str,
    (splits, pipelines): (&Arc<Vec<Vec<Str>>>, usize),
    parallelism: u32,
    flakiness: &Arc<Flakiness>,
    output: &Arc<Output>,
    mode: ExecutionMode,
    emission: Emission,
) -> (Plan, ProgramGraph) {
    let env = StreamExecutionEnvironment::new();
    env.set_parallelism(parallelism);
    env.set_execution_mode(mode);
    // Of several, between which no data flows, each counts words of its own: `0.w7`, `1.w7`.
    let of_pipeline = splits.len().div_ceil(pipelines);
    for pipeline in 0..pipelines {
        let range = (pipeline * of_pipeline).min(splits.len())..((pipeline + 1) * of_pipeline).min(splits.len());
        let lines = env.from_source(Lines::new(splits, range, Arc::clone(flakiness)), format!("Lines {pipeline}"));
        let words = lines.flat_map(move |line, out: &mut Collector<'_, Str>| {
            for word in text::words(&line) {
                out.collect(Str::from(format!("{pipeline}.{word}").as_str()));
            }
        });
        let counts = words.key_by(|word| word.clone()).emit(emission).sum(|_| 1u64);
        counts.sink_to(CountsSink::new(Arc::clone(output)));
    }
    let job = env.job(name).expect("the graph is a word count");
    (job.plan, job.program)
}
