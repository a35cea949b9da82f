//! Operating system processes: spawn, watch, limit and end them, and read what an executable needs. Knows none of our roles.
//!
//! ```text
//! nodemanager, taskmanager, jobmanager ──► Command::spawn ──► Child::wait ──► Ended
//!                                               │                 ▲
//!                                     Identity (pid, start) ──► gone: the same for a process that is not our child
//!                                               │
//!                         Table::read ──► rss, processes of a tree ──► signal_tree, end_tree
//! ```
//!
//! Every command leads a process group or a session of its own, so that ending it ends what it started. A *tree* is what belongs to
//! a leader: its session, its group, and every descendant of those, wherever it moved to.
//!
//! Invariants: a process is never signalled by its number alone once it is no child of ours: [`Identity`] carries its start time
//! and the boot, so a reused number is not mistaken for it; an end is told by the kernel (pidfd), never found by polling.

mod elf;
mod error;
mod fetch;
mod huge_pages;
mod identity;
mod log_file;
mod memory_watch;
mod platform;
mod spawn;
mod table;
mod tree;
mod trim;

pub use self::elf::{ExecutableKind, NotRunnable, check_runnable, inspect};
pub use self::error::SpawnError;
pub use self::fetch::{Announced, Fetched, Fetcher, NotFetched};
pub use self::huge_pages::forgo_huge_pages;
pub use self::identity::{Identity, gone};
pub use self::log_file::{RotatedLog, read_range, tail};
pub use self::memory_watch::MemoryWatch;
pub use self::platform::{GlibcVersion, Platform};
pub use self::spawn::{Child, Command, Ended, Leads, Output, StandardInput};
pub use self::table::{Entry, Table, Usage};
pub use self::tree::{Signal, end_tree, marked, signal_group, signal_process, signal_tree};
pub use self::trim::give_back_own_program;
