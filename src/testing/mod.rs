//! Harnesses: for us a simulated cluster, [`simulation`].

pub mod simulation;
