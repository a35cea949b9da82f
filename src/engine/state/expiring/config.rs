//! How long state is kept that nobody touches, in a user's words.

use std::time::Duration;

/// How long a keyed state is kept that nobody touches. Flink's class of that name; the time is processing time.
///
/// Values, accumulators, the elements of lists and the entries of maps live on their own: each goes when its own time is over. A
/// time to live may be given to a state that had none, and taken from one that has it: what a savepoint holds of it begins to live
/// when it is restored.
///
/// Expired state gives its memory back in passing: with each record some entries of the state are looked at, wherever they are.
/// It never stands in a checkpoint. States without a time to live cost nothing of this.
///
/// ```
/// use std::time::Duration;
///
/// use flott::prelude::*;
/// use flott::testing::KeyedOneInputHarness;
///
/// /// Lets the first of equal words through, unless the last one is an hour ago.
/// #[derive(Clone, Default)]
/// struct First {
///     seen: ValueState<()>,
/// }
///
/// impl KeyedProcessFunction<Str, Str, Str> for First {
///     fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, Str>) -> Result<(), Failure> {
///         let hour = StateTtlConfig::new(Duration::from_secs(3600)).update_type(UpdateType::OnReadAndWrite);
///         self.seen = ctx.time_to_live(hour).value_state("seen");
///         Ok(())
///     }
///
///     fn process_element(&mut self, word: Str, ctx: &mut KeyedContext<'_, Str>, out: &mut Collector<'_, Str>) {
///         if self.seen.value(ctx).is_none() {
///             self.seen.update(ctx, ());
///             out.collect(word);
///         }
///     }
/// }
///
/// let mut harness = KeyedOneInputHarness::new(|word: &Str| word.clone(), First::default());
/// harness.open()?;
/// harness.process_elements(["to", "be", "to"].map(Str::from))?;
/// harness.set_processing_time(Now(3_600_000))?;
/// harness.process_elements(["be"].map(Str::from))?;
/// assert_eq!(harness.extract_output(), ["to", "be", "be"]);
/// # Ok::<(), flott::prelude::Failure>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateTtlConfig {
    pub(super) ttl: Duration,
    pub(super) update_type: UpdateType,
    pub(super) visibility: StateVisibility,
    pub(super) cleanup: usize,
}

/// What begins a state's time to live anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpdateType {
    /// Writing it.
    #[default]
    OnCreateAndWrite,
    /// Reading it, too. Of a map, reading an entry concerns that entry; walking through it concerns all.
    OnReadAndWrite,
}

/// Whether a state can be read whose time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateVisibility {
    /// Never, wherever it still is.
    #[default]
    NeverReturnExpired,
    /// As long as it has not been cleaned up.
    ReturnExpiredIfNotCleanedUp,
}

/// Entries looked at with each record, as in Flink.
const CLEANUP: usize = 5;

impl StateTtlConfig {
    /// State is kept as long as this after it was created or written, is not seen any more then, and is cleaned up in passing.
    pub fn new(ttl: Duration) -> Self {
        let (update_type, visibility) = (UpdateType::default(), StateVisibility::default());
        Self { ttl, update_type, visibility, cleanup: CLEANUP }
    }

    /// What begins its time anew.
    #[must_use]
    pub fn update_type(mut self, update_type: UpdateType) -> Self {
        self.update_type = update_type;
        self
    }

    /// Whether it is seen when its time is over.
    #[must_use]
    pub fn state_visibility(mut self, visibility: StateVisibility) -> Self {
        self.visibility = visibility;
        self
    }

    /// How many entries are looked at with each record of the subtask, whichever they are: 5 unless said.
    #[must_use]
    pub fn cleanup_incrementally(mut self, entries: usize) -> Self {
        self.cleanup = entries;
        self
    }

    /// Leaves state in memory whose time is over, until its key is written to or the job is restored.
    #[must_use]
    pub fn disable_cleanup_in_background(mut self) -> Self {
        self.cleanup = 0;
        self
    }

    /// Says why this is no configuration, if it is none.
    pub(in super::super) fn check(&self, name: &str) -> Result<(), String> {
        if self.ttl.as_millis() > 0 {
            return Ok(());
        }
        Err(format!("state \"{name}\" has a time to live of {:?}; give it a millisecond at least", self.ttl))
    }
}
