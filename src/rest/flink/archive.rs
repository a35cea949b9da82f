//! A job that has ended, as answers that go on being given when its JobManager is gone: those that Flink archives, and what our page asks.

use serde_json::{Value, json};

use super::view;
use crate::jobmanager::core::Core;
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master::JobMaster;
use crate::protocol::history::ArchivedAnswer;
use crate::time::Now;

/// Failures that are kept; more than any page asks for.
const EXCEPTIONS_MAX: usize = 100;
/// Above so many subtasks in all, single ones have no answers of their own: those of their vertices list them, too.
const SUBTASKS_MAX: usize = 1000;

/// A job's answers by path. The first is its line in `/jobs/overview`.
pub fn archive(core: &Core, job: &Job, now: Now) -> Vec<ArchivedAnswer> {
    let id = job.id();
    let mut answers = Answers { base: format!("/jobs/{id}"), list: Vec::new() };
    answers.put("/jobs/overview".to_owned(), &json!({ "jobs": [view::job_overview(job, now)] }));
    answers.put(format!("/live/jobs/{id}"), &json!({ "now": now.as_millis(), "view": view::live_job(core, job, now) }));
    answers.of_job("", view::job(core, job, now));
    answers.of_job("/status", json!({ "status": job.status() }));
    answers.of_job("/exceptions", view::exceptions(core, job, EXCEPTIONS_MAX));
    answers.of_job("/config", view::job_config(job));
    answers.of_job("/accumulators", view::accumulators(job));
    answers.of_job("/execution-result", view::execution_result(job, now));
    answers.of_job("/diagnosis", view::diagnosis(core, job, now));
    if let Some(master) = job.master() {
        answers.of_job("/plan", json!({ "plan": view::plan(job) }));
        answers.of_job("/rescales/history", view::rescales(master, now));
        answers.checkpoints(master);
        answers.vertices(core, job, master, now);
    }
    answers.list
}

struct Answers {
    base: String,
    list: Vec<ArchivedAnswer>,
}

impl Answers {
    fn put(&mut self, path: String, body: &Value) {
        self.list.push(ArchivedAnswer { path, json: body.to_string() });
    }

    /// Of the job, or something of it; nothing where there is none.
    fn of_job(&mut self, path: &str, body: impl Into<Option<Value>>) {
        if let Some(body) = body.into() {
            self.put(format!("{}{path}", self.base), &body);
        }
    }

    fn checkpoints(&mut self, master: &JobMaster) {
        self.of_job("/checkpoints", view::checkpoints(master));
        self.of_job("/checkpoints/config", view::checkpoints_config(master));
        for record in master.checkpoint_history().records() {
            let id = record.checkpoint;
            self.of_job(&format!("/checkpoints/details/{id}"), view::checkpoint(master, id));
            for (index, vertex) in master.graph().vertices.iter().enumerate() {
                let path = format!("/checkpoints/details/{id}/subtasks/{}", vertex.id);
                self.of_job(&path, view::checkpoint_subtasks(master, id, index));
            }
        }
    }

    fn vertices(&mut self, core: &Core, job: &Job, master: &JobMaster, now: Now) {
        let singly = master.execution().subtasks().count() <= SUBTASKS_MAX;
        for (index, vertex) in master.graph().vertices.iter().enumerate() {
            let path = format!("/vertices/{}", vertex.id);
            let mut of_vertex = |name: &str, body: Option<Value>| self.of_job(&format!("{path}{name}"), body);
            of_vertex("", view::vertex(core, job, index, now));
            of_vertex("/taskmanagers", view::vertex_task_managers(core, job, index, now));
            of_vertex("/subtasktimes", view::vertex_times(core, job, index, now));
            of_vertex("/accumulators", view::vertex_accumulators(job, index));
            of_vertex("/subtasks/accumulators", view::subtask_accumulators(core, job, index));
            of_vertex("/backpressure", view::backpressure(job, index, now));
            of_vertex("/watermarks", view::watermarks(job, index));
            for (number, subtask) in master.execution().vertices[index].iter().enumerate().filter(|_| singly) {
                let path = format!("/subtasks/{number}");
                of_vertex(&path, Some(view::execution(core, job, number, &subtask.current, now)));
                let path = format!("{path}/attempts/{}", subtask.current.attempt);
                of_vertex(&path, Some(view::execution(core, job, number, &subtask.current, now)));
                let accumulators = view::execution_accumulators(job, number, &subtask.current);
                of_vertex(&format!("{path}/accumulators"), Some(accumulators));
            }
        }
    }
}
