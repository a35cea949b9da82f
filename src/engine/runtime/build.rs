//! From a deployment to a subtask: operators by position in the plan, connected as the plan says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::chain::{Chain, ChainOperator, Finishing, Routes, StepContext, Target};
use super::counters::Counters;
use super::hot_keys::HotKeys;
use super::inputs::Inputs;
use super::mailbox::{Mailbox, Mailer};
use super::panics;
use super::ports::{Connect, Gate, Partition};
use super::running::{Draining, Head, Restoration, Running};
use super::source::SourceHead;
use super::subtask::{Flushing, Subtask};
use crate::engine::checkpoint::{CheckpointStorage, Taker};
use crate::engine::operators::{AsyncPort, OperatorContext, ProgramCode, ProgramGraph, ProgramOperator, Waker};
use crate::engine::record::{BatchType, key_groups_of};
use crate::engine::state::StateBackend;
use crate::graph::plan::{EdgeId, NodeIndex, Plan, PlanEdge};
use crate::graph::task::{Failure, TaskDeployment};
use crate::time::Now;

/// What all subtasks of a process are made from.
#[derive(Clone)]
pub struct Blueprint {
    /// The graph.
    pub plan: Arc<Plan>,
    /// The code behind it.
    pub program: ProgramGraph,
    /// For temporary files.
    pub temporary_dir: PathBuf,
    /// When output is handed on.
    pub flushing: Flushing,
    /// Where keyed state lives.
    pub state_backend: StateBackend,
    /// Where checkpoints lie.
    pub storage: Arc<dyn CheckpointStorage>,
    /// How often event time is told.
    pub auto_watermark_interval: Duration,
    /// Where operators' futures run.
    pub(crate) async_port: AsyncPort,
}

/// A subtask's connections, made before any subtask of a deployment runs.
pub(super) struct Connections {
    gates: Vec<(u32, Box<dyn Gate>)>,
    partitions: Vec<Box<dyn Partition>>,
}

impl Blueprint {
    /// A subtask without a thread, and what to tell it with. Whoever has it gives it the time and steps it.
    ///
    /// # Errors
    /// What makes a subtask fail before its first step.
    pub fn assemble(&self, task: &TaskDeployment, connect: &dyn Connect) -> Result<(Subtask, Mailer), Failure> {
        let mailbox = Arc::default();
        let connections = self.connect(task, connect, &mailbox)?;
        let subtask = self.subtask(task, connections, Arc::clone(&mailbox), Arc::default())?;
        Ok((subtask, Mailer(mailbox)))
    }

