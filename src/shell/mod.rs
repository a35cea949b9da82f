//! The master behind `flott app run --containers N`: one command in N containers, side by side.
//!
//! ```text
//! ask for N ─► granted: the next index is started there ─► ended ─┬─ well: done
//!                                                                 ├─ with its node, preempted …: asked for again
//!                                                                 └─ badly: the application has failed
//! ```
//!
//! Invariants: every index runs in one container at a time; the application succeeds when each has ended well once.

mod tasks;

use std::time::Duration;

use crate::application_master::{ApplicationMaster, Ask, Error, Event, Identity, Registration};
use crate::protocol::application_master::FinalStatus;
use crate::protocol::container::Allocation;
use crate::protocol::roles::ShellEnvironment;
use crate::rpc::ErrorKind;

use self::tasks::{Tasks, Verdict};

/// Of the containers; masters are asked for with 0.
const PRIORITY: u32 = 1;
/// How long a node that does not take a container's start is asked again.
const START_PAUSE: Duration = Duration::from_millis(200);
/// How often.
const STARTS_MAX: u32 = 5;

/// Runs the command everywhere, and unregisters with how that went.
///
/// # Errors
/// [`Error`] if the attempt is over, or nobody could be told.
pub async fn run(identity: &Identity, shell: &ShellEnvironment) -> Result<(), Error> {
    let mut master = ApplicationMaster::register(identity, Registration::default()).await?;
    let mut tasks = Tasks::new(shell.count);
    // What a former attempt has started nobody knows the index of.
    let kept: Vec<_> = master.live().map(|kept| kept.container).collect();
    for container in kept {
        master.release(container)?;
    }
    let ask = |count| Ask::anywhere(PRIORITY, shell.capability.clone(), count);
    master.ask(ask(tasks.waiting()))?;
    while !tasks.all_done() {
        match master.next().await? {
            Event::Granted(allocation) => match tasks.begin(allocation.container) {
                Some(index) => start(&mut master, shell, &allocation, index).await?,
                None => master.release(allocation.container)?,
            },
            Event::Completed(status) => match tasks.ended(&status) {
                Verdict::None => {}
                Verdict::Done => master.set_progress(tasks.progress())?,
                Verdict::Again => master.ask(ask(tasks.waiting()))?,
                Verdict::Failed(why) => {
                    return master.finish(FinalStatus::Failed, &why).await;
                }
            },
            Event::StopRequested(why) => {
                return master.finish(FinalStatus::Killed, &why).await;
            }
            Event::NodeChanged(_) | Event::Waiting(_) | Event::Preempting(_) => {}
        }
    }
    master.finish(FinalStatus::Succeeded, &tasks.summary()).await
}

/// A container that its node will not take goes back; its end is told as any other, and the run is asked for again.
async fn start(
    master: &mut ApplicationMaster,
    shell: &ShellEnvironment,
    allocation: &Allocation,
    index: u32,
) -> Result<(), Error> {
    let context = tasks::context(shell, index);
    for tried in 1.. {
        match master.start(allocation, context.clone()).await {
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::Transient && tried < STARTS_MAX => {
                tokio::time::sleep(START_PAUSE).await;
            }
            Err(error) => {
                tracing::warn!(container = %allocation.container, node = %allocation.node, %error, "not started");
                master.release(allocation.container)?;
                break;
            }
        }
    }
    Ok(())
}
