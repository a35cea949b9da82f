//! Users: they submit, watch, and sometimes cancel.

use std::collections::BTreeMap;

use super::actors::Done;
use super::messages::{Answer, Report, Request};
use super::network::HttpId;
use super::resource_manager;
use super::scenario::{CancelBy, JobSpec};
use super::world::{BEGINNING, Happening, Input, Pid, World};
use crate::ids::{ApplicationId, TriggerId};
use crate::protocol::container::{LaunchContext, LocalResource, LocalResourceType, Visibility};
use crate::protocol::job::{JobSubmission, Program};
use crate::protocol::roles::{self, JobManagerEnvironment};
use crate::protocol::submission::Submission;
use crate::resource::Resource;

const NAME: &str = "client";

/// One process for all users.
pub(super) struct Client {
    jobs: Vec<Following>,
    asked: BTreeMap<HttpId, (usize, About)>,
}

/// What the user of a job knows.
#[derive(Default)]
struct Following {
    application: Option<ApplicationId>,
    /// Whether the ResourceManager has said so.
    submitted: bool,
    wants_cancel: Option<CancelBy>,
    wants_parallelism: Option<u32>,
    wants_drain: bool,
    last: Option<Report>,
    ended: bool,
}

enum About {
    Turn,
    Cancel,
    Rescale,
    Drain,
}

impl Client {
    pub(super) fn new(jobs: usize) -> Self {
        Self { jobs: (0..jobs).map(|_| Following::default()).collect(), asked: BTreeMap::new() }
    }

    /// Whether every application has ended, as far as users know.
    pub(super) fn all_ended(&self) -> bool {
        self.jobs.iter().all(|job| job.ended)
    }

    /// Each job's application and its end.
    pub(super) fn ends(&self) -> impl Iterator<Item = (usize, ApplicationId, &Report)> {
        self.jobs.iter().enumerate().filter_map(|(index, job)| {
            let report = job.last.as_ref().filter(|_| job.ended)?;
            Some((index, job.application?, report))
        })
    }

    pub(super) fn start(&mut self, me: Pid, world: &mut World) {
        for (index, job) in world.scenario.clone().jobs.iter().enumerate() {
            let at = |ms: u64| BEGINNING + std::time::Duration::from_millis(ms);
            world.schedule(at(job.submit_at_ms), Happening::Process(me, Input::Done(Done::Turn(index))));
            for (ms, parallelism) in &job.rescales {
                world.schedule(at(*ms), Happening::Process(me, Input::Done(Done::Rescale(index, *parallelism))));
            }
            if let Some(ms) = job.drain {
                world.schedule(at(ms), Happening::Process(me, Input::Done(Done::Drain(index))));
            }
            if let Some((ms, _)) = job.cancel {
                world.schedule(at(ms), Happening::Process(me, Input::Done(Done::Cancel(index))));
            }
        }
    }

    pub(super) fn handle(&mut self, input: Input, me: Pid, world: &mut World) {
        match input {
            Input::Done(Done::Turn(index)) => self.turn(index, me, world),
            Input::Done(Done::Cancel(index)) => {
                let by = world.scenario.jobs[index].cancel.map(|(_, by)| by);
                self.jobs[index].wants_cancel = by;
                world.note(NAME, format!("wants {} cancelled", world.scenario.jobs[index].name));
            }
            Input::Done(Done::Rescale(index, parallelism)) => self.jobs[index].wants_parallelism = Some(parallelism),
            Input::Done(Done::Drain(index)) => self.jobs[index].wants_drain = true,
            Input::Answered(id, answer) => {
                let Some((index, about)) = self.asked.remove(&id) else { return };
                match (about, answer) {
                    (About::Turn, Ok(answer)) => self.answered(index, answer, world),
                    (About::Cancel, Ok(Answer::Taken | Answer::NotFound)) => self.jobs[index].wants_cancel = None,
                    (About::Rescale, Ok(_)) => self.jobs[index].wants_parallelism = None,
                    (About::Drain, Ok(_)) => self.jobs[index].wants_drain = false,
                    (_, Ok(_) | Err(_)) => {} // Asked again at the next turn.
                }
                if !self.jobs[index].ended {
                    world.later(100..700, me, Done::Turn(index));
                }
            }
            _ => {}
        }
    }

