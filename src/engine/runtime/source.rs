//! A source at the head of a chain: asks for splits one at a time and reads them.
//!
//! ```text
//! split without a lane, or nobody follows event time ─► one reader, one split after the other, whichever comes
//! split of one lane of several ─► a reader a lane, side by side; the one furthest behind in event time is read next
//! ```
//!
//! Several files that lie side by side in time would else be read one behind the other, and all but the first be late. Each subtask
//! reads of every lane: splits of a lane are handed out in its order, and a subtask's time in a lane stands still between them, so time
//! nowhere overtakes a split that nobody has yet.

use std::collections::VecDeque;

use super::chain::Chain;
use super::mailbox::Orders;
use crate::engine::operators::{Polled, SourceReader};
use crate::graph::plan::NodeIndex;
use crate::graph::task::{self, Failure, Split};
use crate::time::{EventTime, Now};

/// What a source's reading comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// There was something, or something changed.
    Progress,
    /// Nothing until woken, or until that moment.
    Waiting { until: Option<Now> },
    /// The input has ended.
    Ended,
}

/// Reports for the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SplitReport {
    /// Of that lane, if there are several.
    Requested(Option<u32>),
    Finished(String),
}

/// ```text
/// Wanting ─ask─► Asking ─split─► Reading ─finished─► Wanting
///                  └─no more─► Ended ◄─stop─┘
/// ```
/// One at most is asking, so it is clear what an answer is for.
#[derive(Debug)]
enum State {
    Wanting,
    Asking,
    /// `polled`: whether anything is known of it. Until then no more is asked for: who begins first leaves others something to begin with.
    Reading {
        split: String,
        lane: Option<task::Lane>,
        polled: bool,
    },
    Ended,
}

/// Makes a reader.
pub(super) type Readers = Box<dyn Fn() -> Result<Box<dyn SourceReader>, Failure> + Send>;

struct Lane {
    reader: Box<dyn SourceReader>,
    state: State,
}

/// The source and its readers.
pub(super) struct SourceHead {
    pub(super) node: NodeIndex,
    pub(super) name: String,
    readers: Readers,
    /// One, until a split says that there are more.
    lanes: Vec<Lane>,
    waiting: VecDeque<Split>,
    no_more: bool,
    stopping: bool,
    /// What was being read when the input was ended for a barrier.
    left: Option<Vec<Split>>,
    /// Emits nothing until told to go on: behind the barrier of a savepoint that stops the job.
    pub(super) suspended: bool,
}

impl SourceHead {
    pub(super) fn new(node: NodeIndex, name: &str, readers: Readers) -> Result<Self, Failure> {
        let lanes = vec![Lane { reader: readers()?, state: State::Wanting }];
        Ok(Self {
            node,
            name: name.to_owned(),
            readers,
            lanes,
            waiting: VecDeque::new(),
            no_more: false,
            stopping: false,
            left: None,
            suspended: false,
        })
    }

    /// Takes what concerns the source out of the mail.
    pub(super) fn take_orders(&mut self, orders: &mut Orders) {
        self.waiting.append(&mut orders.splits);
        self.no_more |= orders.no_more_splits;
        self.stopping |= orders.stop;
        self.suspended &= !orders.resume && !orders.stop;
    }

    /// Whether nothing comes any more.
    pub(super) fn has_ended(&self) -> bool {
        self.lanes.iter().all(|lane| matches!(lane.state, State::Ended))
    }

    /// The parts that are being read, each from where it stands, or stood when a barrier ended the input.
    pub(super) fn held(&self) -> Result<Vec<Split>, Failure> {
        if let Some(left) = &self.left {
            return Ok(left.clone());
        }
        let mut held = Vec::new();
        for Lane { reader, state } in &self.lanes {
            if let State::Reading { split, lane, .. } = state {
                let payload = reader.position().map_err(|failure| failure.in_operator(&self.name))?;
                held.push(Split { id: split.clone(), payload, lane: *lane });
            }
        }
        Ok(held)
    }

    /// Malformed records since the last call.
    pub(super) fn take_bad_records(&mut self) -> u64 {
        self.lanes.iter_mut().map(|lane| lane.reader.take_bad_records()).sum()
    }

    /// Reads about one batch into `chain`.
    pub(super) fn read(&mut self, chain: &mut Chain, reports: &mut Vec<SplitReport>) -> Result<Read, Failure> {
        self.read_blameless(chain, reports).map_err(|failure| failure.in_operator(&self.name))
    }

    fn read_blameless(&mut self, chain: &mut Chain, reports: &mut Vec<SplitReport>) -> Result<Read, Failure> {
        if self.suspended {
            return Ok(Read::Waiting { until: None });
        }
        if self.stopping {
            self.stop(chain)?;
        }
        if self.has_ended() {
            return Ok(Read::Ended);
        }
        if self.take_answer(chain)? {
            return Ok(if self.has_ended() { Read::Ended } else { Read::Progress });
        }
        let asked = self.ask(reports);
        match self.poll(chain, reports)? {
            Read::Waiting { .. } if asked => Ok(Read::Progress),
            read => Ok(read),
        }
    }

