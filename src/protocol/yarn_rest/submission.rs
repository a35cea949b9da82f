//! The submission context (`POST /apps`) and what precedes it (`POST /apps/new-application`).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use super::{Entries, ResourceObject, one_or_many};
use crate::protocol::container::{LaunchContext, LocalResource, LocalResourceType, Visibility};
use crate::protocol::submission::Submission;
use crate::resource::Resource;
use crate::rpc::token::Token;

/// Reply of `POST /apps/new-application`; has no root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NewApplication {
    /// To be used in the submission.
    pub application_id: String,
    /// The largest container that can be asked for.
    pub maximum_resource_capability: ResourceObject,
}

/// Body of `POST /apps`; has no root key. YARN's `ApplicationSubmissionContextInfo`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct SubmissionContext {
    /// From `new-application`.
    pub application_id: String,
    /// For people; cut after 100 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_name: Option<String>,
    /// Absent: `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Larger numbers first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// How the master is launched.
    pub am_container_spec: ContainerSpec,
    /// Not supported if true.
    #[serde(rename = "unmanaged-AM")]
    pub unmanaged_am: bool,
    /// Read and ignored: there are no delegation tokens.
    pub cancel_tokens_when_complete: bool,
    /// Absent or not positive: the cluster's limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_app_attempts: Option<i32>,
    /// The master's container; absent: the smallest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceObject>,
    /// Absent: `YARN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_type: Option<String>,
    /// Whether other containers live on when the master fails.
    pub keep_containers_across_application_attempts: bool,
    /// Free tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_tags: Option<Tags>,
    /// In milliseconds; absent or not positive: all failures count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_failures_validity_interval: Option<i64>,
    /// Extension: the application is killed after so many seconds, if it has not ended; absent: its queue's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u64>,
    /// Extension: the command is the whole application. It registers nowhere, and its exit is the application's end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_command: bool,
}

/// `{"tag":[…]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tags {
    /// The tags.
    #[serde(deserialize_with = "one_or_many")]
    pub tag: Vec<String>,
}

/// How a container is launched. YARN's `ContainerLaunchContextInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ContainerSpec {
    /// Files, by the name they get.
    pub local_resources: Entries<LocalResourceEntry>,
    /// Environment.
    pub environment: Entries<String>,
    /// Joined by spaces.
    pub commands: Commands,
    /// Tokens and secrets.
    #[serde(skip_serializing_if = "Credentials::is_empty")]
    pub credentials: Credentials,
}

/// `{"command":"…"}` or `{"command":["…"]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commands {
    /// The words of the command.
    #[serde(deserialize_with = "one_or_many")]
    pub command: Vec<String>,
}

/// Credentials; `secrets` are not used by anything here and are not carried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Credentials {
    /// base64 texts by name: a [`Token`] as JSON, or bytes that only the application understands.
    pub tokens: Entries<String>,
}

impl Credentials {
    fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// One file to localise. `sha256` and `executable` are extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalResourceEntry {
    /// Its URL.
    pub resource: String,
    /// `FILE` or `ARCHIVE`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `PUBLIC`, `PRIVATE`, `APPLICATION`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// In bytes.
    pub size: u64,
    /// Of the last change, epoch milliseconds. Not compared: the hash says more.
    pub timestamp: i64,
    /// Extension: SHA-256 in lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Extension: whether the placed file is executable.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// Why a submission context cannot be taken; the message is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubmission {
    /// `application-id` is missing or malformed.
    #[error("Invalid ApplicationId: {0}")]
    ApplicationId(String),
    /// Something is asked for that is not supported, or makes no sense.
    #[error("{0}")]
    Unsupported(String),
}

const NAME_LEN_MAX: usize = 100;
const OPAQUE_TOKEN: &str = "opaque";

