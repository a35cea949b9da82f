//! The output of a subtask to one edge.

use std::sync::{Arc, OnceLock};

use super::NetworkError;
use super::outlet::Outlet;
use super::pool::Pool;
use crate::engine::record::{BATCH_BYTES, BATCH_RECORDS, Barrier, Batch, key_group_owners};
use crate::graph::plan::Partitioner;
use crate::time::EventTime;

/// The output of a subtask to one edge. Owned and written by the subtask's thread. Flink's `ResultPartition`.
///
/// Records gather in one open batch per consumer and are handed over when it is full, at [`ResultPartition::flush`], and before
/// a watermark or the end. Emitting never blocks and may overdraw the room there is; who emits asks
/// [`ResultPartition::has_room`] before it takes its next slice of input, and is woken when there is room again.
///
/// Dropping it before [`ResultPartition::end`] leaves its consumers waiting: why a subtask failed is its own to report, and the
/// JobManager's to act on. Dropped after, what is still to be sent stays until it has been.
pub struct ResultPartition {
    outlets: Vec<Arc<Outlet>>,
    choose: Choose,
    /// One per consumer, or the first only when all get the same.
    open: Vec<Option<Box<dyn Batch>>>,
    open_bytes: usize,
    targets: Vec<u32>,
    pool: Arc<Pool>,
    failure: Arc<OnceLock<NetworkError>>,
    records_out: u64,
    bytes_out: u64,
}

/// How each record finds its consumer.
enum Choose {
    /// The only one, or the first.
    First,
    InTurn {
        next: u32,
    },
    AtRandom(fastrand::Rng),
    All,
    /// By hash: the consumer that owns each key group.
    ByHash {
        owners: Vec<u32>,
    },
    /// The batch brings the program's own partitioner along.
    AsTold,
}

impl ResultPartition {
    pub(super) fn new(
        outlets: Vec<Arc<Outlet>>,
        partitioner: Partitioner,
        max_parallelism: u32,
        pool: Arc<Pool>,
        failure: Arc<OnceLock<NetworkError>>,
    ) -> Self {
        let consumers = outlets.len();
        let choose = match partitioner {
            Partitioner::Broadcast => Choose::All,
            // Also of one, so that a choice that cannot be is noticed.
            Partitioner::Custom => Choose::AsTold,
            _ if consumers == 1 => Choose::First,
            Partitioner::Forward | Partitioner::ForwardOnly | Partitioner::Global => Choose::First,
            Partitioner::Rebalance | Partitioner::Rescale => {
                // Not all producers begin with the same consumer.
                let first = outlets.first().map_or(0, |outlet| outlet.key().producer.subtask as usize);
                Choose::InTurn { next: narrow(first % consumers.max(1)) }
            }
            Partitioner::Shuffle => Choose::AtRandom(fastrand::Rng::new()),
            Partitioner::Hash => Choose::ByHash { owners: key_group_owners(max_parallelism, consumers) },
        };
        let open = outlets.iter().map(|_| None).collect();
        let (open_bytes, targets) = (0, Vec::new());
        Self { outlets, choose, open, open_bytes, targets, pool, failure, records_out: 0, bytes_out: 0 }
    }

    /// Sends a non-empty batch on its way.
    ///
    /// # Errors
    /// When its records cannot be written, or a consumer's worker is lost.
    pub fn emit(&mut self, batch: Box<dyn Batch>) -> Result<(), NetworkError> {
        debug_assert!(!batch.is_empty(), "an emitted batch is never empty");
        if let Some(error) = self.failure.get() {
            return Err(error.clone());
        }
        if self.outlets.is_empty() {
            return Ok(());
        }
        self.records_out += batch.len() as u64;
        match &mut self.choose {
            Choose::First | Choose::All => self.gather(0, batch)?,
            // Record by record, as Flink does: where a record takes a second, a batch must not go to one subtask.
            Choose::InTurn { next } => {
                let consumers = narrow(self.outlets.len());
                self.targets.clear();
                self.targets.extend((0..batch.len()).map(|_| {
                    let target = *next;
                    *next = if target + 1 == consumers { 0 } else { target + 1 };
                    target
                }));
                self.scatter(batch)?;
            }
            Choose::AtRandom(random) => {
                let consumers = narrow(self.outlets.len());
                self.targets.clear();
                self.targets.extend((0..batch.len()).map(|_| random.u32(..consumers)));
                self.scatter(batch)?;
            }
            Choose::AsTold => {
                self.targets.clear();
                let told = batch.choose_consumers(narrow(self.outlets.len()), &mut self.targets);
                assert!(told, "a batch on a custom edge has a partitioner");
                self.scatter(batch)?;
            }
            Choose::ByHash { owners } => {
                let hashes = batch.hashes().expect("a batch on a hash edge has a hash column");
                let max_parallelism = owners.len() as u32;
                self.targets.clear();
                self.targets.extend(
                    hashes.iter().map(|hash| owners[crate::engine::record::key_group(*hash, max_parallelism) as usize]),
                );
                self.scatter(batch)?;
            }
        }
        self.stay_within_pool()
    }

    /// No record emitted from here on has an earlier timestamp. Goes to every consumer, behind what was emitted.
    ///
    /// # Errors
    /// As [`ResultPartition::emit`].
    pub fn watermark(&mut self, watermark: EventTime) -> Result<(), NetworkError> {
        self.flush()?;
        self.outlets.iter().for_each(|outlet| outlet.watermark(watermark));
        Ok(())
    }

    /// Nothing is expected for a while: event time need not wait for this subtask until something else comes of it. Goes to every
    /// consumer, behind what was emitted.
    ///
    /// # Errors
    /// As [`ResultPartition::emit`].
    pub fn idle(&mut self) -> Result<(), NetworkError> {
        self.flush()?;
        self.outlets.iter().for_each(|outlet| outlet.idle());
        Ok(())
    }

