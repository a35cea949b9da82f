//! The graph while the program builds it, shared by the environment and its streams.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::operators::{ProgramCode, ProgramGraph, ProgramOperator};
use crate::engine::record::BatchType;
use crate::graph::accumulator::{AccumulatorResult, Accumulators};
use crate::graph::delivery::DeliveryGuarantee;
use crate::graph::plan::{
    Chaining, ExecutionMode, InvalidPlan, NodeIndex, NodeKind, OperatorCode, PLAN_VERSION, Partitioner, Plan, PlanEdge,
    PlanNode, operator_id,
};
use crate::launch::{Error, Job, Once};

/// A graph under construction, shared.
#[derive(Clone, Default)]
pub(super) struct SharedGraph(Arc<Mutex<GraphBuilder>>);

impl SharedGraph {
    /// The builder, for a few lines.
    pub(super) fn lock(&self) -> MutexGuard<'_, GraphBuilder> {
        // Building is a sequence of pushes; a panic elsewhere in the program leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the program has built so far.
#[derive(Default)]
pub(super) struct GraphBuilder {
    pub(super) execution_mode: ExecutionMode,
    pub(super) parallelism: Option<u32>,
    pub(super) max_parallelism: Option<u32>,
    pub(super) configuration: BTreeMap<String, String>,
    nodes: Vec<Node>,
    edges: Vec<PlanEdge>,
    once: Option<Once>,
    accumulators: Accumulators,
    /// What the program did that cannot be; reported by `execute`.
    mistakes: Vec<String>,
}

/// One operator.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) kind: NodeKind,
    pub(super) code: ProgramCode,
    pub(super) output: Option<Arc<dyn BatchType>>,
    /// Those that something reads, by tag.
    pub(super) side_outputs: BTreeMap<String, Arc<dyn BatchType>>,
    pub(super) description: String,
    /// Of a source or sink.
    pub(super) delivery: DeliveryGuarantee,
    pub(super) uid: Option<String>,
    pub(super) parallelism: Option<u32>,
    pub(super) max_parallelism: Option<u32>,
    pub(super) chaining: Chaining,
    /// Absent: that of its inputs where they agree, else `default`.
    pub(super) slot_sharing_group: Option<String>,
    /// Whose parallelism it takes over, so that both share a thread.
    pub(super) follows: Option<NodeIndex>,
}

impl Node {
    pub(super) fn new(name: impl Into<String>, kind: NodeKind, code: ProgramCode) -> Self {
        Self {
            name: name.into(),
            kind,
            code,
            output: None,
            side_outputs: BTreeMap::new(),
            description: String::new(),
            delivery: DeliveryGuarantee::default(),
            uid: None,
            parallelism: None,
            max_parallelism: None,
            chaining: Chaining::Always,
            slot_sharing_group: None,
            follows: None,
        }
    }
}

/// What feeds an operator: another one, and how its records choose among subtasks.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    pub(super) node: NodeIndex,
    pub(super) partitioner: Partitioner,
    /// The tag, where a side output feeds it.
    pub(super) side_output: Option<String>,
}

impl Upstream {
    /// An operator's main output.
    pub(super) fn new(node: NodeIndex, partitioner: Partitioner) -> Self {
        Self { node, partitioner, side_output: None }
    }
}

impl GraphBuilder {
    /// Adds an operator behind `upstreams`, one input each, in order.
    pub(super) fn add(&mut self, node: Node, upstreams: &[Upstream]) -> NodeIndex {
        let inputs: Vec<&[Upstream]> = upstreams.chunks(1).collect();
        self.add_with_inputs(node, &inputs)
    }

    /// Adds an operator whose inputs have several upstreams each.
    pub(super) fn add_with_inputs(&mut self, node: Node, inputs: &[&[Upstream]]) -> NodeIndex {
        let index = NodeIndex(u32::try_from(self.nodes.len()).expect("a program has fewer than 2^32 operators"));
        self.nodes.push(node);
        let upstreams =
            inputs.iter().zip(0..).flat_map(|(upstreams, input)| upstreams.iter().map(move |up| (up, input)));
        self.edges.extend(upstreams.map(|(upstream, input)| PlanEdge {
            source: upstream.node,
            target: index,
            input,
            partitioner: upstream.partitioner,
            side_output: upstream.side_output.clone(),
        }));
        index
    }

