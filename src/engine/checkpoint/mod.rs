//! What lies in storage of a checkpoint, and who writes which part of it.
//!
//! ```text
//! <checkpoints>/chk-7/<vertex>-<subtask>-<attempt>   the state of one subtask, sections by (operator, state, key group)   the subtask
//! <checkpoints>/chk-7/_metadata                      the manifest: which files, what is left to read, what to commit      the JobMaster
//! ```
//! In an object store runs lie in `<checkpoints>/shared/`, each once however many checkpoints have it; see `object_storage`.
//! The manifest is written last, on condition that it is not there: a directory without one is no checkpoint. Everything that is
//! read carries a checksum. Files are written by streaming, so a snapshot takes no memory of its own beside what was frozen.

mod contents;
mod manifest;
mod manifest_file;
#[cfg(feature = "s3")]
mod object_storage;
mod restore_report;
mod restored;
mod state_file;
mod storage;
mod storages;

pub use super::record::{Barrier, Continuation};
pub use contents::{Contents, OperatorContents, StateContents, read_contents};
pub use manifest::{MANIFEST_NAME, MANIFEST_VERSION, Manifest, OperatorState, SourceState};
pub use manifest_file::{check_files, discard_checkpoint, read_manifest, write_manifest};
pub use restore_report::{Fate, OperatorFate, RestoreReport, StateFate, WrittenStates};
pub use restored::{RestoredOperator, RestoredStates, Taker};
pub use state_file::write_states;
pub use storage::{CheckpointStorage, JobStands, LocalStorage, NewFile, StoredFile};
pub use storages::Storages;
