//! Which input holds event time back: windows and timers fire no earlier than the slowest of all inputs allows.

use crate::graph::event_time::WatermarkHold;
use crate::ids::VertexId;
use crate::jobmanager::job_master::JobMaster;
use crate::protocol::diagnosis::{Evidence, Severity, Verdict};

/// Inputs that differ by less are a matter of intervals and batches.
const BEHIND_MS: u64 = 60_000;

/// A vertex whose event time waits for one of its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// Which of its subtasks waits longest.
    pub subtask: u32,
    /// The vertex it gets that input from, by position.
    pub by: usize,
    /// Of that vertex, the subtask.
    pub by_subtask: u32,
    /// Milliseconds of event time that the furthest input is ahead; `None` while the slowest has told no watermark.
    pub behind_ms: Option<u64>,
}

/// By which of its inputs the event time of the vertex at `index` is held back most; `None` where all are equally far.
pub fn held_back(master: &JobMaster, index: usize) -> Option<HeldBack> {
    let holds = (0..).zip(&master.execution().vertices[index]).filter_map(|(subtask, it)| {
        let hold = it.current.metrics.watermark_hold.filter(|_| !it.current.state.is_terminal())?;
        let (by, by_subtask) = master.graph().producer((index, subtask), hold.channel)?;
        Some(HeldBack { subtask, by, by_subtask, behind_ms: hold.behind_ms })
    });
    holds.max_by_key(|held| held.behind_ms.unwrap_or(u64::MAX))
}

/// Follows a hold against the stream to where it comes from: the vertex's position and the subtask.
fn origin(master: &JobMaster, held: &HeldBack) -> (usize, u32) {
    let graph = master.graph();
    let mut at = (held.by, held.by_subtask);
    // Vertices stand in topological order, so this ends.
    loop {
        let subtask = master.execution().vertices[at.0].get(at.1 as usize);
        let hold = subtask.and_then(|subtask| subtask.current.metrics.watermark_hold);
        let next = match hold {
            Some(WatermarkHold { channel, .. }) => graph.producer(at, channel),
            // One with a single channel is as far as what it reads.
            None => graph.producer(at, 0).filter(|_| graph.producer(at, 1).is_none()),
        };
        match next {
            Some(producer) => at = producer,
            None => return at,
        }
    }
}

/// One verdict for each place that holds others back.
pub(super) fn diagnose(master: &JobMaster, verdicts: &mut Vec<Verdict>) {
    let mut told: Vec<(usize, u32)> = Vec::new();
    for index in 0..master.graph().vertices.len() {
        let Some(held) =
            held_back(master, index).filter(|held| held.behind_ms.is_none_or(|behind| behind >= BEHIND_MS))
        else {
            continue;
        };
        let origin = origin(master, &held);
        if !told.contains(&origin) {
            told.push(origin);
            let (vertex, name) = named(master, index);
            verdicts.push(verdict(vertex, name, named(master, origin.0).1, origin.1, held.behind_ms));
        }
    }
}

/// Milliseconds in their two largest units.
fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

fn named(master: &JobMaster, index: usize) -> (VertexId, &str) {
    let vertex = &master.graph().vertices[index];
    (vertex.id, &vertex.name)
}

