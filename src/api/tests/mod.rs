mod aggregates;
mod graphs;
mod pipelines;
