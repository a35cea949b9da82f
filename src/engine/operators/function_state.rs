//! What functions, and writers of sinks, keep that belongs to no key: lists of elements, handed out anew at every restore.
//!
//! ```text
//! snapshot_state:   function ─elements─► FunctionSnapshotContext ─► the subtask's file
//! initialize_state: files ─► FunctionInitializationContext ─elements of this subtask─► function
//! ```

use super::{Restore, Snapshot};
use crate::engine::record::Record;
use crate::engine::state::{Redistribution, union_state_name};
use crate::graph::task::Failure;

/// Where a function's state lies that belongs to no key: its own may have the same names as states by key.
fn list_state_name(name: &str) -> String {
    format!("_list/{name}")
}

/// What a function puts its elements into when a checkpoint is taken. Flink's interface of that name, with the states it leads to.
///
/// ```
/// use flott::prelude::*;
///
/// /// Hands records on by the hundred.
/// #[derive(Clone, Default)]
/// struct Hundreds {
///     waiting: Vec<u64>,
/// }
///
/// impl ProcessFunction<u64, Vec<u64>> for Hundreds {
///     fn initialize_state(&mut self, ctx: &mut FunctionInitializationContext<'_>) -> Result<(), Failure> {
///         // At another parallelism, the elements of all subtasks are divided among those there are now.
///         self.waiting = ctx.list_state("waiting")?;
///         Ok(())
///     }
///
///     fn process_element(&mut self, record: u64, _: &mut ProcessContext<'_>, out: &mut Collector<'_, Vec<u64>>) {
///         self.waiting.push(record);
///         if self.waiting.len() >= 100 {
///             out.collect(std::mem::take(&mut self.waiting));
///         }
///     }
///
///     fn snapshot_state(&mut self, ctx: &mut FunctionSnapshotContext<'_>) -> Result<(), Failure> {
///         ctx.list_state("waiting", self.waiting.iter().copied())
///     }
/// }
///
/// let env = StreamExecutionEnvironment::new();
/// let hundreds = env.from_sequence(1, 250).process(Hundreds::default()).execute_and_collect("hundreds")?;
/// assert!(hundreds.iter().all(|hundred: &Vec<u64>| hundred.len() == 100));
/// # Ok::<(), flott::Error>(())
/// ```
pub struct FunctionSnapshotContext<'a> {
    into: &'a mut Snapshot,
    names: Vec<String>,
}

impl<'a> FunctionSnapshotContext<'a> {
    pub(super) fn new(into: &'a mut Snapshot) -> Self {
        Self { into, names: Vec::new() }
    }

    /// Puts the elements of a list down, which [`FunctionInitializationContext::list_state`] gives back.
    ///
    /// They are written by another thread, so this takes no longer than it takes to copy them.
    ///
    /// # Errors
    /// A list of this name was put down already.
    pub fn list_state<T: Record>(&mut self, name: &str, elements: impl IntoIterator<Item = T>) -> Result<(), Failure> {
        let stored = self.new_name(name, list_state_name(name))?;
        self.into.unkeyed(&stored, elements.into_iter().collect());
        Ok(())
    }

    /// Puts the elements of a list down, which [`FunctionInitializationContext::union_list_state`] gives back.
    ///
    /// # Errors
    /// As [`FunctionSnapshotContext::list_state`].
    pub fn union_list_state<T: Record>(
        &mut self,
        name: &str,
        elements: impl IntoIterator<Item = T>,
    ) -> Result<(), Failure> {
        let stored = self.new_name(name, union_state_name(name))?;
        self.into.unkeyed(&stored, elements.into_iter().collect());
        Ok(())
    }

    fn new_name(&mut self, name: &str, stored: String) -> Result<String, Failure> {
        if self.names.iter().any(|known| known == name) {
            let message =
                format!("list state \"{name}\" is put down twice in one snapshot; give the lists names of their own");
            return Err(Failure::permanent(message));
        }
        self.names.push(name.to_owned());
        Ok(stored)
    }
}

/// What a function takes its elements from when it begins, behind `open`. Flink's interface of that name, with the states it leads to.
/// See [`FunctionSnapshotContext`] for a whole function.
pub struct FunctionInitializationContext<'a> {
    from: &'a mut dyn Restore,
}

impl<'a> FunctionInitializationContext<'a> {
    pub(super) fn new(from: &'a mut dyn Restore) -> Self {
        Self { from }
    }

    /// Whether the job goes on from a checkpoint or savepoint.
    pub fn is_restored(&self) -> bool {
        self.from.is_restored()
    }

    /// This subtask's part of the list: at the same parallelism what it put down itself, otherwise an even part of all that was put
    /// down, in order; each element goes to one subtask. Empty where nothing was. Flink's `getListState`.
    ///
    /// # Errors
    /// Elements that cannot be read as `T`, and files that cannot be read at all: to be returned.
    pub fn list_state<T: Record>(&mut self, name: &str) -> Result<Vec<T>, Failure> {
        self.elements(&list_state_name(name), Redistribution::Split)
    }

    /// The whole list that all subtasks put down, for each of them. Flink's `getUnionListState`.
    ///
    /// # Errors
    /// As [`FunctionInitializationContext::list_state`].
    pub fn union_list_state<T: Record>(&mut self, name: &str) -> Result<Vec<T>, Failure> {
        self.elements(&union_state_name(name), Redistribution::Union)
    }

    fn elements<T: Record>(&mut self, stored: &str, redistribution: Redistribution) -> Result<Vec<T>, Failure> {
        let mut elements = Vec::new();
        self.from.visit_list(stored, redistribution, &mut |section, wanted| {
            let mut at = 0;
            section.each(|element: T| {
                if wanted.contains(&at) {
                    elements.push(element);
                }
                at += 1;
            })
        })?;
        Ok(elements)
    }
}
