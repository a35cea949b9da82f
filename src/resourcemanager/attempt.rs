//! An attempt's state machine: one run of an application's master.
//!
//! ```text
//! NEW ► SUBMITTED ► SCHEDULED ► ALLOCATED_SAVING ► ALLOCATED ► LAUNCHED ► RUNNING ► FINAL_SAVING ► FINISHING ► FINISHED
//!                       │              │               │           │         │        └► FAILED, KILLED
//!                       └──────────────┴─ kill, exit, expiry ──────┴─────────┘
//! ```
//! A *command* is a master that registers nowhere: it is RUNNING as soon as its node has it, and its exit is the attempt's end.
//! The master's container is stored before it is launched, and the end before the application hears of it. What the master
//! asks for and is told stands in [`Mailbox`](super::mailbox::Mailbox).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::asks::AskKey;
use super::error::Illegal;
use super::mailbox::Mailbox;
use super::record::{self, AttemptEnd, Master, Outcome};
use super::report::EndedContainer;
use super::scheduler::Reason;
use crate::ids::ApplicationAttemptId;
use crate::protocol::application_master::{FinalStatus, Pending};
use crate::protocol::container::{Exit, ExitCause, last_words};
use crate::time::Now;

/// One run of an application's master.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) id: ApplicationAttemptId,
    pub(crate) state: State,
    pub(crate) started_at: Now,
    /// Whether its master is a command.
    pub(crate) is_command: bool,
    /// Its master's container, once it has one.
    pub(crate) master: Option<Master>,
    /// What its master said when it registered.
    pub(crate) registration: Option<Registration>,
    pub(crate) progress: f32,
    pub(crate) blacklist: BTreeSet<String>,
    /// Nodes (`host:port`) that failed masters of earlier attempts.
    pub(crate) avoid: BTreeSet<String>,
    pub(crate) mailbox: Mailbox,
    /// Why asks wait, as was told last; the flag says that it is the master's own container.
    pub(crate) told: Vec<(AskKey, bool, Reason)>,
    /// Asks that can never be granted, by (priority, request id, resource name), with count, capability and reason.
    pub(crate) invalid: BTreeMap<(u32, u64, String), Pending>,
    pub(crate) end: Option<AttemptEnd>,
    /// Ticket of what it stored last.
    pub(crate) ticket: u64,
    /// Counts containers granted in this epoch.
    pub(crate) granted: u64,
    /// Its containers that ended, by id.
    pub(crate) ended: BTreeMap<crate::ids::ContainerId, EndedContainer>,
}

/// How a master can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) host: String,
    pub(crate) rpc_port: u16,
    pub(crate) tracking_url: String,
}

/// Where an attempt stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    New,
    Submitted,
    Scheduled,
    AllocatedSaving,
    Allocated,
    Launched,
    Running,
    /// The end is being stored. `master_gone`: its container completed meanwhile.
    FinalSaving {
        master_gone: bool,
    },
    /// Unregistered; its container is not gone yet.
    Finishing,
    Finished,
    Failed,
    Killed,
}

/// What can happen to an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Start,
    /// The scheduler knows that it wants a master.
    Scheduled,
    MasterAllocated(Master),
    /// What it last stored is durable.
    Stored,
    /// Its node has its master's container.
    MasterLaunched,
    Registered(Registration),
    Unregistered {
        final_status: FinalStatus,
        diagnostics: String,
        tracking_url: String,
    },
    /// Its master's container ended.
    MasterExited(Exit),
    /// Its master was silent too long, did not start, did not exit.
    Expired {
        why: String,
        counts: bool,
    },
    Kill {
        diagnostics: String,
    },
    /// From the store: it had a master's container and had not ended.
    Recover(Master),
}

/// What an attempt wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Tell the scheduler; `Scheduled` follows.
    Schedule,
    /// Store it; `Stored` follows.
    Store,
    /// Tell the node to start the master.
    Launch,
    /// The master may be silent for so long and no longer from now on: it has been recovered.
    AwaitMaster,
    /// The master's container should go soon.
    AwaitExit,
    /// Its application wants to know.
    Tell(super::application::Input),
    /// It is over; asks are void, and containers go, unless they are kept for the next attempt.
    Over,
}

