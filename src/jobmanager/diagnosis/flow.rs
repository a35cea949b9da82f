//! Where records are held up, and by what: the bottleneck, hot keys, skew, malformed records.

use crate::graph::job_graph::JobGraph;
use crate::ids::VertexId;
use crate::jobmanager::job_master::{Execution, JobMaster};
use crate::protocol::diagnosis::{Evidence, Severity, Verdict};

/// A vertex whose busiest subtask works so many milliseconds of a second is at its limit.
const BUSY_MS: u64 = 800;
/// An upstream vertex that waits for room so long is held back.
const HELD_BACK_MS: u64 = 200;
/// A key with so many of a thousand records is hot, unless there are about so few keys anyway.
const HOT_KEY_PERMILLE: u64 = 250;
/// A subtask that gets so many times the mean is skewed.
const SKEW_FACTOR: u64 = 2;
/// Below so many records a second, or while its subtasks work less of a second, a vertex has no skew worth a word.
const SKEW_RATE_MIN: u64 = 100;
const SKEW_BUSY_MS: u64 = 300;

/// One vertex in numbers, of its running subtasks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Load {
    id: VertexId,
    name: String,
    parallelism: u32,
    /// Its records come from no other vertex.
    is_source: bool,
    /// Of the busiest subtask, of a second.
    busy_ms: u64,
    /// Of the most held back one, of a second.
    backpressured_ms: u64,
    /// Records a second, by subtask.
    rates: Vec<u64>,
    hot_key_permille: u64,
    /// Of the subtask that has it.
    hot_key: Option<String>,
    bad_records: u64,
}

impl Load {
    fn new(master: &JobMaster, index: usize) -> Self {
        let vertex = &master.graph().vertices[index];
        let executions: Vec<&Execution> =
            master.execution().vertices[index].iter().map(|subtask| &subtask.current).collect();
        let hottest = executions.iter().max_by_key(|it| it.metrics.hot_key_permille);
        let rates = || executions.iter().filter(|it| !it.state.is_terminal()).filter_map(|it| it.rates);
        Self {
            id: vertex.id,
            name: vertex.name.clone(),
            parallelism: vertex.parallelism,
            is_source: upstream(master.graph(), index).next().is_none(),
            busy_ms: rates().map(|rates| rates.busy_ms).max().unwrap_or(0),
            backpressured_ms: rates().map(|rates| rates.backpressured_ms).max().unwrap_or(0),
            rates: rates().map(|rates| rates.records_in).collect(),
            hot_key_permille: hottest.map_or(0, |it| it.metrics.hot_key_permille),
            hot_key: hottest.and_then(|it| it.hot_key.clone()),
            bad_records: executions.iter().map(|it| it.metrics.bad_records).sum(),
        }
    }

    /// The busiest subtask's share of the records, if it has far more than its part.
    fn skew(&self) -> Option<(usize, u64)> {
        let total: u64 = self.rates.iter().sum();
        let count = self.rates.len() as u64;
        let (subtask, most) = self.rates.iter().enumerate().max_by_key(|(_, rate)| **rate)?;
        let matters = total >= SKEW_RATE_MIN && self.busy_ms >= SKEW_BUSY_MS;
        let skewed = count > 1 && matters && most * count >= SKEW_FACTOR * total;
        skewed.then(|| (subtask, most * 100 / total.max(1)))
    }

    fn verdict(&self, severity: Severity, kind: &'static str) -> Verdict {
        Verdict { vertex: Some(self.id), ..Verdict::new(severity, kind, Evidence::Graph) }
    }
}

pub(super) fn diagnose(master: &JobMaster, verdicts: &mut Vec<Verdict>) {
    let loads: Vec<Load> = (0..master.graph().vertices.len()).map(|index| Load::new(master, index)).collect();
    for (index, load) in loads.iter().enumerate() {
        let upstream: Vec<&Load> = upstream(master.graph(), index).map(|source| &loads[source]).collect();
        let held_back = bottleneck(load, &upstream);
        verdicts.extend(hot_key(load, held_back.is_some()).or_else(|| skew(load, held_back.is_some())));
        verdicts.extend(held_back);
        verdicts.extend(bad_records(load));
    }
}

fn upstream(graph: &JobGraph, index: usize) -> impl Iterator<Item = usize> {
    graph.edges.iter().filter(move |edge| edge.target == index).map(|edge| edge.source)
}

fn percent(milliseconds: u64) -> u64 {
    milliseconds / 10
}

/// It works all the time, and somebody waits for it.
fn bottleneck(load: &Load, upstream: &[&Load]) -> Option<Verdict> {
    let held_back =
        upstream.iter().filter(|it| it.backpressured_ms >= HELD_BACK_MS).max_by_key(|it| it.backpressured_ms)?;
    (load.busy_ms >= BUSY_MS && load.backpressured_ms < HELD_BACK_MS).then(|| Verdict {
        cause: format!("{} is the bottleneck: it holds back {}", load.name, held_back.name),
        evidence: format!(
            "busy {} %, {} waits {} %",
            percent(load.busy_ms),
            held_back.name,
            percent(held_back.backpressured_ms)
        ),
        remedy: format!("give it more than {} subtasks, or make its work cheaper", load.parallelism),
        ..load.verdict(Severity::Warning, "bottleneck")
    })
}

