//! Jobs that have ended, from their archives: listed over all applications, and below `/proxy/{application}/` when its own interface is
//! gone. There the page and its requests work on as they did, for reading.
//!
//! Archives are written by applications and believed as far as that goes: each is an answer of its own, of JSON and never of anything
//! that a browser runs, and one that cannot be read is refused with the reason while the others are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Context;
use super::applications::parse_application;
use super::error::Error;
use crate::ids::{ApplicationId, JobId};
use crate::protocol::history::JobArchive;
use crate::protocol::job::JobStatus;
use crate::storage::{Archived, History};
use crate::web;

/// As of a JobManager.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a list shows of an archived job; in Flink's keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    jid: JobId,
    name: String,
    state: JobStatus,
    #[serde(rename = "start-time")]
    start: i64,
    #[serde(rename = "end-time")]
    end: i64,
    duration: i64,
    #[serde(rename = "last-modification")]
    modified: i64,
    tasks: BTreeMap<String, u64>,
    /// Why it failed.
    #[serde(skip)]
    why: Option<String>,
}

/// Lines of archives that were read before; an archive does not change.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Mutex<Known>>);

/// None of an archive that has none.
type Known = BTreeMap<(ApplicationId, JobId), Option<Line>>;

impl Lines {
    /// The lines of `wanted`, in its order. Blocking. Those that cannot be read are left out.
    fn of(&self, history: &History, wanted: &[Archived]) -> Vec<(ApplicationId, Line)> {
        let line = |archived: &Archived| {
            let key = (archived.application, archived.job);
            let known = self.lock().get(&key).cloned();
            let line = known.unwrap_or_else(|| {
                let line = read(history, archived.application, archived.job)
                    .ok()
                    .flatten()
                    .and_then(|it| line_of(&it, archived.job));
                self.lock().insert(key, line.clone());
                line
            });
            Some((archived.application, line?))
        };
        wanted.iter().filter_map(line).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Held for single operations.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_all_but(&self, all: &[Archived]) {
        let there: BTreeSet<_> = all.iter().map(|it| (it.application, it.job)).collect();
        self.lock().retain(|key, _| there.contains(key));
    }
}

fn read(history: &History, application: ApplicationId, job: JobId) -> Result<Option<JobArchive>, String> {
    let bytes = history.read(application, job).map_err(|error| error.to_string())?;
    bytes.map(|bytes| JobArchive::parse(job, &bytes)).transpose().map_err(|error| error.to_string())
}

/// Why an archive has no line.
fn unreadable(history: &History, archived: &Archived) -> String {
    let read = read(history, archived.application, archived.job);
    read.err().unwrap_or_else(|| format!("the archive of job {} does not say what became of it", archived.job))
}

fn line_of(archive: &JobArchive, job: JobId) -> Option<Line> {
    #[derive(Deserialize)]
    struct Overview {
        jobs: (Line,),
    }
    #[derive(Deserialize)]
    struct Live {
        view: View,
    }
    #[derive(Deserialize)]
    struct View {
        failure: Option<String>,
    }
    let overview: Overview = serde_json::from_str(archive.answer("/jobs/overview").ok()??).ok()?;
    let live = archive.answer(&format!("/live/jobs/{job}")).ok().flatten();
    let why = live.and_then(|live| serde_json::from_str::<Live>(live).ok()?.view.failure);
    let line = Line { why, ..overview.jobs.0 };
    (line.jid == job && line.state.is_globally_terminal()).then_some(line)
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    /// Only this one.
    job: Option<String>,
    /// Only those of this one.
    application: Option<String>,
}

/// `GET /ws/v1/cluster/history`: ended jobs of all applications that are archived, newest first. An extension. Status 500 if `job` is asked
/// for and its archive cannot be read.
pub(super) async fn list(State(context): State<Context>, Query(wanted): Query<Wanted>) -> Result<Response, Error> {
    let job: Option<JobId> =
        wanted.job.map(|text| text.parse().map_err(|error| Error::invalid_id("JobID", &text, error))).transpose()?;
    let application = wanted.application.as_deref().map(parse_application).transpose()?;
    let looked = blocking(&context, move |history, lines| {
        if let Some(application) = application {
            return Ok(lines.of(history, &history.of(application)));
        }
        let mut all = history.all();
        lines.forget_all_but(&all);
        all.retain(|archived| job.is_none_or(|job| archived.job == job));
        let found = lines.of(history, &all);
        // Who asks for one job is told why it cannot be shown; of many, the others are.
        match all.first().filter(|_| job.is_some() && found.is_empty()) {
            Some(archived) => Err(unreadable(history, archived)),
            None => Ok(found),
        }
    })
    .await?;
    let lines = looked.map_err(Error::internal)?;
    let shown = |(application, line): &(ApplicationId, Line)| {
        let mut shown = json!(line);
        shown["application"] = json!(application.to_string());
        shown
    };
    Ok(super::json(&json!({ "jobs": lines.iter().map(shown).collect::<Value>() })))
}

async fn blocking<T: Send + 'static>(
    context: &Context,
    look: impl FnOnce(&History, &Lines) -> T + Send + 'static,
) -> Result<T, Error> {
    let (history, lines) = (context.handle.history().clone(), context.archived.clone());
    let looked = tokio::task::spawn_blocking(move || look(&history, &lines)).await;
    looked.map_err(|_| Error::internal("the archives could not be looked at; try again"))
}

