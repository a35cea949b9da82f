//! An application's state machine.
//!
//! ```text
//! NEW ► NEW_SAVING ► SUBMITTED ► ACCEPTED ◄► RUNNING ► FINAL_SAVING ► FINISHING ► FINISHED
//!           │            │          │  ▲        │            └──► FAILED, KILLED
//!           │            │          │  └attempt failed, some remain
//!           └─kill───────┴──────────┴─kill─► KILLING ► FINAL_SAVING ► KILLED
//! ```
//! Every state that clients rely on is stored before it shows: NEW_SAVING and FINAL_SAVING wait for the store. Attempts report
//! here; what an attempt does is in [`super::attempt`].

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::Illegal;
use super::record::{self, ApplicationEnd};
use super::scheduler::AppKey;
use crate::ids::{ApplicationAttemptId, ApplicationId, NodeId};
use crate::protocol::application_master::FinalStatus;
use crate::protocol::submission::{ApplicationState, Submission};
use crate::resource::Resource;
use crate::time::Now;

/// An application, from submission until it is dropped from the list of finished ones.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    pub(crate) submission: Submission,
    pub(crate) state: State,
    pub(crate) submitted_at: Now,
    /// When its first master was launched.
    pub(crate) launched_at: Option<Now>,
    /// The number of the current attempt; 0 before the first.
    pub(crate) attempt: u32,
    /// When attempts failed that count.
    pub(crate) failures: Vec<Now>,
    pub(crate) end: Option<ApplicationEnd>,
    /// Nodes that had containers of it, to be told to clean up.
    pub(crate) nodes: BTreeSet<NodeId>,
    /// Grows with each change.
    pub(crate) version: u64,
    /// Ticket of what it stored last.
    pub(crate) ticket: u64,
    /// Its place in the scheduler, while it lives.
    pub(crate) scheduled: Option<AppKey>,
    /// Whether it was let in before the ResourceManager restarted.
    pub(crate) recovered: bool,
    /// MB-milliseconds and core-milliseconds of containers that ended.
    pub(crate) used: (u64, u64),
    /// When it is killed at the latest.
    pub(crate) ends_by: Option<Now>,
    /// What was taken from it for others, since the ResourceManager started.
    pub(crate) preempted: Preempted,
}

/// What was taken from an application for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preempted {
    /// Masters' containers.
    pub masters: u64,
    /// Other containers.
    pub workers: u64,
    /// All of them together.
    pub resource: Resource,
}

/// Where an application stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    New,
    NewSaving,
    Submitted,
    Accepted,
    Running,
    /// The end is being stored; `shown` until then.
    FinalSaving {
        shown: ApplicationState,
        target: Target,
    },
    /// Its master has unregistered, its container is not gone yet.
    Finishing,
    Killing {
        shown: ApplicationState,
        diagnostics: String,
    },
    Ended(Final),
}

/// What FINAL_SAVING leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// FINISHING; FINISHED at once if the attempt is gone already.
    Finishing { attempt_gone: bool },
    /// A terminal state.
    Ended(Final),
}

/// The terminal states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Final {
    /// Its master unregistered.
    Finished,
    /// It did not.
    Failed,
    /// By request.
    Killed,
}

/// What can happen to an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Start,
    /// What it last stored is durable.
    Stored,
    /// Its queue has taken it.
    Admitted,
    Rejected {
        why: String,
    },
    AttemptRegistered,
    AttemptUnregistered {
        final_status: FinalStatus,
        diagnostics: String,
        tracking_url: String,
    },
    /// The attempt's master is gone after it unregistered.
    AttemptFinished,
    AttemptFailed {
        diagnostics: String,
        counts: bool,
        at: Now,
    },
    AttemptKilled,
    Kill {
        diagnostics: String,
    },
    /// From the store, not ended.
    Recover,
}

/// What an application wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Store it; `Stored` follows.
    Store,
    /// Ask its queue.
    Admit,
    /// Start attempt `number`.
    StartAttempt { number: u32 },
    /// Kill the current attempt.
    KillAttempt { diagnostics: String },
    /// Its end is durable and its master may be told.
    MasterMayExit,
    /// Nothing comes after: stop what is left of it and clean up.
    Ended,
}