/// How bad what concerns one subtask is: more, if others wait for it.
fn severity(holds_back: bool) -> Severity {
    if holds_back { Severity::Warning } else { Severity::Info }
}

fn hot_key(load: &Load, holds_back: bool) -> Option<Verdict> {
    let hot = load.parallelism > 1 && load.hot_key_permille >= HOT_KEY_PERMILLE;
    let key = load.hot_key.as_ref().map_or_else(|| "one key".to_owned(), |key| format!("the key {key:?}"));
    hot.then(|| Verdict {
        cause: format!("{key} of {} has at least {} % of its records", load.name, load.hot_key_permille / 10),
        evidence: "counted over the last records that came in by key".to_owned(),
        remedy: "one subtask does that key's work however many there are: fold before the exchange, or split the key"
            .to_owned(),
        ..load.verdict(severity(holds_back), "hot-key")
    })
}

fn skew(load: &Load, holds_back: bool) -> Option<Verdict> {
    let (subtask, share) = load.skew()?;
    Some(Verdict {
        cause: format!(
            "subtask {subtask} of {} gets {share} % of what its {} subtasks get",
            load.name,
            load.rates.len()
        ),
        evidence: format!(
            "{} of {} records a second, busy {} %",
            load.rates[subtask],
            load.rates.iter().sum::<u64>(),
            percent(load.busy_ms)
        ),
        remedy: if load.is_source {
            "what it reads comes in few parts: more and smaller files or partitions, or rebalance behind it".to_owned()
        } else {
            "rebalance before it, or choose keys that spread more evenly".to_owned()
        },
        ..load.verdict(severity(holds_back), "skew")
    })
}

fn bad_records(load: &Load) -> Option<Verdict> {
    let count = load.bad_records;
    (count > 0).then(|| Verdict {
        cause: format!("{} met {count} malformed record{}", load.name, if count == 1 { "" } else { "s" }),
        evidence: "they were repaired or dropped".to_owned(),
        remedy: "look for the first of them in the TaskManagers' logs".to_owned(),
        ..load.verdict(Severity::Info, "bad-records")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, busy_ms: u64, backpressured_ms: u64) -> Load {
        Load {
            id: VertexId(1),
            name: name.to_owned(),
            parallelism: 2,
            is_source: name.starts_with("Source"),
            busy_ms,
            backpressured_ms,
            rates: vec![],
            hot_key_permille: 0,
            hot_key: None,
            bad_records: 0,
        }
    }

    #[test]
    fn the_bottleneck_is_the_busy_vertex_that_others_wait_for() {
        let (source, slow) = (load("Source: s", 300, 700), load("map", 1000, 0));
        let verdict = bottleneck(&slow, &[&source]).unwrap();
        assert_eq!(verdict.cause, "map is the bottleneck: it holds back Source: s");
        assert_eq!(verdict.evidence, "busy 100 %, Source: s waits 70 %");
        // Busy without anybody waiting is a full machine, and one that waits itself only passes the pressure on.
        assert_eq!(bottleneck(&slow, &[&load("Source: s", 1000, 0)]), None);
        assert_eq!(bottleneck(&load("map", 900, 800), &[&source]), None);
        assert_eq!(bottleneck(&load("map", 500, 0), &[&source]), None);
    }

    #[test]
    fn skew_is_told_where_one_subtask_has_twice_its_part() {
        let with = |rates: &[u64]| Load { rates: rates.to_vec(), ..load("sum", 400, 0) };
        assert_eq!(with(&[1000, 10, 10, 10]).skew(), Some((0, 97)));
        let idle = Load { busy_ms: 10, ..with(&[1000, 10, 10, 10]) };
        assert_eq!(idle.skew(), None, "none is short of time");
        assert_eq!(with(&[1000, 900, 800]).skew(), None);
        assert_eq!(with(&[10, 0]).skew(), None, "too few to matter");
        assert_eq!(with(&[1000]).skew(), None, "one subtask cannot be skewed");
        assert_eq!(with(&[]).skew(), None);
    }

    #[test]
    fn a_hot_key_weighs_more_when_it_holds_others_back() {
        let hot = Load { hot_key_permille: 380, ..load("sum", 1000, 0) };
        assert_eq!(hot_key(&hot, true).unwrap().severity, Severity::Warning);
        let calm = hot_key(&hot, false).unwrap();
        assert_eq!(
            (calm.severity, calm.cause.as_str()),
            (Severity::Info, "one key of sum has at least 38 % of its records")
        );
        let named = hot_key(&Load { hot_key: Some("user \"7\"".to_owned()), ..hot.clone() }, false).unwrap();
        assert_eq!(named.cause, "the key \"user \\\"7\\\"\" of sum has at least 38 % of its records");
        assert_eq!(hot_key(&Load { parallelism: 1, ..hot }, true), None);
    }
}
