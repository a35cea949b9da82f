//! Which vertices exchange data with one another, directly or through others: what must be restarted together.

use std::collections::BTreeSet;

use super::job_graph::JobGraph;

/// The parts of a job between which no data flows. Flink's pipelined regions, every exchange being pipelined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regions {
    /// By vertex, numbered in the order of their first vertices.
    of: Vec<usize>,
    count: usize,
}

impl Regions {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The region of a vertex.
    pub fn of(&self, vertex: usize) -> usize {
        self.of[vertex]
    }

    /// The vertices of some regions, in order.
    pub fn vertices(&self, regions: &BTreeSet<usize>) -> Vec<usize> {
        let vertices = self.of.iter().enumerate().filter(|(_, region)| regions.contains(region));
        vertices.map(|(vertex, _)| vertex).collect()
    }
}

impl JobGraph {
    /// Its regions: union-find over the edges.
    pub fn regions(&self) -> Regions {
        let mut parents: Vec<usize> = (0..self.vertices.len()).collect();
        for edge in &self.edges {
            let (source, target) = (root(&mut parents, edge.source), root(&mut parents, edge.target));
            // The earlier vertex is the root, so that regions come in the order of their first vertices.
            parents[source.max(target)] = source.min(target);
        }
        let mut roots = Vec::new();
        let mut region = |vertex: usize| {
            let root = root(&mut parents, vertex);
            roots.iter().position(|known| *known == root).unwrap_or_else(|| {
                roots.push(root);
                roots.len() - 1
            })
        };
        let of: Vec<usize> = (0..self.vertices.len()).map(&mut region).collect();
        Regions { of, count: roots.len() }
    }
}

/// The root of a vertex, with the way to it halved.
fn root(parents: &mut [usize], mut vertex: usize) -> usize {
    while parents[vertex] != vertex {
        parents[vertex] = parents[parents[vertex]];
        vertex = parents[vertex];
    }
    vertex
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::job_graph::{Exchange, JobEdge, Vertex};
    use super::super::plan::{EdgeId, ExecutionMode, NodeIndex, Partitioner};
    use super::*;
    use crate::ids::VertexId;

    fn graph(vertices: usize, edges: &[(usize, usize)]) -> JobGraph {
        let vertex = |index: usize| Vertex {
            id: VertexId(index as u128),
            name: String::new(),
            operators: vec![NodeIndex(0)],
            parallelism: 1,
            max_parallelism: 1,
            slot_sharing_group: String::new(),
        };
        let edge = |&(source, target): &(usize, usize)| JobEdge {
            id: EdgeId(0),
            source,
            target,
            partitioner: Partitioner::Hash,
            exchange: Exchange::Pipelined,
        };
        let (vertices, edges) = ((0..vertices).map(vertex).collect(), edges.iter().map(edge).collect());
        JobGraph { vertices, edges, execution_mode: ExecutionMode::Streaming }
    }

    #[test]
    fn what_is_connected_in_either_direction_is_one_region() {
        let regions = graph(6, &[(0, 2), (1, 2), (3, 5)]).regions();
        assert_eq!((0..6).map(|vertex| regions.of(vertex)).collect::<Vec<_>>(), [0, 0, 0, 1, 2, 1]);
        assert_eq!((regions.count(), regions.vertices(&[1, 2].into())), (3, vec![3, 4, 5]));
    }

    proptest! {
        #[test]
        fn regions_are_what_a_walk_reaches(edges in proptest::collection::vec((0usize..12, 0usize..12), 0..14)) {
            let regions = graph(12, &edges).regions();
            for start in 0..12 {
                let mut reached: BTreeSet<usize> = [start].into();
                for _ in 0..12 {
                    for (a, b) in &edges {
                        if reached.contains(a) || reached.contains(b) {
                            reached.extend([*a, *b]);
                        }
                    }
                }
                for vertex in 0..12 {
                    prop_assert_eq!(reached.contains(&vertex), regions.of(vertex) == regions.of(start));
                }
            }
        }
    }
}