    /// Connects a subtask to its neighbours.
    pub(super) fn connect(
        &self,
        task: &TaskDeployment,
        connect: &dyn Connect,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Connections, Failure> {
        let waker = || {
            let mailbox = Arc::clone(mailbox);
            Waker::new(move || mailbox.wake())
        };
        let gates = task.inputs.iter().map(|input| {
            let edge = self.edge(input.edge)?;
            Ok((edge.input, connect.gate(task, input, self.batch_type(edge)?, waker())?))
        });
        let gates = gates.collect::<Result<_, Failure>>()?;
        let partitions = task.outputs.iter().map(|output| connect.partition(task, output, waker()));
        Ok(Connections { gates, partitions: partitions.collect::<Result<_, Failure>>()? })
    }

    /// Makes the subtask. Runs user code (constructors), so on the subtask's thread.
    pub(super) fn subtask(
        &self,
        task: &TaskDeployment,
        connections: Connections,
        mailbox: Arc<Mailbox>,
        counters: Arc<Counters>,
    ) -> Result<Subtask, Failure> {
        let wake = Arc::clone(&mailbox);
        let waker = Waker::new(move || wake.wake());
        let running = panics::catch(|| self.instantiate(task, connections, waker)).map_err(Failure::user)??;
        Ok(Subtask::of(running, mailbox, counters))
    }

    fn instantiate(&self, task: &TaskDeployment, connections: Connections, waker: Waker) -> Result<Running, Failure> {
        let Connections { gates, partitions } = connections;
        let head_node = *task.operators.first().ok_or_else(|| Failure::permanent("a task without operators"))?;
        let source = match &self.code(head_node)?.code {
            ProgramCode::Source(source) => {
                let context = self.operator_context(task, head_node)?;
                let (name, source, waker) = (context.name.clone(), Arc::clone(source), waker.clone());
                let readers = Box::new(move || source.reader(&context, waker.clone()));
                let head = SourceHead::new(head_node, &name, readers);
                Some(head.map_err(|failure| failure.in_operator(&name))?)
            }
            ProgramCode::Operator(_) | ProgramCode::Sink(_) => None,
        };
        // Positions within the chain count from behind a source.
        let nodes = if source.is_some() { &task.operators[1..] } else { &task.operators[..] };
        let operator = |node: &NodeIndex| {
            let mut operator = self.operator(task, *node, nodes)?;
            operator.code.connect(&self.async_port, &waker);
            Ok(operator)
        };
        let operators = nodes.iter().map(operator).collect::<Result<_, Failure>>()?;
        let source_routes = match source {
            Some(_) => self.routes(task, head_node, nodes)?,
            None => Routes::default(),
        };
        let (context, finishing) = (StepContext::default(), Finishing::default());
        let chain = Chain { operators, partitions, source_routes, context, finishing };
        let head = source.map_or_else(|| Head::Inputs(Inputs::new(gates)), Head::Source);
        let (flushing, last_flush) = (self.flushing, Now(0));
        let restore = Restoration {
            storage: Arc::clone(&self.storage),
            files: task.restore.clone(),
            taker: Taker {
                subtask: task.attempt.subtask,
                parallelism: task.parallelism,
                groups: key_groups_of(task.max_parallelism, task.parallelism, task.attempt.subtask),
                max_parallelism: task.max_parallelism,
            },
            is_restored: task.restored_from.is_some(),
        };
        Ok(Running {
            opened: false,
            head,
            chain,
            settling: false,
            flushing,
            last_flush,
            unflushed: false,
            hot_keys: HotKeys::default(),
            barrier: None,
            draining: Draining::No,
            taken: None,
            restore,
        })
    }

    fn operator(&self, task: &TaskDeployment, node: NodeIndex, nodes: &[NodeIndex]) -> Result<ChainOperator, Failure> {
        let code = match &self.code(node)?.code {
            ProgramCode::Operator(make) => make(),
            ProgramCode::Sink(sink) => Arc::clone(sink).operator(),
            ProgramCode::Source(_) => return Err(Failure::permanent("a source stands behind another operator")),
        };
        let context = self.operator_context(task, node)?;
        let id = self.plan.nodes.get(node.0 as usize).ok_or_else(|| absent(node))?.operator_id;
        Ok(ChainOperator { node, id, code, context, routes: self.routes(task, node, nodes)?, waiting: None })
    }

    /// Where the plan's edges out of `node` lead: to the task's outputs, or within the chain.
    fn routes(&self, task: &TaskDeployment, node: NodeIndex, nodes: &[NodeIndex]) -> Result<Routes, Failure> {
        let mut routes = Routes::default();
        for (edge, id) in self.plan.edges.iter().zip(0..).filter(|(edge, _)| edge.source == node) {
            let partition = task.outputs.iter().position(|output| output.edge == EdgeId(id)).map(Target::Partition);
            let operator = || nodes.iter().position(|other| *other == edge.target).map(Target::Operator);
            let target = partition.or_else(operator).ok_or_else(|| {
                Failure::permanent(format!("edge {id} of the plan leads nowhere in task \"{}\"", task.name))
            })?;
            let Some(tag) = &edge.side_output else {
                routes.main.push(target);
                continue;
            };
            match routes.side.iter_mut().find(|(known, _)| known == tag) {
                Some((_, targets)) => targets.push(target),
                None => routes.side.push((tag.clone(), vec![target])),
            }
        }
        Ok(routes)
    }

    /// The context of one operator of a task.
    pub(super) fn operator_context(&self, task: &TaskDeployment, node: NodeIndex) -> Result<OperatorContext, Failure> {
        let planned = self.plan.nodes.get(node.0 as usize).ok_or_else(|| absent(node))?;
        let read =
            self.plan.edges.iter().filter(|edge| edge.source == node).filter_map(|edge| edge.side_output.as_ref());
        let types = &self.code(node)?.side_outputs;
        let side_outputs = read.filter_map(|tag| Some((tag.clone(), types.get(tag)?.name()))).collect();
        Ok(OperatorContext {
            job: task.job,
            attempt: task.attempt,
            name: planned.name.clone(),
            parallelism: task.parallelism,
            max_parallelism: task.max_parallelism,
            execution_mode: self.plan.resolved_mode(),
            restored_from: task.restored_from,
            auto_watermark_interval: self.auto_watermark_interval,
            temporary_dir: self.temporary_dir.clone(),
            state_backend: self.state_backend.clone(),
            side_outputs,
        })
    }

    pub(super) fn code(&self, node: NodeIndex) -> Result<&ProgramOperator, Failure> {
        self.program.get(node).ok_or_else(|| absent(node))
    }

    fn edge(&self, id: EdgeId) -> Result<&PlanEdge, Failure> {
        self.plan.edges.get(id.0 as usize).ok_or_else(|| Failure::permanent(format!("the plan has no edge {id}")))
    }

    fn batch_type(&self, edge: &PlanEdge) -> Result<Arc<dyn BatchType>, Failure> {
        let emitter = self.code(edge.source)?;
        let batch_type = match &edge.side_output {
            Some(tag) => emitter.side_outputs.get(tag),
            None => emitter.output.as_ref(),
        };
        batch_type.cloned().ok_or_else(|| Failure::permanent(format!("operator {} emits nothing there", edge.source)))
    }
}

fn absent(node: NodeIndex) -> Failure {
    Failure::permanent(format!("the program has no operator {node}"))
}
