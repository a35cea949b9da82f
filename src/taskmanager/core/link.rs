//! With whom a TaskManager stands, and what becomes of it without a JobManager.
//!
//! ```text
//!                    ┌──────────────── opened ───────────────┐
//!  Open ── broken ─► Lost ─── link grace over ─► GivenUp ── registration timeout over ─► it leaves
//!   ▲                 │ ▲                           │
//!   └──── opened ─────┘ └─ a later attempt leads ───┘
//! ```

use std::time::Duration;

use super::{Core, Effect, Home};
use crate::protocol::container::ExitCause;
use crate::storage::Leader;
use crate::time::Now;

/// How it stands with the JobManager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Open,
    /// Without one, which may come back.
    Lost {
        since: Now,
    },
    /// Without one for too long; the workers are stopped.
    GivenUp {
        since: Now,
    },
}

impl Core {
    /// The attempt of the JobManager that it follows, while it has lost that one: a later one may lead by now.
    pub fn left_behind_by(&self) -> Option<u32> {
        match self.link {
            Link::Open => None,
            Link::Lost { .. } | Link::GivenUp { .. } => self.leaving.is_none().then_some(self.leader),
        }
    }

    pub(super) fn link_broken(&mut self, now: Now, out: &mut Vec<Effect>) {
        match self.link {
            Link::Open => self.begin_waiting_for_link(now, out),
            Link::Lost { .. } | Link::GivenUp { .. } => {}
        }
    }

    fn begin_waiting_for_link(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.link = Link::Lost { since: now };
        out.push(Effect::WakeAt(now + self.policy.link_grace));
    }

    /// Goes over to a later attempt of its JobManager. What the one before had started ends first: its slots are free for what the new one
    /// restores, and from here on nobody else is listened to.
    pub(super) fn leader_found(&mut self, leader: Leader, now: Now, out: &mut Vec<Effect>) {
        if leader.attempt <= self.leader || self.leaving.is_some() {
            return;
        }
        self.leader = leader.attempt;
        let why = format!("attempt {} of its JobManager has taken over", leader.attempt);
        self.stop_all(&ExitCause::Aborted { why }, Duration::ZERO, now, out);
        self.begin_waiting_for_link(now, out);
        out.push(Effect::Follow(leader));
    }

    /// What is due if there still is no link.
    pub(super) fn wait_for_link(&mut self, now: Now, out: &mut Vec<Effect>) {
        match self.link {
            Link::Lost { since } if now >= since + self.policy.link_grace => self.give_link_up(since, now, out),
            Link::GivenUp { since } if self.leaves_at(since).is_some_and(|at| now >= at) => {
                self.leave("its JobManager is gone, and no other has come".to_owned(), now, out);
            }
            Link::Open | Link::Lost { .. } | Link::GivenUp { .. } => {}
        }
    }

    fn give_link_up(&mut self, since: Now, now: Now, out: &mut Vec<Effect>) {
        self.link = Link::GivenUp { since };
        let why = "its JobManager is gone".to_owned();
        match self.leaves_at(since) {
            Some(at) if now >= at => self.leave(why, now, out),
            at => {
                self.stop_all(&ExitCause::Aborted { why }, self.policy.kill_grace, now, out);
                out.extend(at.map(Effect::WakeAt));
            }
        }
    }

    /// Until when it waits for a JobManager, without one since then.
    fn leaves_at(&self, since: Now) -> Option<Now> {
        match self.policy.home {
            Home::Container { registration_timeout, .. } => {
                Some(since + registration_timeout.max(self.policy.link_grace))
            }
            Home::Standalone => None,
        }
    }
}
