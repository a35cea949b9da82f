//! Routes that run an uploaded program, or show what it would run.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Content, Query, Refusal, Result};
use super::jars::{find, resource};
use crate::ids::JobId;
use crate::jobmanager::Handle;
use crate::jobmanager::uploads::Upload;
use crate::protocol::job::{JobStatus, JobSubmission, Program};

/// How long a run waits for its program's plan; the program's own limit comes before.
const PLANNING_MAX: Duration = Duration::from_secs(600);

pub(super) fn routes() -> Router<Handle> {
    Router::new()
        .route("/jars/{id}/run", post(run))
        .route("/jars/{id}/run-application", post(run_application))
        .route("/jars/{id}/plan", get(plan).post(plan))
}

/// Submits, and waits until the program has been planned.
async fn run(
    State(handle): State<Handle>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    Content(body): Content,
) -> Result {
    let job = submit(&handle, &id, query, &body).await?;
    Ok(Answer::ok(json!({ "jobid": job, "applicationId": job })))
}

/// As [`run`]; Flink 2.3 answers before the program has run, with the application's id.
async fn run_application(
    State(handle): State<Handle>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    Content(body): Content,
) -> Result {
    let submission = RunRequest::new(&body, query)?.submission(&handle, &find(&handle, &id)?)?;
    let job = submission.job;
    handle.submit(submission).await?;
    Ok(Answer::accepted(json!({ "applicationid": job })))
}

/// What the program would run, without running it.
async fn plan(
    State(handle): State<Handle>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    Content(body): Content,
) -> Result {
    let submission = RunRequest::new(&body, query)?.submission(&handle, &find(&handle, &id)?)?;
    let explained = handle.explain(&submission).await.map_err(|failure| Refusal::bad_request(failure.to_string()))?;
    let mut plan = explained.to_json();
    plan["jid"] = json!(submission.job);
    Ok(Answer::ok(json!({ "plan": plan })))
}

async fn submit(handle: &Handle, id: &str, query: BTreeMap<String, String>, body: &[u8]) -> Result<JobId> {
    let upload = find(handle, id)?;
    let submission = RunRequest::new(body, query)?.submission(handle, &upload)?;
    let job = submission.job;
    handle.submit(submission).await?;
    let mut version = 0;
    loop {
        handle.watch(job, version, PLANNING_MAX).await?;
        let seen = handle
            .view(move |core, _| {
                let job = core.job(job)?;
                Some((job.status(), job.master().is_some(), job.failure().map(ToString::to_string), job.version()))
            })
            .await?;
        match seen {
            Some((JobStatus::Initializing, false, _, now)) => version = now,
            Some((JobStatus::Failed, false, failure, _)) => {
                return Err(Refusal::bad_request(
                    failure.unwrap_or_else(|| "the program cannot be planned".to_owned()),
                ));
            }
            Some(_) | None => return Ok(job),
        }
    }
}

/// What a run is asked with: body before query, empty values count as absent, numbers may be strings.
struct RunRequest {
    body: Map<String, Value>,
    query: BTreeMap<String, String>,
}

impl RunRequest {
    fn new(body: &[u8], query: BTreeMap<String, String>) -> Result<Self> {
        let body: &[u8] = if body.is_empty() { b"{}" } else { body };
        let body = serde_json::from_slice(body).map_err(|error| Refusal::unreadable(&error))?;
        Ok(Self { body, query })
    }

