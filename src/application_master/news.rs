//! What a master hears.

use crate::protocol::application_master::{NodeReport, Pending, Preempting};
use crate::protocol::container::{Allocation, ContainerStatus};

/// What a master hears, one thing at a time, in the order it became known.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A container is the application's: to be started within ten minutes, or released.
    Granted(Box<Allocation>),
    /// A container has ended. Handed out once per container.
    Completed(ContainerStatus),
    /// A node came, went, or changed health.
    NodeChanged(NodeReport),
    /// Why asks wait; told when the kind of reason of one has changed.
    Waiting(Vec<Pending>),
    /// Containers that are to be taken for other queues: all there are, when they are others than before. Each ends by itself when
    /// its time is up; a master can save what it holds, and release it earlier.
    Preempting(Vec<Preempting>),
    /// Somebody wants the application ended in an orderly way, for this reason.
    StopRequested(String),
}