impl SubmissionContext {
    /// The proven form, for `user`. A missing resource becomes zero, which the scheduler rounds up to its minimum.
    ///
    /// # Errors
    /// [`InvalidSubmission`], to be answered with 400.
    pub fn into_submission(self, user: &str) -> Result<Submission, InvalidSubmission> {
        let application =
            self.application_id.parse().map_err(|_| InvalidSubmission::ApplicationId(self.application_id.clone()))?;
        if self.unmanaged_am {
            let why = "unmanaged-AM is not supported; give am-container-spec a command".to_owned();
            return Err(InvalidSubmission::Unsupported(why));
        }
        let positive = |number: Option<i32>| number.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        Ok(Submission {
            application,
            name: self.application_name.unwrap_or_default().chars().take(NAME_LEN_MAX).collect(),
            queue: self.queue.filter(|queue| !queue.is_empty()).unwrap_or_else(|| "default".to_owned()),
            user: user.to_owned(),
            application_type: self
                .application_type
                .filter(|kind| !kind.is_empty())
                .unwrap_or_else(|| "YARN".to_owned()),
            tags: self.application_tags.unwrap_or_default().tag,
            priority: positive(self.priority).unwrap_or(0),
            master: self.am_container_spec.try_into()?,
            resource: self.resource.as_ref().map(Resource::from).unwrap_or_default(),
            max_attempts: positive(self.max_app_attempts),
            attempt_failures_validity_ms: self
                .attempt_failures_validity_interval
                .and_then(|ms| u64::try_from(ms).ok())
                .filter(|ms| *ms > 0),
            keep_containers_across_attempts: self.keep_containers_across_application_attempts,
            lifetime_ms: self.lifetime_seconds.map(|seconds| seconds.saturating_mul(1000)),
            is_command: self.is_command,
        })
    }
}

impl From<&Submission> for SubmissionContext {
    fn from(submission: &Submission) -> Self {
        let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        Self {
            application_id: submission.application.to_string(),
            application_name: Some(submission.name.clone()),
            queue: Some(submission.queue.clone()),
            priority: Some(number(submission.priority)),
            am_container_spec: (&submission.master).into(),
            unmanaged_am: false,
            cancel_tokens_when_complete: true,
            max_app_attempts: submission.max_attempts.map(number),
            resource: Some((&submission.resource).into()),
            application_type: Some(submission.application_type.clone()),
            keep_containers_across_application_attempts: submission.keep_containers_across_attempts,
            application_tags: Some(Tags { tag: submission.tags.clone() }),
            attempt_failures_validity_interval: submission
                .attempt_failures_validity_ms
                .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            lifetime_seconds: submission.lifetime_ms.map(|ms| ms.div_ceil(1000)),
            is_command: submission.is_command,
        }
    }
}

impl TryFrom<ContainerSpec> for LaunchContext {
    type Error = InvalidSubmission;

