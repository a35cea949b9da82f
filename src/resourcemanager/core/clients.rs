//! What clients ask for: ids, submissions, kills.

use super::{Core, Step, respond};
use crate::ids::ApplicationId;
use crate::protocol::submission::Submission;
use crate::resourcemanager::application::{self, Application};
use crate::resourcemanager::error::{Illegal, RefusalCode, Refused};
use crate::resourcemanager::event::{Answer, Effect, RequestId};
use crate::resourcemanager::record::RECORD_BYTES_MAX;
use crate::time::Now;

impl Core {
    /// The number is stored first: a restarted ResourceManager must not give it out again.
    pub(super) fn new_application(&mut self, request: RequestId, out: &mut Vec<Effect>) {
        self.cluster.last_sequence += 1;
        let application =
            ApplicationId { cluster_timestamp: self.cluster.identity, sequence: self.cluster.last_sequence };
        self.persist_cluster(out);
        let maximum = self.maximum_capability();
        respond(out, request, Ok(Answer::NewApplication { application, maximum }));
    }

    pub(super) fn submit(
        &mut self,
        mut submission: Submission,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Answer, Refused> {
        let id = submission.application;
        if let Some(known) = self.applications.get(&id) {
            // A client that lost the answer submits again; the answer waits behind what is still being stored.
            if known.submission.user == submission.user {
                return Ok(Answer::Submitted);
            }
            let why = format!("Application with id {id} is already present! Cannot add a duplicate!");
            return Err(Refused::new(RefusalCode::BadRequest, why));
        }
        let bad = |why: String| Err(Refused::new(RefusalCode::BadRequest, why));
        if id.cluster_timestamp != self.cluster.identity || id.sequence == 0 || id.sequence > self.cluster.last_sequence
        {
            return bad(format!("{id} was not given out by this ResourceManager; ask for one with new-application"));
        }
        if submission.master.commands.iter().all(|word| word.trim().is_empty()) {
            return bad("am-container-spec has no commands; say what starts the master".to_owned());
        }
        submission.resource = self
            .settings
            .bounds()
            .round(&submission.resource)
            .map_err(|invalid| Refused::new(RefusalCode::InvalidResourceRequest, invalid.to_string()))?;
        if let Some(queue) = self.scheduler.placed(&submission.user, &submission.name, &submission.queue) {
            if submission.priority == 0 {
                submission.priority = self.scheduler.default_priority(&queue);
            }
            submission.queue = queue;
        }
        let bytes = serde_json::to_vec(&submission).map_or(usize::MAX, |json| json.len());
        if bytes > RECORD_BYTES_MAX {
            return bad(format!(
                "the submission context takes {bytes} bytes, at most {RECORD_BYTES_MAX} can be stored; ship large \
                 values as files"
            ));
        }
        self.applications.insert(id, Application::new(submission, now));
        self.steps.push_back(Step::Application(id, application::Input::Start));
        let started = self.run_steps(now, out);
        debug_assert_eq!(started, Ok(()), "a new application can start");
        Ok(Answer::Submitted)
    }

    pub(super) fn kill(
        &mut self,
        id: ApplicationId,
        diagnostics: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Result<Answer, Refused>, Illegal> {
        if !self.applications.contains_key(&id) {
            let why = format!("app with id {id} not found");
            return Ok(Err(Refused::new(RefusalCode::NotFound, why)));
        }
        self.steps.push_back(Step::Application(id, application::Input::Kill { diagnostics }));
        self.run_steps(now, out)?;
        let Some(application) = self.applications.get(&id) else {
            return Ok(Err(Refused::new(RefusalCode::NotFound, format!("app with id {id} not found"))));
        };
        let (state, ended) = (application.state.to_string(), application.has_ended());
        Ok(Ok(Answer::Killing { state, ended }))
    }
}
