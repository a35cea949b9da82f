//! The ResourceManager's state and decisions: one owner of applications, attempts, containers and nodes.
//!
//! ```text
//! Event ─► apply ─┬─ clients, masters, nodes: checks who speaks, turns it into steps
//!                 ├─ steps: runs the state machines, interprets their actions
//!                 ├─ placement: snapshot ─► scheduler::plan ─► applier, if something changed
//!                 └─ delivery: news of masters and nodes ─► Effects
//! ```
//! Invariants: no I/O, no clock, no randomness, no order but that of keys; the sum of a node's containers is its `allocated`,
//! and never more than its capability when something is granted; a container that ended has left the books, and its
//! completion has entered exactly one mailbox. It does not know links, HTTP or files.

mod clients;
mod delivery;
mod diagnosis;
mod exclusion;
mod masters;
mod nodes;
mod placement;
mod preemption;
mod queues;
mod recovery;
mod steps;
#[cfg(test)]
pub(super) mod tests;
mod views;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::application::{self, Application};
use super::attempt::{self, Attempt};
use super::container::Container;
use super::error::{Illegal, RefusalCode, Refused};
use super::event::{Answer, Effect, Event, RequestId};
use super::node::Node;
use super::record::{self, Key, Record};
use super::scheduler::Scheduler;
use super::settings::Settings;
use super::timers::{Timer, Timers};
use crate::ids::{ApplicationAttemptId, ApplicationId, ContainerId, NodeId};
use crate::protocol::container::ExitCause;
use crate::rpc::token::{InvalidKey, SigningKey};
use crate::time::Now;

/// A change of state, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// `application`, `attempt`, `container` or `node`.
    pub noun: &'static str,
    /// Its id.
    pub id: String,
    /// The state before.
    pub from: String,
    /// The state now.
    pub to: String,
}

/// The state of a ResourceManager. The first event must be [`Event::Recover`].
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    cluster: record::Cluster,
    /// Of container tokens.
    key: SigningKey,
    /// Of masters' tokens.
    master_key: SigningKey,
    applications: BTreeMap<ApplicationId, Application>,
    attempts: BTreeMap<ApplicationAttemptId, Attempt>,
    containers: BTreeMap<ContainerId, Container>,
    nodes: BTreeMap<NodeId, Node>,
    scheduler: Scheduler,
    timers: Timers,
    /// Inputs of state machines, to be run in order.
    steps: VecDeque<Step>,
    /// Who waits for which ticket.
    saving: BTreeMap<u64, Saved>,
    last_ticket: u64,
    last_version: u64,
    /// Something changed that grants depend on.
    replan: bool,
    /// Attempts whose master asks for something, and was told the kind of reason why it waits.
    waiting: BTreeSet<ApplicationAttemptId>,
    /// Those of them that have been looked at in this turn.
    turned: BTreeSet<ApplicationAttemptId>,
    /// Nodes have time to come back; nothing is granted.
    recovering: bool,
    /// Nodes that were part of the cluster before the restart and have not come back.
    awaited_nodes: BTreeSet<NodeId>,
    /// Those of them that have had their time. What they had is given up; masters know what that was.
    lost_over_restart: BTreeSet<NodeId>,
    /// Nodes whose membership changed during this `apply`, to be stored.
    members_changed: BTreeSet<NodeId>,
    /// Recovered attempts whose master's container no node has reported yet.
    unclaimed: BTreeSet<ApplicationAttemptId>,
    /// Nodes that are to leave, or must not join.
    excluded: Vec<record::Excluded>,
    /// Of nodes that are to leave, those that have become empty.
    leaving: BTreeSet<NodeId>,
    /// Ended applications, oldest first.
    ended: VecDeque<ApplicationId>,
    outgoing: Outgoing,
    transitions: Vec<Transition>,
}

/// What gathers during one `apply`.
#[derive(Debug, Default)]
struct Outgoing {
    /// Attempts whose mailbox may have news.
    mail: BTreeSet<ApplicationAttemptId>,
    /// Attempts whose master has asked.
    asked: BTreeSet<ApplicationAttemptId>,
    stops: Vec<(NodeId, ContainerId, ExitCause)>,
    acknowledged: BTreeMap<NodeId, Vec<ContainerId>>,
    /// Nodes that started something of an application after its end.
    finished: BTreeMap<NodeId, BTreeSet<ApplicationId>>,
    changed: BTreeSet<ApplicationId>,
}

