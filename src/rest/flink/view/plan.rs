//! The job's graph as the dashboard draws it.

use serde_json::{Value, json};

use super::figures::escape_html;
use crate::graph::job_graph::{Exchange, JobGraph};
use crate::graph::plan::{ExecutionMode, Plan};
use crate::jobmanager::job::Job;

/// STREAMING or BATCH; before the plan is known, what most jobs are.
pub(super) fn job_type(job: &Job) -> &'static str {
    match job.master().map(|master| master.graph().execution_mode) {
        Some(ExecutionMode::Batch) => "BATCH",
        Some(ExecutionMode::Streaming | ExecutionMode::Automatic) | None => "STREAMING",
    }
}

pub(in super::super) fn plan(job: &Job) -> Value {
    let nodes = job.master().map(|master| nodes(master.plan(), master.graph())).unwrap_or_default();
    json!({ "jid": job.id(), "name": job.name(), "type": job_type(job), "nodes": nodes })
}

fn nodes(plan: &Plan, graph: &JobGraph) -> Vec<Value> {
    let node = |(index, vertex): (usize, &crate::graph::job_graph::Vertex)| {
        let inputs: Vec<Value> = graph
            .edges
            .iter()
            .filter(|edge| edge.target == index)
            .enumerate()
            .map(|(number, edge)| {
                json!({
                    "num": number,
                    "id": graph.vertices[edge.source].id,
                    "ship_strategy": edge.partitioner.to_string(),
                    "exchange": match edge.exchange { Exchange::Pipelined => "pipelined_bounded" },
                })
            })
            .collect();
        json!({
            "id": vertex.id,
            "parallelism": vertex.parallelism,
            "operator": "",
            "operator_strategy": "",
            "description": description(plan, vertex),
            // Released Flink writes an object here, newer sources a string: both read this.
            "optimizer_properties": {},
            "inputs": inputs,
        })
    };
    graph.vertices.iter().enumerate().map(node).collect()
}

/// The chain, an operator a line. HTML.
fn description(plan: &Plan, vertex: &crate::graph::job_graph::Vertex) -> String {
    let line = |(depth, index): (usize, &crate::graph::plan::NodeIndex)| {
        let node = &plan.nodes[index.0 as usize];
        let name = escape_html(&node.name);
        match depth {
            0 => format!("{name}<br/>"),
            depth => format!("{}+- {name}<br/>", "   ".repeat(depth - 1)),
        }
    };
    vertex.operators.iter().enumerate().map(line).collect()
}
