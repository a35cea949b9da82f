//! What administrators and clients do with queues: replace the tree, move applications, reorder them.

use super::{Core, Saved, Step};
use crate::config::QueuesConfig;
use crate::ids::{ApplicationAttemptId, ApplicationId};
use crate::resourcemanager::application;
use crate::resourcemanager::asks::Bounds;
use crate::resourcemanager::error::{RefusalCode, Refused};
use crate::resourcemanager::event::{Answer, Effect};
use crate::resourcemanager::record::{Key, RECORD_BYTES_MAX, Record};
use crate::resourcemanager::report::QueueReport;
use crate::resourcemanager::scheduler::{Access, AppKey, NodeReason};
use crate::resourcemanager::timers::Timer;
use crate::time::Now;

impl Core {
    pub(super) fn apply_queues(
        &mut self,
        text: String,
        dry_run: bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Answer, Refused> {
        let bad = |why: String| Refused::new(RefusalCode::BadRequest, why);
        let config = QueuesConfig::parse(&text).map_err(|invalid| bad(invalid.to_string()))?;
        if text.len() > RECORD_BYTES_MAX {
            return Err(bad(format!("the file has {} bytes, at most {RECORD_BYTES_MAX} can be stored", text.len())));
        }
        let differences = self.scheduler.config().differences(&config);
        let refusals = self.scheduler.refusals(&config);
        if !refusals.is_empty() {
            return Err(bad(refusals.join("\n")));
        }
        if !dry_run {
            self.scheduler.reload(&config, now).map_err(|refusals| bad(refusals.join("\n")))?;
            self.persist(Key::Queues, Some(Record::Queues { text }), Saved::Nothing, out);
            self.replan = true;
        }
        Ok(Answer::QueuesApplied { differences })
    }

    /// What was applied before the restart counts, not the file.
    pub(super) fn recover_queues(&mut self, text: &str, now: Now) {
        if let Ok(config) = QueuesConfig::parse(text) {
            let reloaded = self.scheduler.reload(&config, now);
            debug_assert!(reloaded.is_ok(), "no application has been let in yet");
        }
    }

    pub(super) fn move_application(
        &mut self,
        id: ApplicationId,
        queue: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Answer, Refused> {
        let app = self.movable(id)?;
        let moved = self.scheduler.move_app(app, queue, now);
        let queue = moved.map_err(|why| Refused::new(RefusalCode::BadRequest, why))?;
        self.change_submission(id, out, |application| application.submission.queue.clone_from(&queue));
        Ok(Answer::Moved { queue })
    }

    pub(super) fn set_priority(
        &mut self,
        id: ApplicationId,
        priority: u32,
        out: &mut Vec<Effect>,
    ) -> Result<Answer, Refused> {
        let app = self.movable(id)?;
        self.scheduler.set_priority(app, priority);
        self.change_submission(id, out, |application| application.submission.priority = priority);
        Ok(Answer::Prioritised { priority })
    }

    fn movable(&self, id: ApplicationId) -> Result<AppKey, Refused> {
        let Some(application) = self.applications.get(&id) else {
            return Err(Refused::new(RefusalCode::NotFound, format!("app with id {id} not found")));
        };
        application.scheduled.ok_or_else(|| {
            let why = format!("{id} is {} and in no queue", application.state);
            Refused::new(RefusalCode::BadRequest, why)
        })
    }

    fn change_submission(
        &mut self,
        id: ApplicationId,
        out: &mut Vec<Effect>,
        change: impl FnOnce(&mut application::Application),
    ) {
        let Some(application) = self.applications.get_mut(&id) else { return };
        change(application);
        let record = Record::Application(Box::new(application.record()));
        self.persist(Key::Application(id), Some(record), Saved::Nothing, out);
        self.replan = true;
        self.touch(id);
    }

    /// Changes when an application ends at the latest; its queue's maximum holds.
    pub(super) fn set_lifetime(
        &mut self,
        id: ApplicationId,
        until: Option<Now>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Answer, Refused> {
        let app = self.movable(id)?;
        if let Some(past) = until.filter(|until| *until <= now) {
            let why = format!("the application cannot end at {}, which has passed", past.as_millis());
            return Err(Refused::new(RefusalCode::BadRequest, why));
        }
        let queue = self.scheduler.queue_of(app).to_owned();
        let submitted_at = self.applications.get(&id).map(|application| application.submitted_at).unwrap_or_default();
        let wanted = until.map(|until| until.since(submitted_at));
        let ends_by = self.scheduler.lifetime(&queue, wanted).map(|lasts| submitted_at + lasts);
        match ends_by {
            Some(at) => self.timers.arm(Timer::Lifetime(id), at),
            None => self.timers.disarm(&Timer::Lifetime(id)),
        }
        self.change_submission(id, out, |application| {
            let millis = |lasts: std::time::Duration| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
            application.submission.lifetime_ms = wanted.map(millis);
            application.ends_by = ends_by;
        });
        Ok(Answer::LifetimeSet { until: ends_by })
    }

    pub(super) fn lifetime_over(&mut self, id: ApplicationId) {
        let diagnostics = "killed because its lifetime is over".to_owned();
        self.steps.push_back(Step::Application(id, application::Input::Kill { diagnostics }));
    }

    /// What an attempt's containers may be: the cluster's bounds, and its queue's if that is narrower.
    pub(super) fn bounds_of(&self, id: ApplicationAttemptId) -> Bounds {
        let mut bounds = self.settings.bounds();
        if let Some(most) = self.scheduled(id).and_then(|app| self.scheduler.maximum_allocation(app)) {
            bounds.maximum.memory_mb = bounds.maximum.memory_mb.min(most.memory_mb);
            bounds.maximum.vcores = bounds.maximum.vcores.min(most.vcores);
            for (name, amount) in &most.named {
                let known = bounds.maximum.named.entry(name.clone()).or_insert(*amount);
                *known = (*known).min(*amount);
            }
        }
        bounds
    }

    /// Every queue, the root first, parents before children.
    pub fn queues(&self) -> Vec<QueueReport> {
        self.scheduler.reports()
    }

    /// Whether `user` may do that in a queue; none if there is no such queue.
    pub fn queue_access(&self, queue: &str, user: &str, access: Access) -> Option<bool> {
        self.scheduler.has_access(queue, user, access)
    }

    /// Why each node does not serve what an application wants most, at most `most` nodes.
    pub fn why_not_nodes(&self, id: ApplicationId, most: usize) -> Vec<NodeReason> {
        let app = self.applications.get(&id).and_then(|application| application.scheduled);
        app.map(|app| self.scheduler.why_not_nodes(app, most)).unwrap_or_default()
    }
}