#[derive(Debug)]
enum Step {
    Application(ApplicationId, application::Input),
    Attempt(ApplicationAttemptId, attempt::Input),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saved {
    Application(ApplicationId),
    Attempt(ApplicationAttemptId),
    Nothing,
}

impl Core {
    /// A core without state. `genesis` is taken where the store is empty.
    ///
    /// # Errors
    /// If one of its keys is none.
    pub fn new(settings: Settings, genesis: record::Cluster) -> Result<Self, InvalidKey> {
        let key = SigningKey::from_hex(&genesis.token_key)?;
        let master_key = SigningKey::from_hex(&genesis.master_key)?;
        let scheduler = Scheduler::new(&settings.queues, settings.master_share_percent, settings.placement);
        Ok(Self {
            scheduler,
            settings,
            cluster: genesis,
            key,
            master_key,
            applications: BTreeMap::new(),
            attempts: BTreeMap::new(),
            containers: BTreeMap::new(),
            nodes: BTreeMap::new(),
            timers: Timers::default(),
            steps: VecDeque::new(),
            saving: BTreeMap::new(),
            last_ticket: 0,
            last_version: 0,
            replan: false,
            waiting: BTreeSet::new(),
            turned: BTreeSet::new(),
            recovering: false,
            awaited_nodes: BTreeSet::new(),
            lost_over_restart: BTreeSet::new(),
            members_changed: BTreeSet::new(),
            unclaimed: BTreeSet::new(),
            excluded: Vec::new(),
            leaving: BTreeSet::new(),
            ended: VecDeque::new(),
            outgoing: Outgoing::default(),
            transitions: Vec::new(),
        })
    }

    /// Takes one event; effects are appended to `out` in the order they are to be performed.
    ///
    /// # Errors
    /// [`Illegal`] for an event that nothing waits for: the sender's mistake, or late. What could be done has been done.
    pub fn apply(&mut self, event: Event, now: Now, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        let told = self.dispatch(event, now, out);
        self.store_members(out);
        let stepped = self.run_steps(now, out);
        self.place(now);
        let placed = self.run_steps(now, out);
        self.deliver(now, out);
        if !self.leaving.is_empty() {
            // After what it is still told: it stops listening then.
            self.decommission_empty(now, out);
            self.store_members(out);
            self.deliver(now, out);
        }
        told.and(stepped).and(placed)
    }

    fn dispatch(&mut self, event: Event, now: Now, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        match event {
            Event::Recover(records) => self.recover(records, now, out),
            Event::Persisted(ticket) => self.persisted(ticket),
            Event::Wake => return self.wake(now, out),
            Event::NewApplication { request } => self.new_application(request, out),
            Event::Submit { request, submission } => {
                let answer = self.submit(*submission, now, out);
                respond(out, request, answer);
            }
            Event::Kill { request, application, diagnostics } => {
                let answer = self.kill(application, diagnostics, now, out)?;
                respond(out, request, answer);
            }
            Event::ApplyQueues { request, text, dry_run } => {
                let answer = self.apply_queues(text, dry_run, now, out);
                respond(out, request, answer);
            }
            Event::MoveApplication { request, application, queue } => {
                let answer = self.move_application(application, &queue, now, out);
                respond(out, request, answer);
            }
            Event::SetPriority { request, application, priority } => {
                let answer = self.set_priority(application, priority, out);
                respond(out, request, answer);
            }
            Event::Exclude { request, change } => {
                let answer = self.exclude(change, now, out);
                respond(out, request, answer);
            }
            Event::SetLifetime { request, application, until } => {
                let answer = self.set_lifetime(application, until, now, out);
                respond(out, request, answer);
            }
            Event::NodeHello { request, register, resumed } => self.node_hello(request, *register, resumed, now, out),
            Event::NodeSays { node, message } => return self.node_says(&node, message, now),
            Event::NodeSilent { node } => self.node_silent(&node, now),
            Event::MasterHello { request, register, by } => self.master_hello(request, *register, by, now, out),
            Event::Allocate { request, attempt, allocate } => {
                return self.allocate(request, attempt, *allocate, now, out);
            }
            Event::Finish { request, attempt, finish } => return self.finish(request, attempt, finish, out),
            Event::MasterSilent { attempt } => self.master_silent(attempt, now),
        }
        Ok(())
    }