/// A request below an application's address.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) application: ApplicationId,
    pub(super) method: Method,
    /// Without the slash that begins it, and without a query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
}

/// The answer in the place of an application that does not answer any more; none if nothing of it is archived.
pub(super) async fn answer(context: &Context, question: Question) -> Result<Option<Response>, Error> {
    blocking(context, move |history, lines| {
        let archived = history.of(question.application);
        (!archived.is_empty()).then(|| answer_of(history, lines, &archived, &question))
    })
    .await
}

/// As [`answer`], if the question is about one job and that is archived: for a JobManager that does not remember it.
pub(super) async fn answer_of_job(context: &Context, question: Question) -> Result<Option<Response>, Error> {
    if question.method != Method::GET {
        return Ok(None);
    }
    blocking(context, move |history, _| {
        let path = format!("/{}", unversioned(&question.path));
        let job = job_of(&path)?;
        match read(history, question.application, job) {
            Ok(None) => None,
            Ok(Some(archive)) => Some(of_archive(&archive, job, &path)),
            Err(cause) => Some(refuse(StatusCode::INTERNAL_SERVER_ERROR, &cause)),
        }
    })
    .await
}

fn unversioned(path: &str) -> &str {
    path.strip_prefix("v1/").unwrap_or(path)
}

/// `/jobs/:id…` and `/live/jobs/:id`.
fn job_of(path: &str) -> Option<JobId> {
    let path = path.strip_prefix("/live").unwrap_or(path);
    path.strip_prefix("/jobs/")?.split('/').next()?.parse().ok()
}