impl Application {
    pub(crate) fn new(submission: Submission, now: Now) -> Self {
        Self {
            submission,
            state: State::New,
            submitted_at: now,
            launched_at: None,
            attempt: 0,
            failures: Vec::new(),
            end: None,
            nodes: BTreeSet::new(),
            version: 0,
            ticket: 0,
            scheduled: None,
            recovered: false,
            used: (0, 0),
            ends_by: None,
            preempted: Preempted::default(),
        }
    }

    pub(crate) fn id(&self) -> ApplicationId {
        self.submission.application
    }

    /// The current attempt; none before the first.
    pub(crate) fn current_attempt(&self) -> Option<ApplicationAttemptId> {
        (self.attempt > 0).then(|| self.id().attempt(self.attempt))
    }

    /// `attempts_max` is the smaller of its own and the cluster's limit.
    ///
    /// # Errors
    /// [`Illegal`] if that cannot happen now; nothing changes then.
    pub(crate) fn apply(
        &mut self,
        input: Input,
        attempts_max: u32,
        now: Now,
        out: &mut Vec<Action>,
    ) -> Result<(), Illegal> {
        match (&self.state, input) {
            (State::New, Input::Start) => self.save_new(out),
            (State::New, Input::Recover) | (State::NewSaving, Input::Stored) => {
                self.state = State::Submitted;
                out.push(Action::Admit);
            }
            (State::Submitted, Input::Admitted) => {
                self.state = State::Accepted;
                if self.attempt == 0 {
                    self.start_attempt(out);
                }
            }
            (State::NewSaving | State::Submitted, Input::Rejected { why }) => self.fail(why, now, out),
            (State::NewSaving | State::Submitted, Input::Kill { diagnostics }) => self.killed(diagnostics, now, out),
            (State::Accepted | State::Running, Input::AttemptRegistered) => self.state = State::Running,
            (State::Accepted | State::Running, Input::Kill { diagnostics }) => {
                self.state = State::Killing { shown: self.public_state(), diagnostics: diagnostics.clone() };
                out.push(Action::KillAttempt { diagnostics });
            }
            (State::Accepted | State::Running, Input::AttemptFailed { diagnostics, counts, at }) => {
                self.attempt_failed(diagnostics, counts.then_some(at), attempts_max, now, out);
            }
            (
                State::Accepted | State::Running | State::Killing { .. },
                Input::AttemptUnregistered { final_status, diagnostics, tracking_url },
            ) => {
                let end = (final_status, diagnostics, tracking_url);
                self.save_end(Target::Finishing { attempt_gone: false }, Final::Finished, end, now, out);
            }
            (State::Killing { diagnostics, .. }, Input::AttemptKilled | Input::AttemptFailed { .. }) => {
                let diagnostics = diagnostics.clone();
                self.killed(diagnostics, now, out);
            }
            (State::Accepted | State::Running, Input::AttemptKilled) => {
                self.killed("the attempt was killed".to_owned(), now, out);
            }
            (State::FinalSaving { shown, target: Target::Finishing { .. } }, Input::AttemptFinished) => {
                self.state = State::FinalSaving { shown: *shown, target: Target::Finishing { attempt_gone: true } };
            }
            (State::FinalSaving { target: Target::Finishing { attempt_gone: false }, .. }, Input::Stored) => {
                self.state = State::Finishing;
                out.push(Action::MasterMayExit);
            }
            (State::FinalSaving { target: Target::Finishing { attempt_gone: true }, .. }, Input::Stored)
            | (State::Finishing, Input::AttemptFinished) => self.ended(Final::Finished, out),
            (State::FinalSaving { target: Target::Ended(last), .. }, Input::Stored) => {
                let last = *last;
                self.ended(last, out);
            }
            // Killing what ends or has ended changes nothing, and attempts of what ends may still report.
            (
                State::Killing { .. } | State::FinalSaving { .. } | State::Finishing | State::Ended(_),
                Input::Kill { .. } | Input::AttemptRegistered,
            )
            | (
                State::FinalSaving { .. } | State::Finishing | State::Ended(_),
                Input::AttemptKilled | Input::AttemptFailed { .. } | Input::AttemptUnregistered { .. },
            )
            | (State::FinalSaving { .. } | State::Ended(_), Input::AttemptFinished) => {}
            (_, input) => return Err(Illegal::new("application", self.id(), &self.state, format!("{input:?}"))),
        }
        Ok(())
    }

    fn save_new(&mut self, out: &mut Vec<Action>) {
        self.state = State::NewSaving;
        out.push(Action::Store);
    }

