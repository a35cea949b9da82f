//! HTTP views over the daemons' handles: each module makes an axum router from one daemon's handle and knows no more.

pub mod cluster;
mod exposition;
pub mod flink;
mod live;
pub mod node;
pub mod task_manager;