    fn try_from(spec: ContainerSpec) -> Result<Self, InvalidSubmission> {
        let resources = spec
            .local_resources
            .0
            .into_iter()
            .map(|(name, entry)| entry.try_into().map(|resource| (name, resource)))
            .collect::<Result<_, _>>()?;
        let tokens = spec.credentials.tokens.0.into_iter();
        Ok(Self {
            resources,
            environment: spec.environment.0,
            commands: spec.commands.command,
            tokens: tokens
                .map(|(name, text)| token(&name, &text).map(|token| (name, token)))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<&LaunchContext> for ContainerSpec {
    fn from(context: &LaunchContext) -> Self {
        let tokens = context.tokens.iter().map(|(name, token)| {
            let bytes = if token.kind == OPAQUE_TOKEN {
                token.identifier.clone()
            } else {
                serde_json::to_vec(token).expect("a token is plain data with text keys")
            };
            (name.clone(), URL_SAFE.encode(bytes))
        });
        Self {
            local_resources: Entries(context.resources.iter().map(|(name, r)| (name.clone(), r.into())).collect()),
            environment: Entries(context.environment.clone()),
            commands: Commands { command: context.commands.clone() },
            credentials: Credentials { tokens: Entries(tokens.collect()) },
        }
    }
}

fn token(name: &str, text: &str) -> Result<Token, InvalidSubmission> {
    let bytes = URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text));
    let bytes = bytes.map_err(|_| InvalidSubmission::Unsupported(format!("the token `{name}` is not base64")))?;
    Ok(serde_json::from_slice(&bytes).unwrap_or_else(|_| Token {
        kind: OPAQUE_TOKEN.to_owned(),
        service: name.to_owned(),
        identifier: bytes,
        password: Vec::new(),
    }))
}

impl TryFrom<LocalResourceEntry> for LocalResource {
    type Error = InvalidSubmission;

    fn try_from(entry: LocalResourceEntry) -> Result<Self, InvalidSubmission> {
        let kind = match entry.kind.as_deref() {
            None | Some("FILE") => LocalResourceType::File,
            Some("ARCHIVE") => LocalResourceType::Archive,
            Some(other) => {
                let why = format!("local resource type {other} is not supported; it should be one of [FILE, ARCHIVE]");
                return Err(InvalidSubmission::Unsupported(why));
            }
        };
        Ok(Self {
            url: entry.resource,
            size: entry.size,
            sha256: entry.sha256,
            kind,
            visibility: entry.visibility.unwrap_or_default(),
            executable: entry.executable,
        })
    }
}

impl From<&LocalResource> for LocalResourceEntry {
    fn from(resource: &LocalResource) -> Self {
        let kind = match resource.kind {
            LocalResourceType::File => "FILE",
            LocalResourceType::Archive => "ARCHIVE",
        };
        Self {
            resource: resource.url.clone(),
            kind: Some(kind.to_owned()),
            visibility: Some(resource.visibility),
            size: resource.size,
            timestamp: 0,
            sha256: resource.sha256.clone(),
            executable: resource.executable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fuzz::{corpus, fuzz};

    const FROM_A_CLIENT: &str = r#"{
        "application-id": "application_1404203615263_0001", "application-name": "test", "queue": "default", "priority": 3,
        "am-container-spec": {
            "local-resources": {"entry": {"key": "AppMaster.jar", "value": {
                "resource": "hdfs://h:9000/AppMaster.jar", "type": "FILE", "visibility": "APPLICATION",
                "size": 43004, "timestamp": 1405452071209}}},
            "commands": {"command": "{{JAVA_HOME}}/bin/java Master 1><LOG_DIR>/AppMaster.stdout"},
            "environment": {"entry": [{"key": "A", "value": "1"}, {"key": "B", "value": "2"}]},
            "credentials": {"tokens": {"entry": {"key": "t", "value": "AAECAw=="}}, "secrets": null}
        },
        "unmanaged-AM": false, "max-app-attempts": 2, "resource": {"memory": 1024, "vCores": 1}, "application-type": "YARN",
        "keep-containers-across-application-attempts": false, "application-tags": {"tag": "one"},
        "log-aggregation-context": {"log-include-pattern": "file1"}, "attempt-failures-validity-interval": -1
    }"#;

    #[test]
    fn a_context_as_clients_send_it_becomes_a_submission_and_back() {
        let context: SubmissionContext = serde_json::from_str(FROM_A_CLIENT).unwrap();
        let submission = context.into_submission("alice").unwrap();
        assert_eq!(submission.user, "alice");
        assert_eq!(submission.priority, 3);
        assert_eq!(submission.tags, ["one"]);
        assert_eq!(submission.attempt_failures_validity_ms, None);
        assert_eq!(submission.master.commands.len(), 1);
        assert_eq!(submission.master.resources["AppMaster.jar"].size, 43004);
        assert_eq!(submission.master.tokens["t"].identifier, [0, 1, 2, 3]);

        let json = serde_json::to_string(&SubmissionContext::from(&submission)).unwrap();
        let again: SubmissionContext = serde_json::from_str(&json).unwrap();
        assert_eq!(again.into_submission("alice").unwrap(), submission);
    }

    #[test]
    fn what_cannot_be_taken_is_refused_by_name() {
        let context: SubmissionContext = serde_json::from_str(r#"{"application-id":"nonsense"}"#).unwrap();
        assert_eq!(context.into_submission("a").unwrap_err().to_string(), "Invalid ApplicationId: nonsense");
        let id = "application_1_0001".to_owned();
        let unmanaged = SubmissionContext { application_id: id.clone(), unmanaged_am: true, ..Default::default() };
        assert!(unmanaged.into_submission("a").is_err());
        let mut pattern = SubmissionContext { application_id: id, ..Default::default() };
        let entry = LocalResourceEntry { kind: Some("PATTERN".to_owned()), ..Default::default() };
        pattern.am_container_spec.local_resources.0.insert("x".to_owned(), entry);
        assert!(pattern.into_submission("a").unwrap_err().to_string().contains("PATTERN"));
    }

    #[test]
    fn fuzz_submissions() {
        fuzz("submission", &corpus("submission"), |bytes| {
            if let Ok(context) = serde_json::from_slice::<SubmissionContext>(bytes) {
                drop(context.into_submission("alice"));
            }
        });
    }
}
