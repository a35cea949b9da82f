//! What a master hears.

use crate::protocol::application_master::{NodeReport, Pending};
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
    /// Somebody wants the application ended in an orderly way, for this reason.
    StopRequested(String),
}
