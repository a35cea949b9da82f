//! What a subtask consists of until it ends, and the loop within one step of it: mail, timers, slices of input, barriers, time,
//! pauses, and the end.

use std::sync::Arc;

use super::alignment::Aligned;
use super::chain::{Chain, SOURCE};
use super::counters::Spent;
use super::hot_keys::HotKeys;
use super::inputs::{Incoming, Inputs};
use super::mailbox::Mailbox;
use super::snapshot::Taken;
use super::source::{Read, SourceHead, SplitReport};
use super::subtask::{Flushing, Outcome, Report, Step};
use crate::engine::checkpoint::{CheckpointStorage, Continuation, RestoredStates, Taker};
use crate::graph::task::{Committable, Failure, RestoredFile, TaskMetrics};
use crate::time::Now;

/// What feeds the chain.
pub(super) enum Head {
    /// A source.
    Source(SourceHead),
    /// Gates, into the first operator.
    Inputs(Inputs),
}

/// What a subtask consists of until it ends.
pub(super) struct Running {
    pub(super) opened: bool,
    pub(super) head: Head,
    pub(super) chain: Chain,
    /// Time or an end has come in, and waits until what came before it is done.
    pub(super) settling: bool,
    pub(super) flushing: Flushing,
    pub(super) last_flush: Now,
    /// Whether anything was processed since.
    pub(super) unflushed: bool,
    pub(super) hot_keys: HotKeys,
    /// A barrier that has come, and waits until what is under way before it is done.
    pub(super) barrier: Option<Aligned>,
    pub(super) draining: Draining,
    /// What the last barrier has separated, until it is asked for.
    pub(super) taken: Option<Taken>,
    /// What the state is filled from, before anything else.
    pub(super) restore: Restoration,
}

/// Whether the input ends with a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Draining {
    /// None that did has come.
    No,
    /// The operators know that their input has ended, and finish; the barrier follows what they emit.
    Begun,
    /// It has passed. The subtask ends when those before it do.
    Done,
}

/// Where a subtask's state lies in a checkpoint.
pub(super) struct Restoration {
    pub(super) storage: Arc<dyn CheckpointStorage>,
    pub(super) files: Vec<RestoredFile>,
    /// The subtask.
    pub(super) taker: Taker,
    /// Whether there is a checkpoint at all.
    pub(super) is_restored: bool,
}

impl Running {
    /// Mail, then what is due, then input; counted.
    pub(super) fn step(
        &mut self,
        now: Now,
        budget: u32,
        mailbox: &Mailbox,
        metrics: &mut TaskMetrics,
        reports: &mut Vec<Report>,
    ) -> Result<(Step, Spent), Failure> {
        self.chain.context.now.set(now);
        if let Some(outcome) = self.read_mail(mailbox, now)? {
            return Ok((Step::Ended(outcome), Spent::Busy));
        }
        if !self.opened {
            self.chain.open()?;
            self.restore()?;
            self.opened = true;
            self.last_flush = now;
            reports.push(Report::Running);
            return Ok((Step::Progress, Spent::Busy));
        }
        let pause = self.take_slices(now, budget, mailbox, metrics, reports)?;
        self.count_flow(metrics);
        match pause {
            Pause::None if self.flush_due(now) => self.flush(now, metrics)?,
            Pause::None | Pause::Barrier => {}
            Pause::Ended => {
                return match self.finish(metrics)? {
                    Some(committables) => Ok((Step::Ended(Outcome::Finished(committables)), Spent::Busy)),
                    None => self.pause(now, None, Spent::Idle, metrics),
                };
            }
            Pause::Nothing { until, spent } => return self.pause(now, until, spent, metrics),
        }
        Ok((Step::Progress, Spent::Busy))
    }

    /// Acts on mail; what is for the source is left with it.
    fn read_mail(&mut self, mailbox: &Mailbox, now: Now) -> Result<Option<Outcome>, Failure> {
        let Some(mut orders) = mailbox.take() else {
            return Ok(None);
        };
        if orders.cancel {
            return Ok(Some(Outcome::Canceled));
        }
        if let Some(failure) = orders.failure {
            return Err(failure);
        }
        if let Head::Source(source) = &mut self.head {
            source.take_orders(&mut orders);
            // The end of a source is as good as a barrier to those behind it.
            let barrier = orders.barrier.filter(|_| !source.has_ended());
            self.barrier = barrier.map(|barrier| Aligned::at_once(barrier, now)).or(self.barrier.take());
        }
        Ok(None)
    }

