//! The client: submit, follow, list, cancel. Never part of a daemon and never part of the data path; when it dies, jobs run on.
//!
//! ```text
//! cli ─► Submitter ─► ResourceManager (YARN's REST) ─ per-job
//!                └──► JobManager (Flink's REST) ───── standalone, session
//!     ─► Follower ──► long polls of both, no tick
//! ```

mod checkpoints;
mod command;
mod diagnosis;
mod follow;
mod job_manager;
mod live;
mod logs;
mod program;
mod rescale;
mod resource_manager;
mod session;
mod submit;

pub use checkpoints::Operation;
pub use command::{CommandOptions, Written, follow_command, submit_command};
pub use follow::{Follower, Outcome, Progress, Stage};
pub use job_manager::{Accumulated, JobManager, JobOverview};
pub use live::{Live, LiveJob, LiveVertex};
pub use logs::{Found, JobLogs, LogFile, Stream};
pub use program::{LocalProgram, ProgramError};
pub use rescale::{Rescale, VertexParallelism};
pub use resource_manager::ResourceManager;
pub use session::{SessionOptions, start_session};
pub(crate) use submit::local_files as shipped_files;
pub use submit::{SubmitError, SubmitOptions, Submitted, new_job_id, submit_per_job, submit_standalone};
