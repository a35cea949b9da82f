//! What a seed's cluster is made of, and what is run on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::programs::{Counting, Data, rules_of, word_count};
use super::state_storage::StateStorage;
use super::wordcount::{Flakiness, Output};
use crate::engine::checkpoint::Manifest;
use crate::engine::operators::ProgramGraph;
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
    /// What it writes.
    pub(super) counting: Counting,
    /// The bytes of keyed state that its workers hold in memory; absent: all of it.
    pub(super) state_memory: Option<u64>,
    /// How many independent parts it consists of.
    pipelines: usize,
    /// The input: lines by split.
    texts: Arc<Vec<Vec<Str>>>,
    /// What is broadcast.
    rules: Arc<Vec<Vec<Str>>>,
}

impl JobSpec {
    /// The naive counts of what has been read, where the job was drained; else of all.
    pub(super) fn expected(&self, drained: Option<&Manifest>) -> BTreeMap<String, u64> {
        let mut expected = BTreeMap::new();
        for (index, lines) in self.texts.iter().enumerate() {
            let pipeline = index / self.texts.len().div_ceil(self.pipelines);
            for line in &lines[..read_of(drained, &format!("split-{index}"), lines.len())] {
                for word in line.split_whitespace() {
                    *expected.entry(self.counting.counted(pipeline, word, line)).or_default() += 1;
                }
            }
        }
        if self.counting == Counting::Function {
            for (word, count) in &mut expected {
                let pipeline = word.split_once('.').map_or(0, |(pipeline, _)| pipeline.parse().unwrap_or(0));
                *count += self.rules_read(drained, pipeline);
            }
        }
        expected
    }

    fn rules_read(&self, drained: Option<&Manifest>, pipeline: usize) -> u64 {
        let of_split = |(index, rules): (usize, &Vec<Str>)| {
            read_of(drained, &format!("{}-{index}", rules_of(pipeline)), rules.len()) as u64
        };
        self.rules.iter().enumerate().map(of_split).sum()
    }
}

/// How many of a split's lines lie before a savepoint; without one, all.
fn read_of(manifest: Option<&Manifest>, id: &str, lines: usize) -> usize {
    let Some(manifest) = manifest else { return lines };
    let id = id.to_owned();
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
        let jobs = (1..=rng.u32(2..=3)).map(|number| {
            // What kind of a job it is changes nothing about the others.
            let mut kind = Rng::with_seed(seed.rotate_left(32) ^ u64::from(number));
            job(number, (&mut rng, &mut kind), &flakiness, eventful)
        });
        let jobs: Vec<_> = jobs.collect();
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

fn job(number: u32, (rng, kind): (&mut Rng, &mut Rng), flakiness: &Arc<Flakiness>, eventful: bool) -> JobSpec {
    let name = format!("wordcount-{number}");
    let parallelism = rng.u32(1..=4);
    let splits = texts(rng, if eventful { 10..30 } else { 1..14 });
    let output = Arc::new(Output::default());
    let streaming = eventful || rng.bool();
    let checkpoint_interval = match eventful {
        true => Some(Duration::from_millis(rng.u64(20..120))),
        false => (streaming && rng.u32(0..4) > 0).then(|| Duration::from_millis(rng.u64(50..2_000))),
    };
    // What is published while the job runs only checkpoints make exact.
    let simple = if checkpoint_interval.is_some() && rng.bool() { Counting::Updates } else { Counting::Last };
    let counting = Counting::draw(kind, streaming, checkpoint_interval.is_some(), simple);
    let state_memory = (streaming && kind.bool()).then(|| kind.u64(1..20_000));
    let mode = if streaming { ExecutionMode::Streaming } else { ExecutionMode::Batch };
    let rules = if counting == Counting::Function { rules(kind) } else { Vec::new() };
    let data = Data {
        texts: Arc::new(splits),
        rules: Arc::new(rules),
        output: Arc::clone(&output),
        flakiness: Arc::clone(flakiness),
    };
    let pipelines = if rng.u32(0..3) == 0 { 2 } else { 1 };
    let (plan, program) = word_count(&name, &data, pipelines, parallelism, mode, counting);
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
        counting,
        state_memory,
        pipelines,
        texts: data.texts,
        rules: data.rules,
    }
}

fn texts(rng: &mut Rng, splits: std::ops::Range<u32>) -> Vec<Vec<Str>> {
    let line = |rng: &mut Rng| {
        let words: Vec<String> = (0..rng.u32(1..12)).map(|_| format!("w{}", rng.u32(0..40))).collect();
        Str::from(words.join(" ").as_str())
    };
    (0..rng.u32(splits)).map(|_| (0..rng.u32(0..20)).map(|_| line(rng)).collect()).collect()
}

fn rules(rng: &mut Rng) -> Vec<Vec<Str>> {
    let rule = |number: u32| Str::from(format!("r{number}").as_str());
    (0..rng.u32(1..4)).map(|_| (0..rng.u32(0..9)).map(rule).collect()).collect()
}
