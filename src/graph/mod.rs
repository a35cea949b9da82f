//! A job's graph as data: what the program built, and what runs.
//!
//! ```text
//! api (closures) ──► Plan (nodes, edges) ──► JobGraph (chains, parallelism) ──► TaskDeployment
//!                    plan role, stored         JobManager alone                   task
//! ```
//!
//! Invariants: a graph holds no closures; a [`plan::Plan`] is acyclic and its nodes stand in topological order
//! ([`plan::Plan::validate`]); the hash covers operator ids, types and partitioners, not parallelism, so the same program
//! can be rescaled and a different one is noticed.

pub mod accumulator;
pub mod checkpoint;
pub mod delivery;
mod deployment;
pub mod event_time;
pub mod explain;
mod invalid_plan;
pub mod job_graph;
pub mod plan;
mod regions;
mod rescale;
pub mod task;
