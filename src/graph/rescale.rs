//! The same job graph with another parallelism.

use std::collections::BTreeMap;

use super::invalid_plan::InvalidPlan;
use super::job_graph::{JobGraph, job_edges};
use super::plan::{Partitioner, Plan};
use crate::ids::VertexId;

impl JobGraph {
    /// This graph, made of `plan`, with so many subtasks of each vertex named; the others stay as they are, and so do the chains and the
    /// numbers of key groups.
    ///
    /// # Errors
    /// What does not go: none or more subtasks than key groups, and `forward` between unequal numbers. The message names the operator.
    pub fn rescaled(&self, plan: &Plan, parallelism: &BTreeMap<VertexId, u32>) -> Result<Self, InvalidPlan> {
        let mut vertices = self.vertices.clone();
        let mut chain_of = vec![0; plan.nodes.len()];
        for (at, vertex) in vertices.iter_mut().enumerate() {
            for node in &vertex.operators {
                chain_of[node.0 as usize] = at;
            }
            if let Some(wanted) = parallelism.get(&vertex.id) {
                check(&vertex.name, *wanted, vertex.max_parallelism)?;
                vertex.parallelism = *wanted;
            }
        }
        for edge in plan.edges.iter().filter(|edge| edge.partitioner == Partitioner::ForwardOnly) {
            let (from, to) = (chain_of[edge.source.0 as usize], chain_of[edge.target.0 as usize]);
            let (from, to) = (&vertices[from], &vertices[to]);
            if from.parallelism != to.parallelism {
                return Err(InvalidPlan::Forward {
                    from: from.name.clone(),
                    from_parallelism: from.parallelism,
                    to: to.name.clone(),
                    to_parallelism: to.parallelism,
                });
            }
        }
        let edges = job_edges(plan, &chain_of, &vertices);
        Ok(Self { vertices, edges, execution_mode: self.execution_mode })
    }
}

fn check(name: &str, parallelism: u32, max: u32) -> Result<(), InvalidPlan> {
    match parallelism {
        0 => Err(InvalidPlan::NoParallelism { operator: name.to_owned() }),
        _ if parallelism > max => Err(InvalidPlan::Parallelism { operator: name.to_owned(), parallelism, max }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::job_graph::tests::{SETTINGS, wordcount};
    use super::*;

    #[test]
    fn chains_and_key_groups_stay_while_edges_follow_the_parallelism() {
        let mut plan = wordcount();
        plan.nodes[1].parallelism = Some(3); // source (2) ─► split (3) ─► sum -> print (2)
        let graph = JobGraph::new(&plan, SETTINGS).unwrap();
        let [source, split, sum] = [0, 1, 2].map(|at| graph.vertices[at].id);
        assert_eq!(graph.edges[0].partitioner, Partitioner::Rebalance);

        let rescaled = graph.rescaled(&plan, &[(source, 3), (sum, 5)].into()).unwrap();
        let parallelism: Vec<u32> = rescaled.vertices.iter().map(|vertex| vertex.parallelism).collect();
        assert_eq!(parallelism, [3, 3, 5]);
        assert_eq!(rescaled.edges[0].partitioner, Partitioner::Forward, "equal now");
        assert_eq!(rescaled.slots_needed(), 5);
        let back = rescaled.rescaled(&plan, &[(source, 2), (split, 3), (sum, 2)].into()).unwrap();
        assert_eq!(back, graph);
    }

    #[test]
    fn what_does_not_go_is_refused_by_name() {
        let mut plan = wordcount();
        plan.edges[1].partitioner = Partitioner::ForwardOnly;
        plan.nodes[2].chaining = crate::graph::plan::Chaining::Never;
        let graph = JobGraph::new(&plan, SETTINGS).unwrap();
        let [head, sum] = [0, 1].map(|at| graph.vertices[at].id);
        let refused = |wanted: &[(VertexId, u32)]| {
            graph.rescaled(&plan, &wanted.iter().copied().collect()).unwrap_err().to_string()
        };
        assert!(refused(&[(sum, 3)]).starts_with("forward needs equal parallelism"), "{}", refused(&[(sum, 3)]));
        assert!(refused(&[(head, 0), (sum, 0)]).contains("parallelism 0"));
        assert!(refused(&[(head, 129), (sum, 129)]).contains("max parallelism 128"));
        assert!(graph.rescaled(&plan, &[(head, 128), (sum, 128)].into()).is_ok());
    }
}