    fn text(&self, key: &str, query_key: &str) -> Option<String> {
        let in_body = self.body.get(key).and_then(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        });
        in_body
            .filter(|text| !text.is_empty())
            .or_else(|| self.query.get(query_key).cloned())
            .filter(|text| !text.is_empty())
    }

    fn arguments(&self) -> Result<Vec<String>> {
        if let Some(Value::Array(list)) = self.body.get("programArgsList") {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            return list.iter().map(text).collect::<Option<_>>().ok_or_else(|| wrong("programArgsList", "strings"));
        }
        if let Some(line) = self.text("programArgs", "program-args") {
            return Ok(words(&line));
        }
        Ok(self.query.get("programArg").map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default())
    }

    /// Where the job starts from, under the names of Flink's configuration.
    fn recovery(&self, configuration: &mut BTreeMap<String, String>) {
        // Flink's dashboard sends the program's arguments under this name in the query, by mistake.
        let by_mistake = self.text("programArgs", "program-args");
        if let Some(path) = self.text("savepointPath", "savepointPath").filter(|path| Some(path) != by_mistake.as_ref())
        {
            configuration.insert("execution.state-recovery.path".to_owned(), path);
        }
        if self.text("allowNonRestoredState", "allowNonRestoredState").as_deref() == Some("true") {
            configuration.insert("execution.state-recovery.ignore-unclaimed-state".to_owned(), "true".to_owned());
        }
    }

    fn map(&self, key: &str) -> Result<BTreeMap<String, String>> {
        match self.body.get(key) {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(value) => serde_json::from_value(value.clone()).map_err(|_| wrong(key, "strings by name")),
        }
    }

    fn submission(&self, handle: &Handle, upload: &Upload) -> Result<JobSubmission> {
        let job = match self.text("jobId", "jobId") {
            Some(text) => {
                text.parse().map_err(|error: crate::ids::InvalidId| Refusal::bad_request(error.to_string()))?
            }
            None => JobId(fastrand::u128(..)),
        };
        let mut configuration = self.map("flinkConfiguration")?;
        self.recovery(&mut configuration);
        if let Some(parallelism) = self.text("parallelism", "parallelism") {
            configuration.insert("parallelism.default".to_owned(), parallelism);
        }
        let mut files = BTreeMap::new();
        for (name, id) in self.map("files")? {
            files.insert(name, resource(handle, &find(handle, &id)?));
        }
        let program = Program {
            name: upload.name.clone(),
            executable: resource(handle, upload),
            arguments: self.arguments()?,
            environment: self.map("environment")?,
            files,
        };
        Ok(JobSubmission { job, program, configuration })
    }
}

fn wrong(key: &str, expected: &str) -> Refusal {
    Refusal::bad_request(format!("{key} takes {expected}"))
}

/// Splits at blanks, keeping `'…'` and `"…"` together, without escapes; as Flink did.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_with(String::new);
            }
            None if c.is_whitespace() => words.extend(word.take()),
            Some(_) | None => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Configuration;
    use crate::testing::fuzz::fuzz;

    #[test]
    fn the_body_outranks_the_query_and_empty_counts_as_absent() {
        let query = BTreeMap::from([
            ("parallelism".to_owned(), "3".to_owned()),
            ("program-args".to_owned(), "--a 'b c'".to_owned()),
        ]);
        let request = RunRequest::new(br#"{"parallelism":"","programArgs":null}"#, query.clone()).ok().unwrap();
        assert_eq!(request.text("parallelism", "parallelism").as_deref(), Some("3"));
        assert_eq!(request.arguments().ok().unwrap(), ["--a", "b c"]);
        let request = RunRequest::new(br#"{"parallelism":2,"programArgsList":["x y"]}"#, query).ok().unwrap();
        assert_eq!(request.text("parallelism", "parallelism").as_deref(), Some("2"));
        assert_eq!(request.arguments().ok().unwrap(), ["x y"]);
    }

    #[test]
    fn lines_of_arguments_are_split_as_flink_did() {
        assert_eq!(words("a \"b c\" '' d"), ["a", "b c", "", "d"]);
    }

    #[test]
    fn a_job_starts_from_a_path_but_not_from_its_arguments() {
        let configuration = |body: &[u8], query: &str| {
            let query = BTreeMap::from([("savepointPath".to_owned(), query.to_owned())]);
            let mut configuration = BTreeMap::new();
            RunRequest::new(body, query).ok().unwrap().recovery(&mut configuration);
            configuration
        };
        assert_eq!(configuration(br#"{"savepointPath":"","programArgs":"--lines 3"}"#, "--lines 3"), BTreeMap::new());
        assert_eq!(configuration(b"", "/sp/2")["execution.state-recovery.path"], "/sp/2");
        let found = configuration(br#"{"savepointPath":"/sp/1","allowNonRestoredState":"true"}"#, "");
        assert_eq!(found["execution.state-recovery.path"], "/sp/1");
        assert_eq!(found["execution.state-recovery.ignore-unclaimed-state"], "true");
    }

    #[test]
    fn fuzz_requests_for_runs() {
        let corpus = [
            r#"{"entryClass":"a","programArgsList":["--input","a b"],"parallelism":4,"savepointPath":"/s","allowNonRestoredState":true}"#,
            r#"{"programArgs":"--name 'a b' \"c\"","jobId":"0123456789abcdef0123456789abcdef","flinkConfiguration":{"a":"b"},"files":{"x":"y"}}"#,
            "",
        ];
        fuzz("runs", &corpus.map(|text| text.as_bytes().to_vec()), |bytes| {
            let Ok(request) = RunRequest::new(bytes, BTreeMap::new()) else { return };
            let _ = request.arguments();
            let mut configuration = request.map("flinkConfiguration").unwrap_or_default();
            request.recovery(&mut configuration);
            let _ = Configuration::new().with_submitted(&configuration);
            let _ = (request.map("files"), request.map("environment"), request.text("jobId", "jobId"));
        });
    }
}
