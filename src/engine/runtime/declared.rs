//! The states that a program's operators have, without running them.

use super::build::Blueprint;
use super::panics;
use crate::engine::operators::{ProgramCode, Snapshot, Waker};
use crate::engine::state::FrozenState;
use crate::graph::job_graph::Vertex;
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Failure, TaskDeployment};
use crate::ids::{ExecutionAttemptId, JobId};

impl Blueprint {
    /// The states that an operator obtains when it is opened, with nothing in them; none of a source or sink, which are not opened:
    /// they would connect to the outside.
    ///
    /// # Errors
    /// What the operator's `open` fails with, and panics of it.
    pub(crate) fn declared_states(
        &self,
        vertex: &Vertex,
        node: NodeIndex,
    ) -> Result<Option<Vec<FrozenState>>, Failure> {
        let ProgramCode::Operator(make) = &self.code(node)?.code else { return Ok(None) };
        let task = TaskDeployment {
            job: JobId(0),
            attempt: ExecutionAttemptId { vertex: vertex.id, subtask: 0, attempt: 0 },
            name: vertex.name.clone(),
            operators: vertex.operators.clone(),
            parallelism: vertex.parallelism,
            max_parallelism: vertex.max_parallelism,
            inputs: Vec::new(),
            outputs: Vec::new(),
            restored_from: None,
            restore: Vec::new(),
        };
        let context = self.operator_context(&task, node)?;
        let declare = || {
            let mut operator = make();
            operator.connect(&self.async_port, &Waker::new(|| {}));
            operator.open(&context)?;
            let mut snapshot = Snapshot::default();
            operator.snapshot(&mut snapshot)?;
            Ok(Some(snapshot.into_states()))
        };
        panics::catch(declare).map_err(Failure::user)?
    }
}
