mod graphs;
mod pipelines;
