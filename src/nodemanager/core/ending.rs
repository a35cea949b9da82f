//! From a running process, or one that will never run, to a container that is done.

use super::{Core, Effect, KILL_AGAIN, RequestId};
use crate::ids::ContainerId;
use crate::nodemanager::container::{Container, ContainerRecord, Escalation, State};
use crate::nodemanager::error::{Illegal, Refused};
use crate::process::{Ended, Signal};
use crate::protocol::container::{Exit, ExitCause};
use crate::rpc::token::Token;
use crate::time::Now;

impl Core {
    pub(super) fn exited(
        &mut self,
        id: ContainerId,
        ended: Option<Ended>,
        diagnostics: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Illegal> {
        let container = self.container(id, "exit")?;
        let cause = match &container.state {
            State::Killing { cause, .. } => cause.clone(),
            State::Running { .. } => match ended {
                Some(Ended::Code(code)) => ExitCause::Completed { code },
                Some(Ended::Signal(signal)) => ExitCause::Signal { signal },
                None => ExitCause::Aborted { why: "its process ended and left no exit code".to_owned() },
            },
            State::Localizing { .. } | State::Scheduled | State::Done { .. } => {
                return Err(Illegal { container: id, state: container.state_name(), event: "exit" });
            }
        };
        self.finish(id, cause, diagnostics, now, out);
        Ok(())
    }

    /// The one way into `Done`: durable, then reported, then cleaned up.
    pub(super) fn finish(
        &mut self,
        id: ContainerId,
        cause: ExitCause,
        diagnostics: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(container) = self.containers.get_mut(&id) else {
            return;
        };
        let exit = Exit { cause, diagnostics };
        container.state = State::Done { exit: exit.clone(), at: now };
        let lease = container.lease.clone();
        out.push(Effect::Persist(ContainerRecord {
            lease: lease.clone(),
            exit: Some((exit, now)),
            acknowledged: false,
        }));
        out.push(Effect::Report(vec![container.status()]));
        out.push(Effect::DeleteContainer { container: id, user: lease.user });
        self.clean_up_if_over(id.attempt.application, now, out);
        self.drained_if_empty(out);
    }

    /// Begins the end of a container. One that has ended, or is ending for another reason, stays as it is: a late kill is normal.
    pub(super) fn kill(&mut self, id: ContainerId, cause: ExitCause, now: Now, out: &mut Vec<Effect>) {
        let Some(container) = self.containers.get_mut(&id) else {
            return;
        };
        match &container.state {
            State::Localizing { .. } => {
                self.leave_downloads(id, out);
                self.finish(id, cause, String::new(), now, out);
            }
            State::Scheduled => {
                container.state = State::Killing { process: None, cause, escalation: Escalation::Waiting };
            }
            State::Running { process } => {
                let process = *process;
                let at_once = matches!(cause, ExitCause::OutOfMemory { .. });
                let (signal, at, escalation) = if at_once {
                    let again_at = now + KILL_AGAIN;
                    (Signal::Kill, again_at, Escalation::Killed { again_at })
                } else {
                    let kill_at = now + self.policy.kill_grace;
                    (Signal::Terminate, kill_at, Escalation::Asked { kill_at })
                };
                container.state = State::Killing { process: Some(process), cause, escalation };
                out.push(Effect::Signal { container: id, process, signal });
                out.push(Effect::WakeAt(at));
            }
            State::Killing { .. } | State::Done { .. } => {}
        }
    }

    /// A container that waits for files waits no longer; downloads that nobody else wants are given up.
    pub(super) fn leave_downloads(&mut self, id: ContainerId, out: &mut Vec<Effect>) {
        let Some(Container { state: State::Localizing { missing, .. }, .. }) = self.containers.get(&id) else {
            return;
        };
        for key in missing {
            if self.downloads.leave(key, id) {
                out.push(Effect::AbandonLocalisation(key.clone()));
            }
        }
    }

    pub(super) fn stop_by_master(&mut self, request: RequestId, tokens: &[Token], now: Now, out: &mut Vec<Effect>) {
        let proven: Result<Vec<ContainerId>, Refused> =
            tokens.iter().map(|token| self.verify(token).map(|identifier| identifier.container)).collect();
        if let Ok(containers) = &proven {
            for container in containers {
                self.kill(*container, ExitCause::KilledByApplicationMaster, now, out);
            }
        }
        out.push(Effect::Answer { request, outcome: proven });
    }

    pub(super) fn measured(&mut self, id: ContainerId, rss_bytes: u64, now: Now, out: &mut Vec<Effect>) {
        let Some(container) = self.containers.get_mut(&id) else {
            return;
        };
        let exceeded = container.memory.observe(rss_bytes);
        if exceeded && matches!(container.state, State::Running { .. }) {
            let (limit_mb, peak_mb) = (container.memory.limit_mb(), container.memory.peak_mb());
            let cause = ExitCause::OutOfMemory { limit_mb, peak_mb, by: "process tree".to_owned() };
            self.kill(id, cause, now, out);
        }
    }

    pub(super) fn drain(&mut self, why: String, now: Now, out: &mut Vec<Effect>) {
        self.draining = Some(why.clone());
        let all: Vec<ContainerId> = self.containers.keys().copied().collect();
        for container in all {
            self.kill(container, ExitCause::Aborted { why: why.clone() }, now, out);
        }
        self.drained_if_empty(out);
    }

    pub(super) fn drained_if_empty(&self, out: &mut Vec<Effect>) {
        if self.draining.is_some() && self.containers.values().all(Container::is_done) {
            out.push(Effect::Drained);
        }
    }

    pub(super) fn wake(&mut self, now: Now, out: &mut Vec<Effect>) {
        for (id, container) in &mut self.containers {
            let State::Killing { process: Some(process), escalation, .. } = &mut container.state else {
                continue;
            };
            let due = match escalation {
                Escalation::Asked { kill_at } => now >= *kill_at,
                Escalation::Killed { again_at } => now >= *again_at,
                Escalation::Waiting => false,
            };
            if due {
                *escalation = Escalation::Killed { again_at: now + KILL_AGAIN };
                out.push(Effect::Signal { container: *id, process: *process, signal: Signal::Kill });
                out.push(Effect::WakeAt(now + KILL_AGAIN));
            }
        }
        let expired: Vec<ContainerId> =
            self.spent.iter().filter(|(_, until)| now > **until).map(|(container, _)| *container).collect();
        for container in expired {
            self.spent.remove(&container);
            out.push(Effect::Forget(container));
        }
        self.forget_unacknowledged(now, out);
    }
}
