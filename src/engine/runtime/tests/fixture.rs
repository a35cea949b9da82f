//! A small graph language, gates that are scripted, partitions that remember.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::{Blueprint, Connect, Flushing, Gate, Mail, Mailer, Partition, Report, Step, Subtask};
use crate::engine::checkpoint::LocalStorage;
use crate::engine::operators::{
    AsyncPort, Operator, OperatorContext, Output, ProgramCode, ProgramGraph, ProgramOperator, Waker,
};
use crate::engine::record::{Barrier, Batch, BatchType, Element, Rows, RowsType};
use crate::engine::state::StateBackend;
use crate::graph::job_graph::{JobGraph, Settings};
use crate::graph::plan::{
    Chaining, ExecutionMode, NodeIndex, NodeKind, OperatorCode, PLAN_VERSION, Partitioner, Plan, PlanEdge, PlanNode,
    operator_id,
};
use crate::graph::task::{Failure, InputDeployment, OutputDeployment, TaskDeployment};
use crate::ids::{ExecutionAttemptId, JobId, TaskManagerId, WorkerId};
use crate::time::{EventTime, Now};

pub(crate) type Log = Arc<Mutex<Vec<String>>>;

/// Graphs under test: every edge carries `Rows<u64>`.
pub(crate) struct Graph {
    pub(crate) plan: Plan,
    pub(crate) program: ProgramGraph,
    pub(crate) log: Log,
    pub(crate) async_port: AsyncPort,
}

impl Graph {
    pub(crate) fn new() -> Self {
        let plan = Plan {
            version: PLAN_VERSION,
            name: "test".to_owned(),
            execution_mode: ExecutionMode::Streaming,
            parallelism: None,
            configuration: BTreeMap::new(),
            nodes: Vec::new(),
            edges: Vec::new(),
            once: BTreeMap::new(),
            accumulators: Default::default(),
        };
        Self { plan, program: ProgramGraph::default(), log: Log::default(), async_port: AsyncPort::at_once() }
    }

    pub(crate) fn node(&mut self, name: &str, kind: NodeKind, code: ProgramCode) -> NodeIndex {
        let index = u32::try_from(self.plan.nodes.len()).unwrap();
        self.plan.nodes.push(PlanNode {
            operator_id: operator_id(None, index, name),
            uid: None,
            name: name.to_owned(),
            kind,
            code: OperatorCode::Program,
            parallelism: None,
            max_parallelism: None,
            chaining: Chaining::Always,
            slot_sharing_group: "default".to_owned(),
            output_type: "u64".to_owned(),
            delivery: crate::graph::delivery::DeliveryGuarantee::default(),
            description: String::new(),
        });
        let numbers = || Arc::new(RowsType::<u64>::new()) as Arc<dyn BatchType>;
        let side_outputs = [("odd".to_owned(), numbers())].into();
        self.program.operators.push(ProgramOperator { code, output: Some(numbers()), side_outputs });
        NodeIndex(index)
    }

    /// A [`Probe`] with the given behaviour.
    pub(crate) fn probe(&mut self, name: &'static str, behaviour: Behaviour) -> NodeIndex {
        let log = Arc::clone(&self.log);
        let make = move || {
            let log = Arc::clone(&log);
            Box::new(Probe { name, behaviour, log, held: Vec::new(), due: None }) as Box<dyn Operator>
        };
        self.node(name, NodeKind::Operator, ProgramCode::Operator(Arc::new(make)))
    }

    pub(crate) fn edge(&mut self, source: NodeIndex, target: NodeIndex, partitioner: Partitioner) -> &mut PlanEdge {
        self.plan.edges.push(PlanEdge { source, target, input: 0, partitioner, side_output: None });
        self.plan.edges.last_mut().unwrap()
    }

    /// Every subtask of the chained graph, as the JobManager would deploy it.
    pub(crate) fn deployments(&self, parallelism: u32) -> Vec<TaskDeployment> {
        let graph = JobGraph::new(&self.plan, Settings { default_parallelism: parallelism, chaining: true }).unwrap();
        let attempt =
            |vertex: usize, subtask| ExecutionAttemptId { vertex: graph.vertices[vertex].id, subtask, attempt: 0 };
        let worker = WorkerId { task_manager: TaskManagerId("tm".to_owned()), job: JobId(1), incarnation: 1 };
        let place = |_, _| (worker.clone(), String::new());
        graph.subtasks().map(|at| graph.deployment(JobId(1), at, attempt, place)).collect()
    }