    /// When [`Event::Wake`] is due; none: never, as things stand.
    pub fn next_wake(&self) -> Option<Now> {
        self.timers.next()
    }

    /// State changes since the last call, for the log.
    pub fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// The identity and counters as they are stored.
    pub fn cluster(&self) -> &record::Cluster {
        &self.cluster
    }

    fn wake(&mut self, now: Now, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        let mut result = Ok(());
        while let Some(timer) = self.timers.take_due(now) {
            let done = match timer {
                Timer::Node(node) => self.node_expired(&node, now),
                Timer::Master(attempt) => {
                    self.master_expired(attempt);
                    Ok(())
                }
                Timer::Exit(attempt) => {
                    let why = "the master did not exit after it unregistered".to_owned();
                    self.steps.push_back(Step::Attempt(attempt, attempt::Input::Expired { why, counts: false }));
                    Ok(())
                }
                Timer::Lifetime(application) => {
                    self.lifetime_over(application);
                    Ok(())
                }
                Timer::Allocation(container) => self.allocation_expired(container, now),
                Timer::PreemptionRound => {
                    self.preempt(now);
                    Ok(())
                }
                Timer::Preemption(container) => {
                    self.take_away(container, now);
                    Ok(())
                }
                Timer::Decommission(node) => {
                    self.decommission(&node, now, out);
                    Ok(())
                }
                Timer::Scheduler => {
                    self.replan = true;
                    Ok(())
                }
                Timer::Recovery => {
                    self.recovery_over();
                    Ok(())
                }
            };
            result = result.and(done);
        }
        result
    }

    fn persisted(&mut self, ticket: u64) {
        let later = self.saving.split_off(&(ticket + 1));
        for (ticket, saved) in std::mem::replace(&mut self.saving, later) {
            // What was stored for an older state says nothing about the newer one.
            if self.awaited(saved) != Some(ticket) {
                continue;
            }
            match saved {
                Saved::Application(id) => {
                    self.steps.push_back(Step::Application(id, application::Input::Stored));
                }
                Saved::Attempt(id) => self.steps.push_back(Step::Attempt(id, attempt::Input::Stored)),
                Saved::Nothing => {}
            }
        }
    }

    /// The ticket that `saved` waits for.
    fn awaited(&self, saved: Saved) -> Option<u64> {
        match saved {
            Saved::Application(id) => self.applications.get(&id).map(|application| application.ticket),
            Saved::Attempt(id) => self.attempts.get(&id).map(|attempt| attempt.ticket),
            Saved::Nothing => None,
        }
    }

    fn persist(&mut self, key: Key, record: Option<Record>, saved: Saved, out: &mut Vec<Effect>) {
        self.last_ticket += 1;
        self.saving.insert(self.last_ticket, saved);
        match saved {
            Saved::Application(id) => {
                if let Some(application) = self.applications.get_mut(&id) {
                    application.ticket = self.last_ticket;
                }
            }
            Saved::Attempt(id) => {
                if let Some(attempt) = self.attempts.get_mut(&id) {
                    attempt.ticket = self.last_ticket;
                }
            }
            Saved::Nothing => {}
        }
        out.push(Effect::Persist { ticket: self.last_ticket, key, record: record.map(Box::new) });
    }

    fn persist_cluster(&mut self, out: &mut Vec<Effect>) {
        let record = Record::Cluster(self.cluster.clone());
        self.persist(Key::Cluster, Some(record), Saved::Nothing, out);
    }

    /// Notes that an application looks different.
    fn touch(&mut self, id: ApplicationId) {
        if let Some(application) = self.applications.get_mut(&id) {
            self.last_version += 1;
            application.version = self.last_version;
            self.outgoing.changed.insert(id);
        }
    }

    fn transition(&mut self, noun: &'static str, id: impl ToString, from: impl ToString, to: impl ToString) {
        let (from, to) = (from.to_string(), to.to_string());
        if from != to {
            self.transitions.push(Transition { noun, id: id.to_string(), from, to });
        }
    }
}

fn respond(out: &mut Vec<Effect>, request: RequestId, answer: Result<Answer, Refused>) {
    out.push(Effect::Answer { request, answer: Box::new(answer) });
}

fn refuse(out: &mut Vec<Effect>, request: RequestId, code: RefusalCode, message: impl Into<String>) {
    respond(out, request, Err(Refused::new(code, message)));
}