    /// Processes input until the budget is used up, there is mail, or there is a reason to pause. A step that did something
    /// says [`Pause::None`], so that the time until the next one is counted as what it was.
    fn take_slices(
        &mut self,
        now: Now,
        budget: u32,
        mailbox: &Mailbox,
        metrics: &mut TaskMetrics,
        reports: &mut Vec<Report>,
    ) -> Result<Pause, Failure> {
        let mut did = false;
        if self.chain.has_room()? && self.chain.next_timer().is_some_and(|due| due <= now) {
            self.chain.fire_timers(now)?;
            (did, self.unflushed) = (true, true);
        }
        self.chain.tell_waiting()?;
        for _ in 0..budget {
            if mailbox.has_mail() {
                return Ok(Pause::None);
            }
            let pause = match self.chain.has_room()? {
                false => Pause::Nothing { until: None, spent: Spent::Backpressured },
                // What an operator waits for is its timer's to tell: answers from outside, for which it does nothing.
                true if !self.chain.accepts_input() => Pause::Nothing { until: None, spent: Spent::Idle },
                true if self.barrier.is_some() => self.pass_barrier()?,
                true => self.take_slice(now, metrics, reports)?,
            };
            match pause {
                Pause::None => (did, self.unflushed) = (true, true),
                Pause::Ended => return Ok(Pause::Ended),
                Pause::Barrier => return Ok(Pause::None),
                Pause::Nothing { .. } if did => return Ok(Pause::None),
                Pause::Nothing { .. } => return Ok(pause),
            }
        }
        Ok(Pause::None)
    }

    fn take_slice(&mut self, now: Now, metrics: &mut TaskMetrics, reports: &mut Vec<Report>) -> Result<Pause, Failure> {
        match &mut self.head {
            Head::Source(source) => {
                let mut splits = Vec::new();
                let read_before = self.chain.context.records_read.get();
                let read = source.read(&mut self.chain, &mut splits)?;
                // A reader may emit and wait at once: what it emitted must not wait with it.
                self.unflushed |= self.chain.context.records_read.get() != read_before;
                reports.extend(splits.into_iter().map(|report| match report {
                    SplitReport::Requested(lane) => Report::SplitRequested(source.node, lane),
                    SplitReport::Finished(split) => Report::SplitFinished(source.node, split),
                }));
                Ok(match read {
                    Read::Progress => Pause::None,
                    Read::Waiting { until } => Pause::Nothing { until, spent: Spent::Idle },
                    Read::Ended => Pause::Ended,
                })
            }
            Head::Inputs(_) if self.settling => self.settle(),
            Head::Inputs(inputs) => {
                if inputs.all_ended() {
                    return Ok(Pause::Ended);
                }
                match inputs.poll(now)? {
                    Incoming::Nothing => Ok(Pause::Nothing { until: None, spent: Spent::Idle }),
                    Incoming::Batch { input, batch } => {
                        metrics.records_in += batch.len() as u64;
                        self.hot_keys.see(&*batch);
                        self.chain.process(input, batch)?;
                        Ok(Pause::None)
                    }
                    Incoming::Barrier(aligned) => {
                        self.barrier = Some(aligned);
                        Ok(Pause::Barrier)
                    }
                    Incoming::Control => self.settle(),
                }
            }
        }
    }

    /// Hands the barrier on behind all that came before it, and freezes what the operators hold.
    fn pass_barrier(&mut self) -> Result<Pause, Failure> {
        if !self.chain.is_drained() {
            return Ok(Pause::Nothing { until: None, spent: Spent::Busy });
        }
        let Some(aligned) = self.barrier.take() else { return Ok(Pause::None) };
        let committables = match aligned.barrier.then {
            Continuation::GoOn | Continuation::Suspend => self.chain.barrier(&aligned.barrier)?,
            Continuation::Drain => match self.drain()? {
                Some(committables) => {
                    self.chain.send_barrier(&aligned.barrier)?;
                    self.draining = Draining::Done;
                    committables
                }
                None => {
                    self.barrier = Some(aligned);
                    return Ok(Pause::Nothing { until: None, spent: Spent::Idle });
                }
            },
        };
        let mut held = Vec::new();
        if let Head::Source(source) = &mut self.head {
            held.extend(source.held()?.into_iter().map(|split| (source.node, split)));
            source.suspended |= aligned.barrier.then != Continuation::GoOn;
        }
        let operators = self.chain.snapshot()?;
        self.taken = Some(Taken { aligned, held, committables, operators });
        Ok(Pause::Barrier)
    }

