mod aggregates;
mod connected;
mod connectors;
mod graphs;
mod pipelines;
mod process;
