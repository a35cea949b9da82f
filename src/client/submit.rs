//! Submission: what is recorded once and given unchanged to every role of the program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::job_manager::JobManager;
use super::program::{LocalProgram, ProgramError};
use super::resource_manager::{APPLICATION_TYPE, ResourceManager, job_tag};
use crate::ids::{ApplicationId, JobId};
use crate::protocol::container::{LaunchContext, LocalResource, LocalResourceType, Visibility};
use crate::protocol::job::{JobSubmission, Program};
use crate::protocol::roles::{FLOTT_BIN, JOB_MANAGER, JobManagerEnvironment};
use crate::protocol::submission::Submission;
use crate::resource::Resource;
use crate::rpc::{ClusterSecret, http};

/// What is submitted.
#[derive(Clone, Debug, Default)]
pub struct SubmitOptions {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment it sees in every role.
    pub environment: BTreeMap<String, String>,
    /// Files it finds in its working directory.
    pub files: Vec<PathBuf>,
    /// Name of the application; absent: the program's.
    pub name: Option<String>,
    /// Queue; absent: the default one.
    pub queue: Option<String>,
    /// Who submits.
    pub user: String,
    /// The JobManager's container.
    pub job_manager: Resource,
    /// Configuration given with the submission.
    pub configuration: BTreeMap<String, String>,
}

/// What was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The job.
    pub job: JobId,
    /// The application it runs in; absent standalone.
    pub application: Option<ApplicationId>,
}

/// Why a submission did not come about.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The program or a file.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Two files with one name.
    #[error("two files are called {name}; they would meet in the program's working directory")]
    DuplicateFile {
        /// The name.
        name: String,
    },
    /// No secret for the application can be made.
    #[error("the system has no randomness to give: {0}")]
    Randomness(#[source] std::io::Error),
    /// The cluster.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The cluster gave an id that is none.
    #[error(transparent)]
    InvalidId(#[from] crate::ids::InvalidId),
}

/// A fresh job id.
pub fn new_job_id() -> JobId {
    JobId(fastrand::u128(..))
}

/// What the processes of one application know each other by. Made here and not by the JobManager, since its later attempts take over what
/// the first has started.
pub(super) fn secret() -> Result<String, SubmitError> {
    ClusterSecret::generate().map(|secret| secret.reveal().to_owned()).map_err(SubmitError::Randomness)
}

/// Submits a program with a cluster of its own. `uploading` is told each file before it goes.
///
/// # Errors
/// [`SubmitError`]; nothing runs then.
pub async fn submit_per_job(
    cluster: &ResourceManager,
    options: SubmitOptions,
    uploading: impl Fn(&LocalProgram),
) -> Result<Submitted, SubmitError> {
    let program = LocalProgram::executable(&options.program)?;
    let files = local_files(&options.files)?;
    let job = new_job_id();
    let new_application = cluster.new_application().await?;
    let application: ApplicationId = new_application.application_id.parse()?;
    uploading(&program);
    let executable = resource(cluster.upload(&program).await?, &program, true);
    let mut shipped = BTreeMap::new();
    for (name, file) in files {
        uploading(&file);
        let url = cluster.upload(&file).await?;
        shipped.insert(name, resource(url, &file, false));
    }
    let name = options.name.unwrap_or_else(|| program.name.clone());
    let program = Program {
        name: program.name,
        executable,
        arguments: options.arguments,
        environment: options.environment,
        files: shipped,
    };
    let resources = program.localised();
    let environment = JobManagerEnvironment {
        job: Some(JobSubmission { job, program, configuration: options.configuration.clone() }),
        configuration: options.configuration,
        secret: secret()?,
    };
    let environment = serde_json::to_string(&environment).expect("a submission is plain data with text keys");
    let submission = Submission {
        application,
        name,
        queue: options.queue.unwrap_or_else(|| "default".to_owned()),
        user: options.user,
        application_type: APPLICATION_TYPE.to_owned(),
        tags: vec![job_tag(job)],
        priority: 0,
        master: master(environment, resources),
        resource: options.job_manager,
        max_attempts: None,
        attempt_failures_validity_ms: None,
        keep_containers_across_attempts: true,
        lifetime_ms: None,
        is_command: false,
    };
    cluster.submit(&submission).await?;
    Ok(Submitted { job, application: Some(application) })
}

/// Submits a program to a JobManager that runs already; returns when it is planned and accepted.
///
/// # Errors
/// [`SubmitError`]; nothing runs then.
pub async fn submit_standalone(job_manager: &JobManager, options: SubmitOptions) -> Result<Submitted, SubmitError> {
    let program = LocalProgram::executable(&options.program)?;
    let job = new_job_id();
    let known = job_manager.uploaded().await?;
    let mut files = BTreeMap::new();
    for (name, file) in local_files(&options.files)? {
        files.insert(name, job_manager.upload(&file, &known).await?);
    }
    let uploaded = job_manager.upload(&program, &known).await?;
    let request = serde_json::json!({
        "jobId": job,
        "programArgsList": options.arguments,
        "flinkConfiguration": options.configuration,
        "environment": options.environment,
        "files": files,
    });
    job_manager.run(&uploaded, &request).await?;
    Ok(Submitted { job, application: None })
}

/// Files to be shipped along, by the names that programs find them under.
pub(crate) fn local_files(paths: &[PathBuf]) -> Result<BTreeMap<String, LocalProgram>, SubmitError> {
    let mut files = BTreeMap::new();
    for path in paths {
        let file = LocalProgram::file(path)?;
        if let Some(twice) = files.insert(file.name.clone(), file) {
            return Err(SubmitError::DuplicateFile { name: twice.name });
        }
    }
    Ok(files)
}

pub(super) fn resource(url: String, file: &LocalProgram, executable: bool) -> LocalResource {
    LocalResource {
        url,
        size: file.size,
        sha256: Some(file.sha256.clone()),
        kind: LocalResourceType::File,
        visibility: Visibility::Public,
        executable,
    }
}

/// The JobManager is the node's own flott, so that nothing has to be shipped to start it. The program lies beside it: the node
/// fetches each once, for the JobManager that plans and the TaskManagers that run it.
pub(super) fn master(environment: String, resources: BTreeMap<String, LocalResource>) -> LaunchContext {
    let command = format!("{{{{{FLOTT_BIN}}}}} jobmanager 1><LOG_DIR>/jobmanager.out 2><LOG_DIR>/jobmanager.err");
    LaunchContext {
        resources,
        environment: BTreeMap::from([(JOB_MANAGER.to_owned(), environment)]),
        commands: vec![command],
        tokens: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masters_command_runs_the_nodes_own_binary() {
        let context = master("{}".to_owned(), BTreeMap::new());
        assert_eq!(
            context.commands,
            ["{{FLOTT_BIN}} jobmanager 1><LOG_DIR>/jobmanager.out 2><LOG_DIR>/jobmanager.err"]
        );
    }

    #[test]
    fn files_of_one_name_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<_> = ["a", "b"].map(|sub| dir.path().join(sub).join("x.txt")).into();
        for path in &paths {
            std::fs::create_dir(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let error = local_files(&paths).unwrap_err().to_string();
        assert!(error.contains("two files are called x.txt"), "{error}");
    }
}