    pub(crate) fn blueprint(&self) -> Blueprint {
        Blueprint {
            plan: Arc::new(self.plan.clone()),
            program: self.program.clone(),
            temporary_dir: PathBuf::new(),
            state_backend: StateBackend::default(),
            flushing: Flushing { interval: Some(Duration::from_millis(5)), when_idle: true },
            storage: Arc::new(LocalStorage),
            auto_watermark_interval: Duration::from_millis(200),
            async_port: self.async_port.clone(),
        }
    }

    /// Subtask 0 of the vertex whose head is `head`, to be stepped by hand.
    pub(super) fn stepped(&self, head: NodeIndex) -> Stepped {
        let task = self.deployments(1).into_iter().find(|task| task.operators[0] == head).unwrap();
        let script = Arc::new(Script::default());
        let (subtask, mailer) = self.blueprint().assemble(&task, &Ends(Arc::clone(&script))).unwrap();
        let log = Arc::clone(&self.log);
        Stepped { subtask, mailer, script, reports: Vec::new(), log }
    }
}

/// What a [`Probe`] does besides writing down what happens to it and handing everything on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Behaviour {
    Pass,
    /// Odd numbers go to the side output `odd`.
    OddAside,
    /// Numbers are held until a watermark or the end.
    Hold,
    /// Numbers are held for 100 ms of processing time.
    Delay,
    /// Panics at the numbers 11 and 13, fails at 14.
    Superstitious,
    /// Ends with what it has seen as prepared output.
    Prepare,
}

/// An operator that writes down what happens to it.
pub(crate) struct Probe {
    name: &'static str,
    behaviour: Behaviour,
    log: Log,
    held: Vec<u64>,
    due: Option<Now>,
}

impl Probe {
    fn note(&self, what: impl std::fmt::Display) {
        self.log.lock().unwrap().push(format!("{} {what}", self.name));
    }

    fn release(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        self.due = None;
        match std::mem::take(&mut self.held) {
            held if held.is_empty() => Ok(()),
            held => out.emit(Box::new(Rows::new(held))),
        }
    }
}

impl Operator for Probe {
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        assert_eq!(context.name, self.name);
        self.note("opened");
        Ok(())
    }

    fn process(&mut self, input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let numbers = Rows::<u64>::of(batch).0;
        self.note(format!("{input}:{numbers:?}"));
        match self.behaviour {
            Behaviour::Pass => out.emit(Box::new(Rows::new(numbers))),
            Behaviour::OddAside => {
                let (odd, even): (Vec<u64>, Vec<u64>) = numbers.iter().partition(|number| *number % 2 == 1);
                out.emit_side("odd", Box::new(Rows::new(odd)))?;
                out.emit_side("nobody listens", Box::new(Rows::new(vec![0u64])))?;
                out.emit(Box::new(Rows::new(even)))
            }
            Behaviour::Superstitious => {
                assert!(!numbers.contains(&13), "thirteen");
                assert!(!numbers.contains(&11), "eleven");
                match numbers.contains(&14) {
                    true => Err(Failure::permanent("fourteen")),
                    false => out.emit(Box::new(Rows::new(numbers))),
                }
            }
            Behaviour::Delay => {
                self.due.get_or_insert(out.now() + Duration::from_millis(100));
                self.held.extend(numbers);
                Ok(())
            }
            Behaviour::Hold | Behaviour::Prepare => {
                self.held.extend(numbers);
                Ok(())
            }
        }
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Output) -> Result<(), Failure> {
        self.note(format!("watermark {}", readable(watermark)));
        if self.behaviour == Behaviour::Hold { self.release(out) } else { Ok(()) }
    }

    fn next_timer(&self) -> Option<Now> {
        self.due
    }

    fn on_processing_time(&mut self, now: Now, out: &mut dyn Output) -> Result<(), Failure> {
        self.note(format!("fires at {}", now.as_millis()));
        self.release(out)
    }

    fn end_input(&mut self, input: u32, _out: &mut dyn Output) -> Result<(), Failure> {
        self.note(format!("input {input} ended"));
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        self.note("finished");
        if self.behaviour == Behaviour::Prepare {
            return Ok(self.held.drain(..).map(|number| serde_json::json!(number)).collect());
        }
        self.release(out)?;
        Ok(Vec::new())
    }
}

pub(crate) fn readable(watermark: EventTime) -> String {
    if watermark == EventTime::MAX { "end".to_owned() } else { watermark.to_string() }
}

/// A subtask with everything around it.
pub(super) struct Stepped {
    pub(crate) subtask: Subtask,
    mailer: Mailer,
    script: Arc<Script>,
    reports: Vec<Report>,
    log: Log,
}