    /// The input ends here, for the barrier that follows.
    pub(super) fn end_for_barrier(&mut self, chain: &mut Chain) -> Result<(), Failure> {
        self.left = Some(self.held()?);
        self.stop(chain).map_err(|failure| failure.in_operator(&self.name))
    }

    /// The input ends here.
    fn stop(&mut self, chain: &mut Chain) -> Result<(), Failure> {
        for (part, Lane { reader, state }) in self.lanes.iter_mut().enumerate() {
            if let State::Reading { .. } = state {
                chain.context.part.set(part);
                reader.stop(&mut chain.source_output())?;
            }
            *state = State::Ended;
        }
        Ok(())
    }

    /// Acts on what was answered to the lane that asked. Whether there was an answer.
    fn take_answer(&mut self, chain: &mut Chain) -> Result<bool, Failure> {
        let Some(asking) = self.lanes.iter().position(|lane| matches!(lane.state, State::Asking)) else {
            return Ok(false);
        };
        match self.waiting.pop_front() {
            Some(split) => self.begin(asking, split, chain).map(|()| true),
            None if self.no_more => {
                self.lanes[asking].state = State::Ended;
                if self.lanes.len() > 1 {
                    self.no_more = false;
                    chain.end_part(asking)?;
                }
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn begin(&mut self, mut asking: usize, split: Split, chain: &mut Chain) -> Result<(), Failure> {
        if let (Some(lane), 1) = (split.lane, self.lanes.len())
            && lane.index < lane.of
            && lane.of > 1
            && chain.part_time(0).is_some()
        {
            asking = lane.index as usize;
            self.open_lanes(lane)?;
            chain.set_parts(self.lanes.len());
        }
        // Errors and panics of `assign` are the source's, as those of `poll` are.
        let _ = chain.source_output();
        let (id, lane) = (split.id.clone(), split.lane);
        let reading = &mut self.lanes[asking];
        reading.reader.assign(split)?;
        reading.state = State::Reading { split: id, lane, polled: false };
        Ok(())
    }

    /// The one lane so far becomes that one of several.
    fn open_lanes(&mut self, lane: task::Lane) -> Result<(), Failure> {
        self.lanes[0].state = State::Wanting;
        for _ in 1..lane.of {
            self.lanes.push(Lane { reader: (self.readers)()?, state: State::Wanting });
        }
        Ok(())
    }

    /// Asks for a split for the first lane that wants one. Whether anything was asked.
    fn ask(&mut self, reports: &mut Vec<SplitReport>) -> bool {
        let busy = |lane: &Lane| matches!(lane.state, State::Asking | State::Reading { polled: false, .. });
        if self.lanes.iter().any(busy) {
            return false;
        }
        let Some(wanting) = self.lanes.iter().position(|lane| matches!(lane.state, State::Wanting)) else {
            return false;
        };
        self.lanes[wanting].state = State::Asking;
        let several = self.lanes.len() > 1;
        reports.push(SplitReport::Requested(several.then(|| u32::try_from(wanting).unwrap_or(u32::MAX))));
        true
    }

    /// Reads of the lane that is furthest behind; of another one, where there is nothing to read there now.
    fn poll(&mut self, chain: &mut Chain, reports: &mut Vec<SplitReport>) -> Result<Read, Failure> {
        let mut until: Option<Now> = None;
        let mut nothing_behind = None;
        while let Some((time, part)) = self.next_behind(nothing_behind, chain) {
            let Lane { reader, state } = &mut self.lanes[part];
            chain.context.part.set(part);
            match reader.poll(&mut chain.source_output())? {
                Polled::More => {
                    if let State::Reading { polled, .. } = state {
                        *polled = true;
                    }
                    return Ok(Read::Progress);
                }
                Polled::SplitFinished => {
                    if let State::Reading { split, .. } = std::mem::replace(state, State::Wanting) {
                        reports.push(SplitReport::Finished(split));
                    }
                    self.ask(reports);
                    return Ok(Read::Progress);
                }
                Polled::Waiting { until: moment } => {
                    if let State::Reading { polled, .. } = state {
                        *polled = true;
                    }
                    until = until.into_iter().chain(moment).min();
                    nothing_behind = Some((time, part));
                }
            }
        }
        Ok(Read::Waiting { until })
    }

    /// Of the lanes that are being read the one that is furthest behind, but ahead of `after`.
    fn next_behind(&self, after: Option<(EventTime, usize)>, chain: &Chain) -> Option<(EventTime, usize)> {
        let reading = |(_, lane): &(usize, &Lane)| matches!(lane.state, State::Reading { .. });
        let parts = self.lanes.iter().enumerate().filter(reading).map(|(part, _)| part);
        let times = parts.map(|part| (chain.part_time(part).unwrap_or(EventTime::MIN), part));
        times.filter(|place| Some(*place) > after).min_by_key(|place| *place)
    }
}
