//! The moments at which a JobManager's death is hardest to get right.

use crate::jobmanager::event::Effect;
use crate::protocol::worker::ToWorker;

/// What an effect does, if it is of the coordinator, the split queue or the sinks.
pub(super) fn of_checkpoints(effect: &Effect) -> Option<&'static str> {
    match effect {
        Effect::ToWorker { message, .. } => match message {
            ToWorker::TriggerCheckpoint { .. } => Some("send a barrier"),
            ToWorker::AssignSplit { .. } => Some("hand a split out"),
            ToWorker::Commit { .. } => Some("have output published"),
            ToWorker::Discard { .. } => Some("have output removed"),
            ToWorker::StopSources { .. } | ToWorker::ResumeSources { .. } => Some("tell sources"),
            ToWorker::Deploy { .. } => Some("deploy from a checkpoint"),
            ToWorker::Cancel { .. } | ToWorker::NoMoreSplits { .. } | ToWorker::Shutdown => None,
        },
        Effect::WriteManifest { .. } => Some("begin a manifest"),
        Effect::DiscardCheckpoint { .. } => Some("remove a checkpoint"),
        Effect::DiscardOtherCheckpoints { .. } => Some("remove what is left of checkpoints"),
        _ => None,
    }
}
