//! What can be wrong with a program's graph.

use super::plan::{MAX_PARALLELISM_LIMIT, PLAN_VERSION};

/// What is wrong with a plan. The messages name the operator and what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// Written by another version.
    #[error("the plan has format {found}, this flott reads {PLAN_VERSION}; build the program against this version")]
    Version {
        /// What it has.
        found: u32,
    },
    /// The program has no source.
    #[error("the program has no source; begin with a source such as env.read_text_file(path)")]
    NoSource,
    /// The program has no sink.
    #[error("the program has no sink: operator \"{operator}\" leads nowhere; end with a sink such as .print()")]
    NoSink {
        /// The last operator.
        operator: String,
    },
    /// An edge does not lead forward, or outside.
    #[error("edge {edge} leads from operator {from} to {to}, which is not behind it")]
    Edge {
        /// Which.
        edge: u32,
        /// From.
        from: u32,
        /// To.
        to: u32,
    },
    /// Two operators have one uid.
    #[error("operators \"{first}\" and \"{second}\" both have the uid \"{uid}\"; give each its own")]
    DuplicateUid {
        /// The uid.
        uid: String,
        /// Who has it.
        first: String,
        /// Who has it too.
        second: String,
    },
    /// A source that never ends in batch mode.
    #[error("source \"{operator}\" never ends, so the job cannot run in batch mode; use --execution-mode streaming")]
    UnboundedInBatch {
        /// The source.
        operator: String,
    },
    /// A parallelism of zero.
    #[error("operator \"{operator}\" has parallelism 0; set_parallelism takes 1 or more")]
    NoParallelism {
        /// Which.
        operator: String,
    },
    /// A parallelism beyond the number of key groups.
    #[error(
        "operator \"{operator}\" has parallelism {parallelism} and max parallelism {max}; lower the one by set_parallelism \
             or raise the other by set_max_parallelism"
    )]
    Parallelism {
        /// Which.
        operator: String,
        /// What it has.
        parallelism: u32,
        /// The largest allowed.
        max: u32,
    },
    /// A number of key groups that cannot be.
    #[error(
        "operator \"{operator}\" has max parallelism {max}; set_max_parallelism takes 1 to {MAX_PARALLELISM_LIMIT}"
    )]
    MaxParallelism {
        /// Which.
        operator: String,
        /// What it has.
        max: u32,
    },
    /// `forward` between operators of different parallelism.
    #[error(
        "forward needs equal parallelism, but operator \"{from}\" has {from_parallelism} and operator \"{to}\" has \
             {to_parallelism}; give both the same, or use rebalance, rescale, shuffle, global or broadcast"
    )]
    Forward {
        /// Who emits.
        from: String,
        /// Its parallelism.
        from_parallelism: u32,
        /// Who receives.
        to: String,
        /// Its parallelism.
        to_parallelism: u32,
    },
    /// The program used the API in a way that no graph corresponds to.
    #[error("{cause}")]
    Program {
        /// What it did, and what to do instead.
        cause: String,
    },
    /// A graph that differs from the stored plan.
    #[error(
        "the program builds another graph here than when it was planned: operator {index} is {here}, planned was {planned}; \
             what may differ between runs belongs into env.once(name, || value)"
    )]
    Differs {
        /// Position of the first that differs.
        index: u32,
        /// What this process built.
        here: String,
        /// What the plan holds.
        planned: String,
    },
}
