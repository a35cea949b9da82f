//! A job's graph told to people and tools, before anything is started: as text, as Flink's plan JSON, as DOT.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use super::job_graph::{Exchange, JobGraph, Vertex};
use super::plan::{NodeIndex, Plan, PlanEdge, PlanNode};

/// What would run: the program's operators, chained into vertices. Its text, by `Display`, is meant for a terminal.
///
/// ```text
/// Job "wordcount": BATCH, 2 vertices, 4 subtasks, 2 slots
/// Delivery: at-least-once: "Sink: Print to Std. Out" shows records at once, and again after a failure
///
/// [1] Source: Text Files           parallelism 2
///     └─ Flat Map
///        └─ Key By                 folds values by key before the exchange, in batch mode
///     ║ HASH from [1]
/// [2] Keyed Aggregation            parallelism 2, 128 key groups
///     └─ Sink: Print to Std. Out
/// ```
#[derive(Clone, Debug)]
pub struct Explanation {
    plan: Plan,
    graph: JobGraph,
}

impl Explanation {
    /// Of a plan, and what the JobManager makes of it.
    pub fn new(plan: Plan, graph: JobGraph) -> Self {
        Self { plan, graph }
    }

    /// The plan as `/jobs/:id/plan` of a running job shows it, without the job's id.
    pub fn to_json(&self) -> Value {
        let Self { plan, graph } = self;
        json!({ "name": plan.name, "type": graph.execution_mode, "nodes": json_nodes(plan, graph) })
    }

    /// A graph for Graphviz: operators in a box for each vertex. `flott run --explain=dot … | dot -Tsvg > plan.svg`
    pub fn to_dot(&self) -> String {
        let Self { plan, graph } = self;
        let mut dot = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box, style=rounded];\n", quoted(&plan.name));
        for (vertex, number) in graph.vertices.iter().zip(1..) {
            let label = quoted(&format!("[{number}] {}", properties(vertex, plan)));
            let _ = writeln!(dot, "  subgraph cluster_{number} {{\n    label={label};");
            for index in &vertex.operators {
                let _ = writeln!(dot, "    n{index} [label={}];", quoted(&node(plan, *index).name));
            }
            dot.push_str("  }\n");
        }
        for (edge, id) in plan.edges.iter().zip(0..) {
            let between = graph.edges.iter().find(|between| between.id.0 == id);
            let ship = between.map(|between| between.partitioner.to_string()).unwrap_or_default();
            let side = edge.side_output.as_ref().map(|tag| format!(" side output {tag}")).unwrap_or_default();
            let _ =
                writeln!(dot, "  n{} -> n{} [label={}];", edge.source, edge.target, quoted(&format!("{ship}{side}")));
        }
        dot.push_str("}\n");
        dot
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, graph } = self;
        let subtasks: u32 = graph.vertices.iter().map(|vertex| vertex.parallelism).sum();
        writeln!(
            f,
            "Job \"{}\": {}, {}, {}, {}",
            plan.name,
            graph.execution_mode,
            counted(graph.vertices.len(), "vertex", "vertices"),
            counted(subtasks as usize, "subtask", "subtasks"),
            counted(graph.slots_needed() as usize, "slot", "slots"),
        )?;
        writeln!(f, "Delivery: {}\n", plan.delivery())?;
        let vertices: Vec<Vec<Line>> =
            graph.vertices.iter().zip(1..).map(|(vertex, number)| vertex_lines(vertex, number, plan)).collect();
        let width = vertices.iter().flatten().map(|line| line.name.chars().count()).max().unwrap_or(0);
        for (index, lines) in vertices.iter().enumerate() {
            for edge in graph.edges.iter().filter(|edge| edge.target == index) {
                let planned = &plan.edges[edge.id.0 as usize];
                let side =
                    planned.side_output.as_ref().map(|tag| format!(", side output \"{tag}\"")).unwrap_or_default();
                writeln!(f, "    ║ {} from [{}]{side}", edge.partitioner, edge.source + 1)?;
            }
            for Line { name, note } in lines {
                match note.is_empty() {
                    true => writeln!(f, "{name}")?,
                    false => writeln!(f, "{name:width$}  {note}")?,
                }
            }
        }
        Ok(())
    }
}