fn answer_of(history: &History, lines: &Lines, archived: &[Archived], question: &Question) -> Response {
    if !matches!(question.method, Method::GET | Method::HEAD) {
        return refuse(StatusCode::CONFLICT, &unchangeable(history, lines, archived, question));
    }
    let path = unversioned(&question.path);
    if let Some(file) = web::file(web::App::JobManager, path, &question.headers) {
        return file;
    }
    let path = format!("/{path}");
    if let Some(job) = job_of(&path) {
        return match read(history, question.application, job) {
            Ok(Some(archive)) => of_archive(&archive, job, &path),
            Ok(None) => not_found(job),
            Err(cause) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &cause),
        };
    }
    let lines: Vec<Line> = lines.of(history, archived).into_iter().map(|(_, line)| line).collect();
    match path.as_str() {
        "/config" => ok(config().to_string()),
        "/overview" => ok(overview(&lines).to_string()),
        "/jobs" => {
            let job = |line: &Line| json!({ "id": line.jid, "status": line.state });
            ok(json!({ "jobs": lines.iter().map(job).collect::<Value>() }).to_string())
        }
        "/jobs/overview" => ok(json!({ "jobs": lines }).to_string()),
        "/live/cluster" => {
            let view = json!({ "overview": overview(&lines), "jobs": lines.iter().map(brief).collect::<Value>() });
            let now = lines.iter().map(|line| line.end).max();
            ok(json!({ "now": now, "view": view }).to_string())
        }
        "/taskmanagers" => ok(json!({ "taskmanagers": [] }).to_string()),
        _ => refuse(StatusCode::NOT_FOUND, &format!("{} has ended, and no {path} of it is kept", question.application)),
    }
}

fn unchangeable(history: &History, lines: &Lines, archived: &[Archived], question: &Question) -> String {
    let job = job_of(&format!("/{}", unversioned(&question.path)));
    let of_job: Vec<Archived> = archived.iter().copied().filter(|archived| Some(archived.job) == job).collect();
    match lines.of(history, &of_job).first() {
        Some((_, Line { jid, state, .. })) => {
            format!("job {jid} has ended: {state}; it can be looked at (flott info {jid}), not changed")
        }
        None => format!("{} has ended; its jobs can be looked at, not changed", question.application),
    }
}

fn of_archive(archive: &JobArchive, job: JobId, path: &str) -> Response {
    match archive.answer(path) {
        Ok(Some(json)) => ok(json.to_owned()),
        Ok(None) => {
            let message = format!("job {job} has ended, and no {path} of it is kept");
            refuse(StatusCode::NOT_FOUND, &message)
        }
        Err(invalid) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &invalid.to_string()),
    }
}

fn not_found(job: JobId) -> Response {
    let message = format!("org.apache.flink.runtime.rest.NotFoundException: Job {job} not found");
    refuse(StatusCode::NOT_FOUND, &message)
}

/// As Flink's history server says it.
fn config() -> Value {
    json!({
        "refresh-interval": 10_000,
        "timezone-name": "Coordinated Universal Time",
        "timezone-offset": 0,
        "flink-version": VERSION,
        "flink-revision": format!("flott {VERSION}"),
        "features": { "web-submit": false, "web-cancel": false, "web-rescale": false, "web-history": true },
    })
}

fn overview(lines: &[Line]) -> Value {
    let count = |status: JobStatus| lines.iter().filter(|line| line.state == status).count();
    json!({
        "taskmanagers": 0,
        "slots-total": 0,
        "slots-available": 0,
        "jobs-running": 0,
        "jobs-finished": count(JobStatus::Finished),
        "jobs-cancelled": count(JobStatus::Canceled),
        "jobs-failed": count(JobStatus::Failed),
        "flink-version": VERSION,
        "flink-commit": "flott",
    })
}

/// As the page lists jobs.
fn brief(line: &Line) -> Value {
    let states = line.tasks.iter().filter(|(name, count)| *name != "total" && **count > 0);
    let tasks: Map<String, Value> = states.map(|(name, count)| (name.to_ascii_uppercase(), json!(count))).collect();
    json!({
        "jid": line.jid,
        "name": line.name,
        "state": line.state,
        "start": line.start,
        "end": line.end,
        "tasks": tasks,
        "why": line.why,
    })
}

fn ok(json: String) -> Response {
    answered(StatusCode::OK, json)
}

/// Below an application's address errors are Flink's.
fn refuse(status: StatusCode, message: &str) -> Response {
    answered(status, json!({ "errors": [message] }).to_string())
}

fn answered(status: StatusCode, json: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json; charset=UTF-8"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, json).into_response()
}
