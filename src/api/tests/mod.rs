mod aggregates;
mod connected;
mod connectors;
mod graphs;
mod partitioning;
mod pipelines;
mod process;
mod settings;
