//! The ResourceManager's scheduler under thousands of simulated nodes, in virtual time: `flott simulate scheduler`.
//!
//! ```text
//! workload (trace or seed) ─► world: applications ask, nodes report ended containers each second, nodes fail and return
//!                               │ the same calls that the ResourceManager's core makes
//!                               ▼
//!                      scheduler │ null scheduler ─► grants ─► containers that end after their time
//! ```
//! An allocation counts when it was committed, its application has it, and its container has ended. The null scheduler takes
//! every ask on the next node without a look at anything: what is left is the cost of the world itself.

mod command;
mod measure;
mod null;
mod workload;
mod world;

use crate::ids::{ApplicationId, NodeId};
use crate::protocol::application_master::ResourceRequest;
use crate::resource::Resource;
use crate::resourcemanager::scheduler::{AllocationKey, AppKey, Grant, Scheduler, Standing};
use crate::time::Now;

pub use self::command::{Options, command};

/// What the world asks of whoever schedules.
trait Schedules {
    fn set_node(&mut self, node: &NodeId, rack: &str, capability: &Resource, up: bool);
    fn add_app(&mut self, id: ApplicationId, queue: &str, user: &str, priority: u32) -> Option<AppKey>;
    fn remove_app(&mut self, app: AppKey);
    fn ask(&mut self, app: AppKey, row: &ResourceRequest, now: Now);
    fn release(&mut self, allocation: AllocationKey);
    fn schedule(&mut self, now: Now) -> Vec<Grant>;
    /// What is wrong with its books.
    fn audit(&self) -> Result<(), String>;
    /// Queues below the root with what part of their promise they use.
    fn shares(&self) -> Vec<(String, f64)>;
}

impl Schedules for Scheduler {
    fn set_node(&mut self, node: &NodeId, rack: &str, capability: &Resource, up: bool) {
        let standing = if up { Standing::Usable } else { Standing::Gone };
        self.set_node(node, rack, "", capability, standing);
    }

    fn add_app(&mut self, id: ApplicationId, queue: &str, user: &str, priority: u32) -> Option<AppKey> {
        self.add_app(id, queue, user, priority)
    }

    fn remove_app(&mut self, app: AppKey) {
        self.remove_app(app);
    }

    fn ask(&mut self, app: AppKey, row: &ResourceRequest, now: Now) {
        self.ask(app, row, &row.capability, now);
    }

    fn release(&mut self, allocation: AllocationKey) {
        self.release(allocation);
    }

    fn schedule(&mut self, now: Now) -> Vec<Grant> {
        self.schedule(now, usize::MAX)
    }

    fn audit(&self) -> Result<(), String> {
        self.audit()?;
        self.overdrawn().map_or(Ok(()), Err)
    }

    fn shares(&self) -> Vec<(String, f64)> {
        self.shares()
    }
}