    fn start_attempt(&mut self, out: &mut Vec<Action>) {
        self.attempt += 1;
        out.push(Action::StartAttempt { number: self.attempt });
    }

    fn attempt_failed(
        &mut self,
        diagnostics: String,
        counted_at: Option<Now>,
        attempts_max: u32,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        self.failures.extend(counted_at);
        let failures = self.failures_that_count(now);
        if failures < attempts_max as usize {
            self.state = State::Accepted;
            self.start_attempt(out);
        } else {
            let times = if failures == 1 { "once".to_owned() } else { format!("{failures} times") };
            let whose = if self.submission.is_command { "the command" } else { "the application's master" };
            let times = format!("{whose} failed {times}, the limit is {attempts_max}");
            let why = match diagnostics.split_once('\n') {
                Some((cause, written)) => format!("{cause}; {times}\n{written}"),
                None => format!("{diagnostics}; {times}"),
            };
            self.fail(why, now, out);
        }
    }

    /// With a validity interval only failures younger than it count, so long jobs live forever.
    pub(crate) fn failures_that_count(&self, now: Now) -> usize {
        let counts = |at: &&Now| match self.submission.attempt_failures_validity_ms {
            Some(interval_ms) => now.0.saturating_sub(at.0) < interval_ms,
            None => true,
        };
        self.failures.iter().filter(counts).count()
    }

    fn fail(&mut self, why: String, now: Now, out: &mut Vec<Action>) {
        let end = (FinalStatus::Failed, why, String::new());
        self.save_end(Target::Ended(Final::Failed), Final::Failed, end, now, out);
    }

    fn killed(&mut self, diagnostics: String, now: Now, out: &mut Vec<Action>) {
        let end = (FinalStatus::Killed, diagnostics, String::new());
        self.save_end(Target::Ended(Final::Killed), Final::Killed, end, now, out);
    }

    fn save_end(
        &mut self,
        target: Target,
        state: Final,
        (final_status, diagnostics, tracking_url): (FinalStatus, String, String),
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let (memory_seconds, vcore_seconds) = (self.used.0 / 1000, self.used.1 / 1000);
        self.end = Some(ApplicationEnd {
            state,
            final_status,
            diagnostics,
            tracking_url,
            at: now,
            memory_seconds,
            vcore_seconds,
        });
        self.state = State::FinalSaving { shown: self.public_state(), target };
        out.push(Action::Store);
    }

    fn ended(&mut self, last: Final, out: &mut Vec<Action>) {
        self.state = State::Ended(last);
        out.push(Action::Ended);
    }

    /// What clients see.
    pub(crate) fn public_state(&self) -> ApplicationState {
        match &self.state {
            State::New => ApplicationState::New,
            State::NewSaving => ApplicationState::NewSaving,
            State::Submitted => ApplicationState::Submitted,
            State::Accepted => ApplicationState::Accepted,
            State::Running => ApplicationState::Running,
            State::FinalSaving { shown, .. } | State::Killing { shown, .. } => *shown,
            State::Finishing | State::Ended(Final::Finished) => ApplicationState::Finished,
            State::Ended(Final::Failed) => ApplicationState::Failed,
            State::Ended(Final::Killed) => ApplicationState::Killed,
        }
    }

    /// Whether nothing comes after.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// How it ended, once that shows.
    pub(crate) fn shown_end(&self) -> Option<&ApplicationEnd> {
        match self.state {
            State::Finishing | State::Ended(_) => self.end.as_ref(),
            State::New
            | State::NewSaving
            | State::Submitted
            | State::Accepted
            | State::Running
            | State::FinalSaving { .. }
            | State::Killing { .. } => None,
        }
    }

    pub(crate) fn record(&self) -> record::Application {
        record::Application {
            submission: self.submission.clone(),
            submitted_at: self.submitted_at,
            end: self.end.clone(),
        }
    }
}

/// YARN's name of the internal state (`RMAppState`).
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "NEW",
            Self::NewSaving => "NEW_SAVING",
            Self::Submitted => "SUBMITTED",
            Self::Accepted => "ACCEPTED",
            Self::Running => "RUNNING",
            Self::FinalSaving { .. } => "FINAL_SAVING",
            Self::Finishing => "FINISHING",
            Self::Killing { .. } => "KILLING",
            Self::Ended(Final::Finished) => "FINISHED",
            Self::Ended(Final::Failed) => "FAILED",
            Self::Ended(Final::Killed) => "KILLED",
        })
    }
}