impl Attempt {
    pub(crate) fn new(id: ApplicationAttemptId, is_command: bool, now: Now) -> Self {
        Self {
            id,
            state: State::New,
            started_at: now,
            is_command,
            master: None,
            registration: None,
            progress: 0.0,
            blacklist: BTreeSet::new(),
            avoid: BTreeSet::new(),
            mailbox: Mailbox::default(),
            told: Vec::new(),
            invalid: BTreeMap::new(),
            end: None,
            ticket: 0,
            granted: 0,
            ended: BTreeMap::new(),
        }
    }

    /// # Errors
    /// [`Illegal`] if that cannot happen now; nothing changes then.
    pub(crate) fn apply(&mut self, input: Input, now: Now, out: &mut Vec<Action>) -> Result<(), Illegal> {
        use State::{
            Allocated, AllocatedSaving, Failed, FinalSaving, Finished, Finishing, Killed, Launched, New, Running,
            Scheduled, Submitted,
        };
        match (&self.state, input) {
            (New, Input::Start) => {
                self.state = Submitted;
                out.push(Action::Schedule);
            }
            (New, Input::Recover(master)) => {
                self.state = Launched;
                self.master = Some(master);
                out.push(Action::AwaitMaster);
            }
            (Submitted, Input::Scheduled) => self.state = Scheduled,
            (Scheduled, Input::MasterAllocated(master)) => {
                self.state = AllocatedSaving;
                self.master = Some(master);
                out.push(Action::Store);
            }
            (AllocatedSaving, Input::Stored) => {
                self.state = Allocated;
                out.push(Action::Launch);
            }
            (Allocated | Launched, Input::MasterLaunched) if self.is_command => {
                self.state = Running;
                out.push(Action::Tell(super::application::Input::AttemptRegistered));
            }
            (Allocated, Input::MasterLaunched) => self.state = Launched,
            (Launched | Running, Input::MasterLaunched) => {}
            // Registration may overtake the report of the launch; a master registers again after it lost its link.
            (Allocated | Launched | Running, Input::Registered(registration)) => {
                self.state = Running;
                self.registration = Some(registration);
                out.push(Action::Tell(super::application::Input::AttemptRegistered));
            }
            (Running, Input::Unregistered { final_status, diagnostics, tracking_url }) => {
                let outcome = Outcome::Finished { final_status, tracking_url };
                self.save_end(outcome, diagnostics, None, now, out);
            }
            (AllocatedSaving | Allocated | Launched | Running, Input::MasterExited(exit)) => {
                self.master_exited(exit, now, out);
            }
            (AllocatedSaving | Allocated | Launched | Running, Input::Expired { why, counts }) => {
                self.save_end(Outcome::Failed { counts }, why, None, now, out);
            }
            (
                New | Submitted | Scheduled | AllocatedSaving | Allocated | Launched | Running,
                Input::Kill { diagnostics },
            ) => self.save_end(Outcome::Killed, diagnostics, None, now, out),
            (FinalSaving { master_gone }, Input::Stored) => {
                let gone = *master_gone;
                self.end_is_stored(gone, out);
            }
            (FinalSaving { .. }, Input::MasterExited(_)) => self.state = FinalSaving { master_gone: true },
            (Finishing, Input::MasterExited(_) | Input::Expired { .. }) => self.finish(out),
            // What ends or has ended: late reports, repeated requests.
            (
                FinalSaving { .. } | Finishing | Finished | Failed | Killed,
                Input::Kill { .. } | Input::MasterLaunched | Input::Unregistered { .. },
            )
            | (FinalSaving { .. } | Finished | Failed | Killed, Input::Expired { .. })
            | (Finished | Failed | Killed, Input::MasterExited(_)) => {}
            (_, input) => return Err(Illegal::new("attempt", self.id, &self.state, format!("{input:?}"))),
        }
        Ok(())
    }

    fn master_exited(&mut self, exit: Exit, now: Now, out: &mut Vec<Action>) {
        if self.is_command && exit.cause.is_success() {
            let outcome = Outcome::Finished { final_status: FinalStatus::Succeeded, tracking_url: String::new() };
            return self.save_end(outcome, String::new(), Some(exit.cause), now, out);
        }
        let counts = exit.cause.counts_as_attempt_failure();
        let whose = if self.is_command { "the command" } else { "the master" };
        let place = self.master.as_ref().map(|master| format!(" ({} on {})", master.container, master.node));
        let mut end = format!("{whose}'s container{} {}", place.unwrap_or_default(), sentence(&exit.cause));
        if matches!(self.state, State::Running) && exit.cause.is_success() {
            end.push_str(" without unregistering");
        }
        // The master's own last words are the cause; all that it wrote stands behind, in lines of its own.
        let mut diagnostics = match last_words(&exit.diagnostics) {
            Some(words) => format!("{} ({end})", words.trim_start_matches("error: ")),
            None => end,
        };
        let written = exit.diagnostics.trim();
        if written.lines().count() > 1 {
            diagnostics = format!("{diagnostics}\n{written}");
        }
        self.save_end(Outcome::Failed { counts }, diagnostics, Some(exit.cause), now, out);
    }