    /// What reads an operator's side output `tag`, whose records are of this type.
    pub(super) fn read_side_output(&mut self, node: NodeIndex, tag: &str, batch_type: Arc<dyn BatchType>) -> Upstream {
        let operator = self.node_mut(node);
        let known = operator.side_outputs.entry(tag.to_owned()).or_insert_with(|| Arc::clone(&batch_type));
        if known.name() != batch_type.name() {
            let mistake = format!(
                "side output \"{tag}\" of operator \"{}\" is read as {} and as {}; use one tag for both",
                operator.name,
                known.name(),
                batch_type.name()
            );
            self.mistake(mistake);
        }
        Upstream { node, partitioner: Partitioner::Forward, side_output: Some(tag.to_owned()) }
    }

    /// Notes an accumulator of the program, and what it is before anything is added.
    pub(super) fn declare(&mut self, accumulator: &str, nothing: AccumulatorResult) {
        let known = self.accumulators.entry(accumulator.to_owned()).or_insert_with(|| nothing.clone());
        if known.kind != nothing.kind {
            let mistake = format!(
                "accumulator \"{accumulator}\" is a {} and a {}: choose another name for one",
                known.kind, nothing.kind
            );
            self.mistake(mistake);
        }
    }

    /// The operator at `index`.
    pub(super) fn node_mut(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.nodes[index.0 as usize]
    }

    /// Notes what the program did wrong, for `execute` to report.
    pub(super) fn mistake(&mut self, cause: impl Into<String>) {
        self.mistakes.push(cause.into());
    }

    /// Takes the values that the program evaluates once, to be put back by [`GraphBuilder::put_once`].
    pub(super) fn take_once(&mut self) -> Result<Once, Error> {
        self.once.take().map_or_else(Once::from_environment, Ok)
    }

    /// Puts them back.
    pub(super) fn put_once(&mut self, once: Once) {
        self.once = Some(once);
    }

    /// What the program built, as data and code.
    pub(super) fn build(&self, name: &str) -> Result<Job, Error> {
        if let Some(cause) = self.mistakes.first() {
            return Err(InvalidPlan::Program { cause: cause.clone() }.into());
        }
        let plan = Plan {
            version: PLAN_VERSION,
            name: name.to_owned(),
            execution_mode: self.execution_mode,
            parallelism: self.parallelism,
            configuration: self.configuration.clone(),
            nodes: self.plan_nodes(),
            edges: self.edges.clone(),
            once: self.once.as_ref().map(|once| once.values().clone()).unwrap_or_default(),
            accumulators: self.accumulators.clone(),
        };
        let operators = self.nodes.iter().map(|node| ProgramOperator {
            code: node.code.clone(),
            output: node.output.clone(),
            side_outputs: node.side_outputs.clone(),
        });
        Ok(Job { plan, program: ProgramGraph { operators: operators.collect() } })
    }

    fn plan_nodes(&self) -> Vec<PlanNode> {
        let mut planned: Vec<PlanNode> = Vec::with_capacity(self.nodes.len());
        for (node, index) in self.nodes.iter().zip(0u32..) {
            let followed = node.follows.map(|followed| &planned[followed.0 as usize]);
            let parallelism = node.parallelism.or(followed.and_then(|followed| followed.parallelism));
            let max_parallelism = node
                .max_parallelism
                .or(followed.and_then(|followed| followed.max_parallelism))
                .or(self.max_parallelism);
            let group = node.slot_sharing_group.clone().unwrap_or_else(|| self.inherited_group(index, &planned));
            planned.push(PlanNode {
                operator_id: operator_id(node.uid.as_deref(), index, &node.name),
                uid: node.uid.clone(),
                name: node.name.clone(),
                kind: node.kind,
                code: OperatorCode::Program,
                parallelism,
                max_parallelism,
                chaining: node.chaining,
                slot_sharing_group: group,
                output_type: node.output.as_ref().map_or_else(String::new, |output| output.name().to_owned()),
                delivery: node.delivery,
                description: node.description.clone(),
            });
        }
        planned
    }

    fn inherited_group(&self, index: u32, planned: &[PlanNode]) -> String {
        let feeders = self.edges.iter().filter(|edge| edge.target.0 == index).map(|edge| edge.source.0 as usize);
        let mut groups = feeders.map(|feeder| planned[feeder].slot_sharing_group.as_str());
        match groups.next() {
            Some(first) if groups.all(|group| group == first) => first.to_owned(),
            Some(_) | None => "default".to_owned(),
        }
    }
}
