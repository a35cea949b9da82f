//! A node of the cluster: localises files, launches containers as processes, holds them to their limits, reports their ends.
mod admission;
mod container;
mod core;
mod error;
mod resources;
pub use self::admission::Registration;
pub use self::container::{ContainerRecord, Found, Lease};
pub use self::core::{Core, Effect, Event, Launch, Policy, RequestId};
pub use self::error::{Error, Illegal, Refused};
pub use self::resources::{Content, ResourceKey, Scope};