fn verdict(vertex: VertexId, name: &str, holder: &str, subtask: u32, behind_ms: Option<u64>) -> Verdict {
    let (evidence, remedy) = match behind_ms {
        None => (
            "it has told no watermark yet, so nothing that waits for event time fires".to_owned(),
            "if it has nothing to read for now, give its watermark strategy with_idleness; if its records have no timestamps, assign them",
        ),
        Some(behind) => (
            format!("its watermark is {} behind that of the furthest input", span(behind)),
            "if it is merely quiet, give its watermark strategy with_idleness; if its records are old, it catches up, and the others wait in state meanwhile",
        ),
    };
    Verdict {
        cause: format!("event time in {name} waits for subtask {subtask} of {holder}"),
        evidence,
        remedy: remedy.to_owned(),
        vertex: Some(vertex),
        ..Verdict::new(Severity::Warning, "watermark", Evidence::Graph)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::job_graph::{self, JobGraph};
    use crate::graph::plan::{NodeIndex, NodeKind, Plan};
    use crate::graph::task::TaskMetrics;
    use crate::ids::{ExecutionAttemptId, JobId, TaskManagerId, WorkerId};
    use crate::jobmanager::job_master::tests::plan;
    use crate::jobmanager::job_master::{Event, Settings};
    use crate::protocol::worker::ToJobManager;
    use crate::time::Now;

    /// `source ─hash─► map ─hash─► sink`, two subtasks each.
    fn three_vertices() -> Plan {
        let mut plan = Plan::clone(&plan(2));
        let mut map = plan.nodes[1].clone();
        (map.name, map.kind, map.operator_id) = ("map".to_owned(), NodeKind::Operator, crate::ids::OperatorId(77));
        plan.nodes.insert(1, map);
        let mut second = plan.edges[0].clone();
        (second.source, second.target) = (NodeIndex(1), NodeIndex(2));
        plan.edges.push(second);
        plan
    }

    /// A subtask by vertex and index, and its hold.
    type Hold = ((usize, usize), (u32, Option<u64>));

    /// The verdicts on a running job whose subtasks tell these holds.
    fn told(holds: &[Hold]) -> Vec<Verdict> {
        let plan = std::sync::Arc::new(three_vertices());
        let graph = JobGraph::new(&plan, job_graph::Settings { default_parallelism: 1, chaining: true }).unwrap();
        let (job, now) = (JobId(7), Now(0));
        let mut master = JobMaster::new(job, plan.clone(), graph, Settings::default(), now);
        let task_manager = TaskManagerId("a".to_owned());
        let worker = WorkerId { task_manager: task_manager.clone(), job, incarnation: 1 };
        let metrics = |master: &JobMaster, ((vertex, subtask), (channel, behind_ms)): &Hold| {
            let spec = &master.graph().vertices[*vertex];
            let attempt = ExecutionAttemptId {
                vertex: spec.id,
                subtask: u32::try_from(*subtask).unwrap(),
                attempt: master.execution().vertices[*vertex][*subtask].current.attempt,
            };
            let hold = WatermarkHold { channel: *channel, behind_ms: *behind_ms };
            (attempt, TaskMetrics { watermark_hold: Some(hold), ..TaskMetrics::default() })
        };
        let apply = |master: &mut JobMaster, event| master.apply(event, now, &mut Vec::new()).unwrap();
        apply(&mut master, Event::Start);
        apply(&mut master, Event::SlotsOffered { task_manager, slots: 2 });
        let (data_address, plan_hash) = ("a:1".to_owned(), plan.hash());
        apply(&mut master, Event::WorkerRegistered { worker: worker.clone(), pid: 1, data_address, plan_hash });
        let tasks = holds.iter().map(|hold| metrics(&master, hold)).collect();
        apply(&mut master, Event::Worker { worker, message: ToJobManager::Metrics { tasks, hot_keys: vec![] } });
        let mut verdicts = Vec::new();
        diagnose(&master, &mut verdicts);
        verdicts
    }

    #[test]
    fn who_holds_event_time_back_is_followed_to_where_it_comes_from_and_told_once() {
        let none = told(&[((2, 0), (1, Some(59_999)))]);
        assert_eq!(none, [], "inputs differ by a little all the time");

        // Both subtasks of the sink wait for map 1, and that for source 0.
        let holds = [((1, 1), (0, Some(70_000))), ((2, 0), (1, Some(75_000))), ((2, 1), (1, Some(3_725_000)))];
        let [verdict] = &told(&holds)[..] else { panic!("one verdict") };
        assert_eq!(verdict.cause, "event time in map waits for subtask 0 of source");
        assert_eq!(verdict.evidence, "its watermark is 1 min 10 s behind that of the furthest input");

        let [verdict] = &told(&[((2, 1), (1, None))])[..] else { panic!("one verdict") };
        assert_eq!(verdict.cause, "event time in sink waits for subtask 1 of map");
        assert!(verdict.remedy.contains("with_idleness"), "{}", verdict.remedy);
    }

    #[test]
    fn a_span_of_event_time_is_told_in_two_units() {
        let spans = [59_999, 3_599_000, 86_399_000, 90_000_000].map(span);
        assert_eq!(spans, ["59 s", "59 min 59 s", "23 h 59 min", "1 d 1 h"]);
    }
}
