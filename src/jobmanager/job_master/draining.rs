//! The end of a job whose input does not end by itself: its sources stop where they are, and all that it holds is emitted.
//!
//! Without a savepoint the tasks just finish, and what their sinks prepared is published as that of a bounded job. With one:
//!
//! ```text
//! barrier that ends the input ─► every operator finishes, then hands it on ─► savepoint complete ─► its output published ─► tasks end
//! ```
//! From the moment that the savepoint is complete the job only rolls forward: whatever fails then, what follows publishes its output
//! and ends. Until then a failure changes nothing: the job goes on from the checkpoint before. That holds where the savepoint alone
//! fails, too, for operators that have finished cannot go on.

use std::sync::Arc;

use super::cause::Cause;
use super::event::{Effect, Illegal};
use super::unwinding::Goal;
use super::{JobMaster, Phase};
use crate::engine::checkpoint::Manifest;
use crate::graph::task::{ExecutionState, Failure};
use crate::protocol::job::JobStatus;
use crate::protocol::worker::ToWorker;
use crate::time::Now;

impl JobMaster {
    /// A user wants the sources to end, so that the job finishes, without a savepoint.
    pub(super) fn stop(&mut self, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        if !matches!(self.phase, Phase::Running { .. }) || self.restarting.is_some() {
            let status = self.status();
            return Err(Illegal::new(format!("only a running job can be stopped; this one is {status}")));
        }
        let answers = self.splits.drain();
        self.answer(answers, out);
        self.end_sources(out);
        Ok(())
    }

    /// Ends the sources as if their input had ended.
    pub(super) fn end_sources(&self, out: &mut Vec<Effect>) {
        for (worker, attempts) in self.running_sources() {
            out.push(Effect::ToWorker { worker, message: ToWorker::StopSources { attempts } });
        }
    }

    /// The savepoint that the job's input has ended with, once it is complete. One of another job does not count: to go on from that is
    /// what this one is for.
    pub(super) fn drained(&self) -> Option<&Arc<Manifest>> {
        self.checkpoints.latest().filter(|manifest| manifest.drained && manifest.job == self.job)
    }

    /// Where the job has been drained, nothing is left but to publish the output of the savepoint. Whether it has.
    pub(super) fn publish_drained(&mut self, now: Now, out: &mut Vec<Effect>) -> bool {
        let Some(manifest) = self.drained().map(Arc::clone) else { return false };
        self.set_status(JobStatus::Running, now, out);
        self.mark_all(ExecutionState::Finished, now);
        let decision = self.output_of(&manifest);
        if decision.committables.is_empty() {
            self.end(JobStatus::Finished, None, now, out);
        } else {
            self.begin_publishing(decision, now, out);
        }
        true
    }

    /// The savepoint that was to end the job has failed, and some operators have finished: the job goes on from its latest checkpoint. Its
    /// user's wish has failed, not the job: its restart strategy is not asked.
    pub(super) fn restart_undrained(&mut self, failure: &Failure, now: Now, out: &mut Vec<Effect>) {
        let Phase::Running { since } = self.phase else { return };
        let message = format!("it was to be drained, and goes on, since the savepoint failed: {}", failure.message);
        let cause = Cause::own(Failure::transient(message));
        self.set_status(JobStatus::Restarting, now, out);
        self.begin_unwinding(Goal::Restart { at: now, cause }, now.since(since), now, out);
    }
}