impl Stepped {
    pub(crate) fn step(&mut self, now: u64) -> Step {
        self.subtask.step(Now(now), 4, &mut self.reports)
    }

    /// Steps until there is nothing to do.
    pub(crate) fn settle(&mut self, now: u64) -> Step {
        loop {
            match self.step(now) {
                Step::Progress => {}
                step => return step,
            }
        }
    }

    pub(crate) fn mail(&self, mail: Mail) {
        self.mailer.deliver(mail);
    }

    pub(crate) fn reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    /// Puts something into a channel of an edge.
    pub(crate) fn incoming(&self, edge: u32, channel: usize, element: Element) {
        self.script.incoming.lock().unwrap().entry(edge).or_default().push_back((channel, element));
    }

    pub(crate) fn numbers(&self, edge: u32, numbers: &[u64]) {
        self.incoming(edge, 0, Element::Batch(Box::new(Rows::new(numbers.to_vec()))));
    }

    /// What has left on an edge.
    pub(crate) fn sent(&self, edge: u32) -> Vec<String> {
        self.script.sent.lock().unwrap().remove(&edge).unwrap_or_default()
    }

    pub(crate) fn block(&self, blocked: bool) {
        *self.script.blocked.lock().unwrap() = blocked;
    }
}

/// Gates that say what they are told to, with two channels each; partitions that write down what they get.
#[derive(Default)]
struct Script {
    incoming: Mutex<BTreeMap<u32, VecDeque<(usize, Element)>>>,
    sent: Mutex<BTreeMap<u32, Vec<String>>>,
    /// Channels by edge that are blocked.
    held: Mutex<BTreeSet<(u32, usize)>>,
    blocked: Mutex<bool>,
}

struct Scripted {
    edge: u32,
    script: Arc<Script>,
}

/// Shares a script with its ends.
struct Ends(Arc<Script>);

impl Connect for Ends {
    fn gate(
        &self,
        _task: &TaskDeployment,
        input: &InputDeployment,
        _batch_type: Arc<dyn BatchType>,
        _waker: Waker,
    ) -> Result<Box<dyn Gate>, Failure> {
        Ok(Box::new(Scripted { edge: input.edge.0, script: Arc::clone(&self.0) }))
    }

    fn partition(
        &self,
        _task: &TaskDeployment,
        output: &OutputDeployment,
        _waker: Waker,
    ) -> Result<Box<dyn Partition>, Failure> {
        Ok(Box::new(Scripted { edge: output.edge.0, script: Arc::clone(&self.0) }))
    }

    fn release(&self, _attempt: ExecutionAttemptId) {}
}

impl Gate for Scripted {
    fn channels(&self) -> usize {
        2
    }

    fn poll(&mut self) -> Result<Option<(usize, Element)>, Failure> {
        let held = self.script.held.lock().unwrap();
        let mut incoming = self.script.incoming.lock().unwrap();
        let queue = incoming.entry(self.edge).or_default();
        let next = queue.iter().position(|(channel, _)| !held.contains(&(self.edge, *channel)));
        Ok(next.and_then(|at| queue.remove(at)))
    }

    fn block(&mut self, channel: usize) {
        self.script.held.lock().unwrap().insert((self.edge, channel));
    }

    fn unblock(&mut self) {
        self.script.held.lock().unwrap().retain(|held| held.0 != self.edge);
    }

    fn bytes_in(&self) -> u64 {
        7
    }
}

impl Scripted {
    fn note(&self, what: String) -> Result<(), Failure> {
        self.script.sent.lock().unwrap().entry(self.edge).or_default().push(what);
        Ok(())
    }
}

impl Partition for Scripted {
    fn has_room(&self) -> Result<bool, Failure> {
        Ok(!*self.script.blocked.lock().unwrap())
    }

    fn bytes_out(&self) -> u64 {
        24
    }

    fn emit(&mut self, batch: Box<dyn Batch>) -> Result<(), Failure> {
        self.note(format!("{:?}", Rows::<u64>::of(batch).0))
    }

    fn watermark(&mut self, watermark: EventTime) -> Result<(), Failure> {
        self.note(format!("watermark {}", readable(watermark)))
    }

    fn idle(&mut self) -> Result<(), Failure> {
        self.note("idle".to_owned())
    }

    fn barrier(&mut self, barrier: &Arc<Barrier>) -> Result<(), Failure> {
        self.note(format!("barrier {}", barrier.checkpoint))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.note("flush".to_owned())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        self.note("end".to_owned())
    }
}
