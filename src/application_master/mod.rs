//! For authors of application masters: what an application is made of that is no flott job.
//!
//! An application master is any program that the ResourceManager starts in an application's first container. It registers, asks
//! for containers, starts a command in each that it is granted, hears how they end, and says how the whole went. The protocol is
//! YARN's `ApplicationMasterProtocol` and `ContainerManagementProtocol` ([`guide::yarn_protocol`](crate::guide::yarn_protocol)
//! has every message); [`guide::application_masters`](crate::guide::application_masters) tells it as a story, and
//! `examples/distributed_shell.rs` is a whole master.
//!
//! ```text
//! Identity::from_environment ─► ApplicationMaster::register ─► ask ─► next ─┬─ Granted ─► start
//!                                                              release ◄────┼─ Completed
//!                                                                           └─ NodeChanged, Waiting, Preempting …  ─► finish
//! ```
//!
//! ```no_run
//! use flott::application_master::{ApplicationMaster, Ask, Event, Identity, Registration};
//! use flott::protocol::application_master::FinalStatus;
//! use flott::protocol::container::LaunchContext;
//! use flott::resource::Resource;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), flott::application_master::Error> {
//! let mut master = ApplicationMaster::register(&Identity::from_environment()?, Registration::default()).await?;
//! master.ask(Ask::anywhere(1, Resource::new(256, 1), 2));
//! let mut left = 2;
//! while left > 0 {
//!     match master.next().await? {
//!         Event::Granted(container) => {
//!             let commands = vec!["hostname 1><LOG_DIR>/stdout".to_owned()];
//!             master.start(&container, LaunchContext { commands, ..LaunchContext::default() }).await?;
//!         }
//!         Event::Completed(status) => {
//!             println!("{} ended: {:?}", status.container, status.exit);
//!             left -= 1;
//!         }
//!         _ => {}
//!     }
//! }
//! master.finish(FinalStatus::Succeeded, "all have run").await
//! # }
//! ```
//!
//! Invariants: the table of asks lives here, so that a ResourceManager which has restarted is told it again, whole; each grant and
//! each completion is handed out once; nothing here decides what to ask for, or what the end of a container means.

mod asks;
mod error;
mod identity;
mod master;
mod news;

pub use self::asks::Ask;
pub use self::error::Error;
pub use self::identity::Identity;
pub use self::master::{ApplicationMaster, Registration};
pub use self::news::Event;