    /// What was emitted so far belongs to a checkpoint, and nothing behind. Goes to every consumer, behind what was emitted.
    ///
    /// # Errors
    /// As [`ResultPartition::emit`].
    pub fn barrier(&mut self, barrier: &Arc<Barrier>) -> Result<(), NetworkError> {
        self.flush()?;
        self.outlets.iter().for_each(|outlet| outlet.barrier(barrier));
        Ok(())
    }

    /// Hands over what is open.
    ///
    /// # Errors
    /// As [`ResultPartition::emit`].
    pub fn flush(&mut self) -> Result<(), NetworkError> {
        for target in 0..self.open.len() {
            self.hand_over(target)?;
        }
        self.stay_within_pool()
    }

    /// Nothing more will be emitted. Goes to every consumer, behind what was emitted.
    ///
    /// # Errors
    /// As [`ResultPartition::emit`].
    pub fn end(&mut self) -> Result<(), NetworkError> {
        self.flush()?;
        self.outlets.iter().for_each(|outlet| outlet.end());
        Ok(())
    }

    /// Whether every consumer has room. If not, the waker will be called.
    pub fn has_room(&self) -> bool {
        self.outlets.iter().all(|outlet| outlet.has_room())
    }

    /// Whether [`ResultPartition::flush`] has something to do.
    pub fn has_open(&self) -> bool {
        self.open.iter().any(Option::is_some)
    }

    /// The first consumer's worker that was lost, if one was. The waker is called when it is.
    pub fn error(&self) -> Option<NetworkError> {
        self.failure.get().cloned()
    }

    /// Records emitted; a broadcast counts once.
    pub fn records_out(&self) -> u64 {
        self.records_out
    }

    /// Bytes handed over: frames as they are sent, local batches as they lie in memory.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// Adds a batch to the open one of `target`. Batches at least half full go as they are: joining them would move every row.
    fn gather(&mut self, target: usize, batch: Box<dyn Batch>) -> Result<(), NetworkError> {
        if is_filled_to(&*batch, 2) {
            self.hand_over(target)?;
            return self.send(target, batch);
        }
        match &mut self.open[target] {
            Some(open) => open.append(batch),
            vacant @ None => *vacant = Some(batch),
        }
        if self.open[target].as_deref().is_some_and(|open| is_filled_to(open, 1)) {
            self.hand_over(target)?;
        }
        Ok(())
    }

    /// Moves each row to the open batch of its target.
    fn scatter(&mut self, batch: Box<dyn Batch>) -> Result<(), NetworkError> {
        batch.scatter(&self.targets, &mut self.open);
        self.hand_over_full()
    }

    fn hand_over_full(&mut self) -> Result<(), NetworkError> {
        for target in 0..self.open.len() {
            if self.open[target].as_deref().is_some_and(|open| is_filled_to(open, 1)) {
                self.hand_over(target)?;
            }
        }
        Ok(())
    }

    fn hand_over(&mut self, target: usize) -> Result<(), NetworkError> {
        match self.open[target].take() {
            Some(batch) => self.send(target, batch),
            None => Ok(()),
        }
    }

    fn send(&mut self, target: usize, batch: Box<dyn Batch>) -> Result<(), NetworkError> {
        if matches!(self.choose, Choose::All)
            && let Some((last, others)) = self.outlets.split_last()
            && !others.is_empty()
        {
            let mut encoded = None;
            for outlet in others {
                self.bytes_out += outlet.send_copy(&*batch, &mut encoded)?;
            }
            self.bytes_out += match &encoded {
                Some(_) => last.send_copy(&*batch, &mut encoded)?,
                None => last.send(batch)?,
            };
            return Ok(());
        }
        self.bytes_out += self.outlets[target].send(batch)?;
        Ok(())
    }

    /// Counts what is open. When all partitions of the worker hold too much, the fullest batches here go until half is left.
    fn stay_within_pool(&mut self) -> Result<(), NetworkError> {
        let bytes_of = |open: &Option<Box<dyn Batch>>| open.as_deref().map_or(0, |batch| batch.bytes());
        let mut bytes: usize = self.open.iter().map(bytes_of).sum();
        if bytes == self.open_bytes {
            return Ok(());
        }
        let above = self.pool.change(self.open_bytes, bytes);
        self.open_bytes = bytes;
        if above {
            let keep = bytes / 2;
            while bytes > keep {
                let fullest = (0..self.open.len()).max_by_key(|target| bytes_of(&self.open[*target]));
                let Some(fullest) = fullest else { break };
                bytes -= bytes_of(&self.open[fullest]);
                self.hand_over(fullest)?;
            }
            self.pool.change(self.open_bytes, bytes);
            self.open_bytes = bytes;
        }
        Ok(())
    }
}

impl Drop for ResultPartition {
    fn drop(&mut self) {
        self.pool.change(self.open_bytes, 0);
        for outlet in &self.outlets {
            if !outlet.is_ended() {
                outlet.close();
            }
        }
    }
}

impl std::fmt::Debug for ResultPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { outlets, records_out, bytes_out, .. } = self;
        write!(f, "ResultPartition({} consumers, {records_out} records, {bytes_out} bytes)", outlets.len())
    }
}

fn narrow(consumers: usize) -> u32 {
    u32::try_from(consumers).expect("parallelism is at most 2^15")
}

/// Whether a batch holds at least one `parts`th of a full one.
fn is_filled_to(batch: &dyn Batch, parts: usize) -> bool {
    batch.len() >= BATCH_RECORDS / parts || batch.bytes() >= BATCH_BYTES / parts
}