    fn save_end(
        &mut self,
        outcome: Outcome,
        diagnostics: String,
        exit: Option<ExitCause>,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let master_gone = exit.is_some();
        self.end = Some(AttemptEnd { outcome, diagnostics, exit, at: now });
        self.state = State::FinalSaving { master_gone };
        out.push(Action::Store);
    }

    fn end_is_stored(&mut self, master_gone: bool, out: &mut Vec<Action>) {
        use super::application::Input as Told;
        let AttemptEnd { outcome, diagnostics, at, .. } = self.end.clone().expect("FINAL_SAVING has an end");
        match outcome {
            Outcome::Finished { final_status, tracking_url } => {
                self.state = State::Finishing;
                out.push(Action::Tell(Told::AttemptUnregistered { final_status, diagnostics, tracking_url }));
                if master_gone {
                    self.finish(out);
                } else {
                    out.push(Action::AwaitExit);
                }
            }
            Outcome::Failed { counts } => {
                self.state = State::Failed;
                out.push(Action::Over);
                out.push(Action::Tell(Told::AttemptFailed { diagnostics, counts, at }));
            }
            Outcome::Killed => {
                self.state = State::Killed;
                out.push(Action::Over);
                out.push(Action::Tell(Told::AttemptKilled));
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<Action>) {
        self.state = State::Finished;
        out.push(Action::Over);
        out.push(Action::Tell(super::application::Input::AttemptFinished));
    }

    /// Takes up an attempt that had ended when the ResourceManager stopped. Its application may not have heard of that.
    pub(crate) fn recover_ended(stored: record::Attempt, is_command: bool) -> Self {
        let mut attempt = Self::new(stored.attempt, is_command, stored.started_at);
        let state = match stored.end.as_ref().map(|end| &end.outcome) {
            Some(Outcome::Finished { .. }) => State::Finished,
            Some(Outcome::Failed { .. }) => State::Failed,
            Some(Outcome::Killed) | None => State::Killed,
        };
        attempt.master = stored.master;
        attempt.end = stored.end;
        attempt.state = state;
        attempt
    }

    /// Whether its master may speak for it.
    pub(crate) fn is_registered(&self) -> bool {
        matches!(self.state, State::Running) && !self.is_command
    }

    /// Whether nothing comes after.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Finished | State::Failed | State::Killed)
    }

    pub(crate) fn record(&self) -> record::Attempt {
        record::Attempt {
            attempt: self.id,
            started_at: self.started_at,
            master: self.master.clone(),
            end: self.end.clone(),
        }
    }
}

/// The cause as the end of a sentence about a container.
fn sentence(cause: &ExitCause) -> String {
    match cause {
        ExitCause::Signal { .. } => format!("was {cause}"),
        ExitCause::OutOfMemory { .. } => format!("ran {cause}"),
        ExitCause::KilledByApplicationMaster
        | ExitCause::KilledByResourceManager { .. }
        | ExitCause::KilledByUser
        | ExitCause::KilledAfterApplicationEnd
        | ExitCause::Preempted { .. }
        | ExitCause::Released
        | ExitCause::Aborted { .. } => format!("was {cause}"),
        ExitCause::Completed { .. } => cause.to_string(),
        ExitCause::LaunchFailed { why } => format!("could not be launched: {why}"),
        ExitCause::NodeLost => "was lost with its node".to_owned(),
        ExitCause::DiskFailed => "ended because the node's disks failed".to_owned(),
    }
}

/// YARN's name (`RMAppAttemptState`).
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "NEW",
            Self::Submitted => "SUBMITTED",
            Self::Scheduled => "SCHEDULED",
            Self::AllocatedSaving => "ALLOCATED_SAVING",
            Self::Allocated => "ALLOCATED",
            Self::Launched => "LAUNCHED",
            Self::Running => "RUNNING",
            Self::FinalSaving { .. } => "FINAL_SAVING",
            Self::Finishing => "FINISHING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        })
    }
}
