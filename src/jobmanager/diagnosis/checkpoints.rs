//! Checkpoints that fail or take long, and in which phase.

use std::time::Duration;

use crate::graph::checkpoint::CheckpointTimings;
use crate::jobmanager::job_master::{CheckpointRecord, JobMaster};
use crate::protocol::diagnosis::{Evidence, Severity, Verdict, cause_and_remedy};
use crate::protocol::job::JobStatus;

/// A checkpoint without an interval to measure it by is slow from here on.
const SLOW: Duration = Duration::from_secs(30);

pub(super) fn diagnose(master: &JobMaster, status: JobStatus, verdicts: &mut Vec<Verdict>) {
    let history = master.checkpoint_history();
    let completed = history.latest_completed();
    if let Some(failed) = history.latest_failed().filter(|_| status == JobStatus::Running)
        && completed.is_none_or(|completed| completed.triggered < failed.triggered)
    {
        verdicts.push(failing(failed, history.failed_count()));
    }
    let interval = master.checkpoint_settings().interval.unwrap_or(SLOW).min(SLOW);
    if let Some(slow) =
        completed.filter(|_| status == JobStatus::Running).and_then(|latest| slow(master, latest, interval))
    {
        verdicts.push(slow);
    }
}

fn verdict(kind: &'static str) -> Verdict {
    Verdict::new(Severity::Warning, kind, Evidence::Checkpoints)
}

fn failing(record: &CheckpointRecord, count: u64) -> Verdict {
    let message = record.failure.as_ref().map(ToString::to_string).unwrap_or_default();
    let (cause, remedy) = cause_and_remedy(&message);
    Verdict {
        cause: format!("checkpoint {} failed: {cause}", record.checkpoint),
        evidence: format!("{count} failed so far, and none completed since"),
        remedy,
        ..verdict("checkpoint-failed")
    }
}

/// The longest phase of a subtask, with what to do about it.
fn longest_phase(timings: &CheckpointTimings) -> (u64, &'static str, &'static str) {
    let phases = [
        (
            timings.start_delay_ms,
            "the barrier's way to it",
            "barriers wait behind records: look for backpressure upstream",
        ),
        (
            timings.alignment_ms,
            "alignment",
            "one input is slower than the others: look for backpressure or skew upstream",
        ),
        (
            timings.sync_ms,
            "the synchronous part",
            "the subtask stands still meanwhile: make its state smaller, or spread it over more subtasks",
        ),
        (
            timings.async_ms,
            "writing the state",
            "the storage is slow for so much state: look at the disk or network of state.checkpoints.dir",
        ),
    ];
    phases.into_iter().max_by_key(|(millis, ..)| *millis).unwrap_or_default()
}

fn slow(master: &JobMaster, record: &CheckpointRecord, limit: Duration) -> Option<Verdict> {
    let took = record.ended?.since(record.triggered);
    if took < limit {
        return None;
    }
    let subtasks = record.subtasks.iter().filter_map(|(position, subtask)| Some((position, subtask.as_ref()?)));
    let ((vertex, subtask), slowest) = subtasks.max_by_key(|(_, subtask)| subtask.acknowledged)?;
    let (millis, phase, remedy) = longest_phase(&slowest.timings);
    let vertex = &master.graph().vertices[*vertex];
    Some(Verdict {
        cause: format!(
            "checkpoint {} took {:.1} s, most of it {phase} of {}",
            record.checkpoint,
            took.as_secs_f64(),
            vertex.name
        ),
        evidence: format!("subtask {subtask} was last: {phase} took {millis} ms"),
        remedy: remedy.to_owned(),
        vertex: Some(vertex.id),
        ..verdict("checkpoint-slow")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_phase_is_named_with_its_own_remedy() {
        let timings = CheckpointTimings { start_delay_ms: 5, alignment_ms: 900, sync_ms: 1, async_ms: 30 };
        let (millis, phase, remedy) = longest_phase(&timings);
        assert_eq!((millis, phase), (900, "alignment"));
        assert!(remedy.contains("skew"), "{remedy}");
    }
}
