//! Real processes on loopback: each module is one behaviour, seen from outside through the `flott` binary. (`state_evolution`
//! and `golden` run programs in their own process.)
//!
//! Every cluster takes free ports and a directory of its own, conditions are waited for with a deadline, and whatever a test
//! leaves running is killed when its cluster is dropped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and the line says where")]
#![expect(unreachable_pub, reason = "nothing outside this binary can reach any of it")]

mod accumulators;
mod bad_inputs;
mod browser;
mod checkpoints;
mod cluster;
mod commands;
mod failures;
mod golden;
mod golden_2;
mod history;
mod kills;
mod logs;
mod matrix;
mod per_job;
mod processes;
mod resume;
mod security;
mod session;
mod standalone;
mod state_evolution;
mod web_ui;