/// An operator's line, and what stands in the column beside.
struct Line {
    name: String,
    note: String,
}

fn vertex_lines(vertex: &Vertex, number: usize, plan: &Plan) -> Vec<Line> {
    let line = |(index, depth): (&NodeIndex, usize)| {
        let operator = node(plan, *index);
        let (name, first) = match depth {
            0 => (format!("[{number}] {}", operator.name), Some(properties(vertex, plan))),
            _ => (format!("    {}└─ {}", "   ".repeat(depth - 1), operator.name), None),
        };
        let within = |edge: &&PlanEdge| edge.target == *index && depth > 0;
        let tag = plan.edges.iter().find(within).and_then(|edge| edge.side_output.as_ref());
        let side = tag.map(|tag| format!("side output \"{tag}\""));
        let uid = operator.uid.as_ref().map(|uid| format!("uid \"{uid}\""));
        let description = Some(operator.description.clone()).filter(|text| !text.is_empty());
        let notes: Vec<String> = [first, side, uid, description].into_iter().flatten().collect();
        Line { name, note: notes.join(", ") }
    };
    vertex.operators.iter().zip(depths(vertex, plan)).map(line).collect()
}

/// How far behind the head each operator of a chain stands.
fn depths(vertex: &Vertex, plan: &Plan) -> Vec<usize> {
    let mut depths: Vec<usize> = Vec::with_capacity(vertex.operators.len());
    for index in &vertex.operators {
        let mut feeders = plan.edges.iter().filter(|edge| edge.target == *index);
        let within = feeders.find_map(|edge| vertex.operators[..depths.len()].iter().position(|i| *i == edge.source));
        depths.push(within.map_or(0, |feeder| depths[feeder] + 1));
    }
    depths
}

/// What holds for all of a vertex. Key groups are told where keys arrive.
fn properties(vertex: &Vertex, plan: &Plan) -> String {
    let mut text = format!("parallelism {}", vertex.parallelism);
    let head = vertex.operators[0];
    let keyed = |partitioner| partitioner == super::plan::Partitioner::Hash;
    if plan.edges.iter().any(|edge| edge.target == head && keyed(edge.partitioner)) {
        let _ = write!(text, ", {} key groups", vertex.max_parallelism);
    }
    if vertex.slot_sharing_group != "default" {
        let _ = write!(text, ", slot sharing group \"{}\"", vertex.slot_sharing_group);
    }
    text
}

fn node(plan: &Plan, index: NodeIndex) -> &PlanNode {
    &plan.nodes[index.0 as usize]
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The vertices as Flink's dashboard draws them.
pub(crate) fn json_nodes(plan: &Plan, graph: &JobGraph) -> Vec<Value> {
    let node = |(index, vertex): (usize, &Vertex)| {
        let inputs = graph.edges.iter().filter(|edge| edge.target == index).enumerate().map(|(number, edge)| {
            json!({
                "num": number,
                "id": graph.vertices[edge.source].id,
                "ship_strategy": edge.partitioner.to_string(),
                "exchange": match edge.exchange { Exchange::Pipelined => "pipelined_bounded" },
            })
        });
        json!({
            "id": vertex.id,
            "parallelism": vertex.parallelism,
            "operator": "",
            "operator_strategy": "",
            "description": json_description(plan, vertex),
            // Released Flink writes an object here, newer sources a string: both read this.
            "optimizer_properties": {},
            "inputs": inputs.collect::<Vec<_>>(),
        })
    };
    graph.vertices.iter().enumerate().map(node).collect()
}

/// The chain, an operator a line. HTML.
fn json_description(plan: &Plan, vertex: &Vertex) -> String {
    let line = |(index, depth): (&NodeIndex, usize)| {
        let name = escape_html(&node(plan, *index).name);
        match depth {
            0 => format!("{name}<br/>"),
            depth => format!("{}+- {name}<br/>", "   ".repeat(depth - 1)),
        }
    };
    vertex.operators.iter().zip(depths(vertex, plan)).map(line).collect()
}

/// What Flink shows of text from users as HTML.
fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
