mod aggregates;
mod connectors;
mod graphs;
mod pipelines;
mod process;