    /// Ends the input where it is, and lets the operators emit all that they hold. What sinks prepared, or nothing yet: an operator
    /// waits for what is under way, and this is to be called again.
    fn drain(&mut self) -> Result<Option<Vec<Committable>>, Failure> {
        let begins = std::mem::replace(&mut self.draining, Draining::Begun) == Draining::No;
        match &mut self.head {
            Head::Source(source) if begins => source.end_for_barrier(&mut self.chain)?,
            Head::Inputs(inputs) if begins => {
                // Event time has come to its end before the barrier: the sources say so.
                inputs.open().into_iter().try_for_each(|input| self.chain.end_input(input))?;
            }
            Head::Source(_) | Head::Inputs(_) => {}
        }
        self.unflushed = true;
        self.chain.finish_operators(matches!(self.head, Head::Source(_)))
    }

    fn restore(&mut self) -> Result<(), Failure> {
        let Restoration { storage, files, taker, is_restored } = &self.restore;
        let mut states = RestoredStates::open(storage.as_ref(), files, taker.clone())?;
        self.chain.restore(&mut states, *is_restored)
    }

    /// Tells the operators of time and ends that have come in, behind everything that came before.
    fn settle(&mut self) -> Result<Pause, Failure> {
        self.settling = !self.chain.is_drained();
        let Head::Inputs(inputs) = &mut self.head else { return Ok(Pause::None) };
        if self.settling {
            return Ok(Pause::Nothing { until: None, spent: Spent::Idle });
        }
        while let Some(progress) = inputs.progress() {
            if self.draining == Draining::No {
                self.chain.progress(progress)?;
            }
        }
        for input in inputs.take_ended() {
            if self.draining == Draining::No {
                self.chain.end_input(input)?;
            }
        }
        Ok(if inputs.all_ended() { Pause::Ended } else { Pause::None })
    }

    /// Nothing to do: hands on what lies here, then waits until the first of whatever comes.
    fn pause(
        &mut self,
        now: Now,
        until: Option<Now>,
        spent: Spent,
        metrics: &mut TaskMetrics,
    ) -> Result<(Step, Spent), Failure> {
        if self.unflushed && (self.flushing.when_idle || self.flush_due(now)) {
            self.flush(now, metrics)?;
        }
        let ceiling = self.flushing.interval.filter(|_| self.unflushed).map(|interval| self.last_flush + interval);
        // Timers fire only where there is room for what they emit.
        let timer = if spent == Spent::Backpressured { None } else { self.chain.next_timer() };
        let until = [until, ceiling, timer].into_iter().flatten().min();
        Ok((Step::Wait { until }, spent))
    }

    fn flush_due(&self, now: Now) -> bool {
        self.unflushed && self.flushing.interval.is_some_and(|interval| now >= self.last_flush + interval)
    }

    fn flush(&mut self, now: Now, metrics: &mut TaskMetrics) -> Result<(), Failure> {
        self.chain.flush()?;
        self.last_flush = now;
        self.unflushed = false;
        self.count_bad_records(metrics);
        Ok(())
    }

    fn finish(&mut self, metrics: &mut TaskMetrics) -> Result<Option<Vec<Committable>>, Failure> {
        let source_at_head = matches!(self.head, Head::Source(_));
        let committables = self.chain.finish(source_at_head)?;
        self.count_bad_records(metrics);
        self.count_flow(metrics);
        Ok(committables)
    }

    // Never inlined, so that a profile shows what metrics cost.
    #[inline(never)]
    fn count_flow(&self, metrics: &mut TaskMetrics) {
        metrics.records_out = self.chain.context.records_out.get();
        metrics.bytes_out = self.chain.bytes_out();
        match &self.head {
            Head::Source(_) => metrics.records_in = self.chain.context.records_read.get(),
            Head::Inputs(inputs) => {
                metrics.bytes_in = inputs.bytes_in();
                metrics.hot_key_permille = self.hot_keys.permille();
                metrics.input_watermark = inputs.watermark();
                metrics.watermark_hold = inputs.watermark_hold();
            }
        }
    }

    fn count_bad_records(&mut self, metrics: &mut TaskMetrics) {
        metrics.bad_records += self.chain.take_bad_records();
        if let Head::Source(source) = &mut self.head {
            metrics.bad_records += source.take_bad_records();
        }
    }

    pub(super) fn blame_panic(&self, told: String) -> Failure {
        let failure = Failure::user(told);
        let source = match &self.head {
            Head::Source(source) if self.chain.context.current.get() == SOURCE => Some(source.name.as_str()),
            Head::Source(_) | Head::Inputs(_) => None,
        };
        match source.or_else(|| self.chain.current_name()) {
            Some(name) => failure.in_operator(name),
            None => failure,
        }
    }
}

/// Why no more slices are taken in this step.
enum Pause {
    /// There may be more.
    None,
    /// A barrier has come, or has passed.
    Barrier,
    /// The input has ended.
    Ended,
    /// Nothing can be done.
    Nothing { until: Option<Now>, spent: Spent },
}