    fn turn(&mut self, index: usize, me: Pid, world: &mut World) {
        let scenario = world.scenario.clone();
        let job = &mut self.jobs[index];
        let url = job.last.as_ref().map(|report| report.tracking_url.clone()).unwrap_or_default();
        let (address, request, about) = match (job.application, job.submitted, job.wants_cancel) {
            (None, _, _) => (resource_manager::ADDRESS.to_owned(), Request::NewApplication, About::Turn),
            (Some(application), false, _) => {
                let submission = Box::new(submission(&scenario.jobs[index], application));
                (resource_manager::ADDRESS.to_owned(), Request::Submit(submission), About::Turn)
            }
            (Some(application), true, Some(CancelBy::ResourceManager)) => {
                (resource_manager::ADDRESS.to_owned(), Request::Kill(application), About::Cancel)
            }
            // Every second turn it looks where the JobManager is by now.
            (Some(_), true, Some(CancelBy::JobManager)) if !url.is_empty() && world.rng.bool() => {
                let address = url.trim_start_matches("http://").to_owned();
                (address, Request::CancelJob(scenario.jobs[index].job), About::Cancel)
            }
            (Some(_), true, None) if job.wants_parallelism.is_some() && !url.is_empty() && world.rng.bool() => {
                let address = url.trim_start_matches("http://").to_owned();
                let parallelism = job.wants_parallelism.unwrap_or(1);
                (address, Request::RescaleJob(scenario.jobs[index].job, parallelism), About::Rescale)
            }
            (Some(_), true, None) if job.wants_drain && !url.is_empty() && world.rng.bool() => {
                let address = url.trim_start_matches("http://").to_owned();
                let savepoint = TriggerId(world.rng.u128(..));
                (address, Request::DrainJob(scenario.jobs[index].job, savepoint), About::Drain)
            }
            (Some(application), true, Some(CancelBy::JobManager) | None) => {
                (resource_manager::ADDRESS.to_owned(), Request::Report(application), About::Turn)
            }
        };
        let id = world.request(me, "rm", &address, request);
        self.asked.insert(id, (index, about));
    }

    fn answered(&mut self, index: usize, answer: Answer, world: &mut World) {
        let job = &mut self.jobs[index];
        match answer {
            Answer::NewApplication(application) => job.application = Some(application),
            Answer::Taken => {
                job.submitted = true;
                let name = world.scenario.jobs[index].name.clone();
                world.note(NAME, format!("{name} is submitted"));
            }
            Answer::Report(report) => {
                let state = report.state;
                if job.last.as_ref().is_none_or(|last| last.state != state) {
                    world.note(NAME, format!("sees {:?} {state}", job.application.map(|id| id.to_string())));
                }
                job.ended = state.is_terminal();
                if job.ended {
                    let Report { final_status, diagnostics, .. } = report.as_ref();
                    world.note(NAME, format!("sees the end: {final_status:?} {diagnostics}"));
                }
                job.last = Some(*report);
            }
            Answer::NotFound if job.submitted => {
                world.ledger.violated(format!("an acknowledged application is forgotten: {:?}", job.application));
            }
            Answer::Refused(why) => world.ledger.violated(format!("a sound request is refused: {why}")),
            Answer::NotFound | Answer::Container(_) => {}
        }
    }
}

fn submission(spec: &JobSpec, application: ApplicationId) -> Submission {
    let executable = LocalResource {
        url: "http://rm:8088/blobs".to_owned(),
        size: 1,
        sha256: Some("ab".repeat(32)),
        kind: LocalResourceType::File,
        visibility: Visibility::Public,
        executable: true,
    };
    let program = Program {
        name: spec.name.clone(),
        executable,
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        files: BTreeMap::new(),
    };
    let configuration: BTreeMap<String, String> = [("slots".to_owned(), spec.slots.to_string())].into();
    let job = JobSubmission { job: spec.job, program, configuration: configuration.clone() };
    let environment = JobManagerEnvironment { job: Some(job), configuration, secret: String::new() };
    let json = serde_json::to_string(&environment).expect("ids, strings and numbers are JSON");
    let master = LaunchContext {
        environment: [(roles::JOB_MANAGER.to_owned(), json)].into(),
        commands: vec!["flott jobmanager".to_owned()],
        ..LaunchContext::default()
    };
    Submission {
        application,
        name: spec.name.clone(),
        queue: "default".to_owned(),
        user: "alice".to_owned(),
        application_type: "FLOTT".to_owned(),
        tags: Vec::new(),
        priority: 0,
        master,
        resource: Resource::new(256, 1),
        max_attempts: None,
        attempt_failures_validity_ms: None,
        keep_containers_across_attempts: spec.keeps_containers,
        lifetime_ms: None,
        is_command: false,
    }
}
