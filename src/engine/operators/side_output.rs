//! Further outputs of an operator, each with a tag and a record type of its own.

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use super::flat_map::Collector;
use crate::engine::record::{BATCH_BYTES, Batch, OpenRows, Record, Rows, Str};
use crate::time::EventTime;

/// Names a side output, and says what its records are. Flink's class of that name.
///
/// ```
/// use flott::prelude::*;
///
/// const ODD: OutputTag<u64> = OutputTag::new("odd");
///
/// let env = StreamExecutionEnvironment::new();
/// let even = env.from_sequence(1, 6).process(|n: u64, ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, u64>| {
///     if n % 2 == 0 { out.collect(n) } else { ctx.side_output(&ODD, n) }
/// });
/// even.discard();
/// let mut odd = even.side_output(&ODD).execute_and_collect("odd numbers")?;
/// odd.sort();
/// assert_eq!(odd, [1, 3, 5]);
/// # Ok::<(), flott::Error>(())
/// ```
pub struct OutputTag<T> {
    name: Str,
    record: PhantomData<fn() -> T>,
}

impl<T> OutputTag<T> {
    /// A tag; its name is unique among those of an operator.
    pub const fn new(name: &'static str) -> Self {
        Self { name: Str::const_new(name), record: PhantomData }
    }

    /// A tag whose name is made while the program runs.
    pub fn named(name: impl Into<Str>) -> Self {
        Self { name: name.into(), record: PhantomData }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T> Clone for OutputTag<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), record: PhantomData }
    }
}

impl<T> fmt::Debug for OutputTag<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutputTag({})", self.name)
    }
}

/// What goes to the side outputs of an operator that something reads, until a batch is full or ends. Those that nothing reads
/// are not here, and take nothing.
#[derive(Default)]
pub(super) struct SideOutputs {
    outputs: Vec<SideOutput>,
    /// Whether one holds a full batch.
    full: bool,
    /// Of what is emitted from now on.
    time: Option<EventTime>,
}

struct SideOutput {
    tag: String,
    /// Name of the record type.
    read_as: &'static str,
    /// `Rows` of the tag's type.
    rows: Option<Box<dyn Batch>>,
}

impl SideOutputs {
    /// For an operator whose side outputs `read` are read, as the named types.
    pub(super) fn new(read: &BTreeMap<String, &'static str>) -> Self {
        let output = |(tag, read_as): (&String, &&'static str)| SideOutput { tag: tag.clone(), read_as, rows: None };
        Self { outputs: read.iter().map(output).collect(), full: false, time: None }
    }

    /// What is emitted from now on has this timestamp: that of the record, or of the timer, that it comes from.
    #[inline]
    pub(super) fn at(&mut self, time: Option<EventTime>) {
        self.time = time;
    }

    /// Takes a record.
    ///
    /// # Panics
    /// When the tag's type is another than that of the tag by which the side output is read: the program's mistake, and the
    /// subtask's failure.
    pub(super) fn push<T: Record>(&mut self, tag: &OutputTag<T>, record: T) {
        let Some(output) = self.outputs.iter_mut().find(|output| output.tag == tag.name()) else { return };
        let rows: &mut dyn Any = &mut **output.rows.get_or_insert_with(|| {
            assert!(
                output.read_as == type_name::<T>(),
                "side output \"{}\" is read as {}, and was given {}; use one tag for both",
                output.tag,
                output.read_as,
                type_name::<T>()
            );
            Box::new(Rows::<T>::new(Vec::with_capacity(OpenRows::<T>::FULL)))
        });
        let batch = rows.downcast_mut::<Rows<T>>().expect("a tag has one type");
        batch.1.push(batch.0.len(), self.time);
        batch.0.push(record);
        // Looked at when the number has doubled: of large records there are few then.
        let len = batch.0.len();
        self.full |= len >= OpenRows::<T>::FULL || len.is_power_of_two() && batch.bytes() >= BATCH_BYTES;
    }

    /// Hands on what there is if a batch is full: between two records, so memory is bounded by what one record emits.
    #[inline]
    pub(super) fn hand_on_full<O: Record>(&mut self, out: &mut Collector<'_, O>) {
        if self.full {
            self.hand_on(out);
        }
    }

    /// Hands on what there is.
    pub(super) fn hand_on<O: Record>(&mut self, out: &mut Collector<'_, O>) {
        self.full = false;
        for output in &mut self.outputs {
            if let Some(rows) = output.rows.take() {
                out.emit_side(&output.tag, rows);
            }
        }
    }
}
