//! A source at the head of a chain: asks for splits one at a time and reads them.

use super::chain::Chain;
use super::mailbox::Orders;
use crate::engine::operators::{Polled, SourceReader};
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Failure, Split};
use crate::time::Now;

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
    Requested,
    Finished(String),
}

/// ```text
/// Opened ─ask─► Asking ─split─► Reading ─finished, ask─► Asking
///                 └─no more─► Ended ◄─stop─┘
/// ```
#[derive(Debug)]
enum State {
    Opened,
    Asking,
    Reading { split: String },
    Ended,
}

/// The source and its reader.
pub(super) struct SourceHead {
    pub(super) node: NodeIndex,
    pub(super) name: String,
    pub(super) reader: Box<dyn SourceReader>,
    state: State,
    waiting: std::collections::VecDeque<Split>,
    no_more: bool,
    stopping: bool,
    /// Emits nothing until told to go on: behind the barrier of a savepoint that stops the job.
    pub(super) suspended: bool,
}

impl SourceHead {
    pub(super) fn new(node: NodeIndex, name: String, reader: Box<dyn SourceReader>) -> Self {
        let waiting = std::collections::VecDeque::new();
        Self { node, name, reader, state: State::Opened, waiting, no_more: false, stopping: false, suspended: false }
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
        matches!(self.state, State::Ended)
    }

    /// The part that is being read, from where it stands.
    pub(super) fn held(&self) -> Result<Option<Split>, Failure> {
        let State::Reading { split } = &self.state else { return Ok(None) };
        let payload = self.reader.position().map_err(|failure| failure.in_operator(&self.name))?;
        Ok(Some(Split { id: split.clone(), payload }))
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
            if let State::Reading { .. } = self.state {
                self.reader.stop(&mut chain.source_output())?;
            }
            self.state = State::Ended;
        }
        match &self.state {
            State::Ended => Ok(Read::Ended),
            State::Opened => {
                self.ask(reports);
                Ok(Read::Progress)
            }
            State::Asking => self.begin(chain),
            State::Reading { split } => match self.reader.poll(&mut chain.source_output())? {
                Polled::More => Ok(Read::Progress),
                Polled::Waiting { until } => Ok(Read::Waiting { until }),
                Polled::SplitFinished => {
                    reports.push(SplitReport::Finished(split.clone()));
                    self.ask(reports);
                    Ok(Read::Progress)
                }
            },
        }
    }

    fn ask(&mut self, reports: &mut Vec<SplitReport>) {
        reports.push(SplitReport::Requested);
        self.state = State::Asking;
    }

    fn begin(&mut self, chain: &mut Chain) -> Result<Read, Failure> {
        match self.waiting.pop_front() {
            Some(split) => {
                // Errors and panics of `assign` are the source's, as those of `poll` are.
                let _ = chain.source_output();
                let id = split.id.clone();
                self.reader.assign(split)?;
                self.state = State::Reading { split: id };
                Ok(Read::Progress)
            }
            None if self.no_more => {
                self.state = State::Ended;
                Ok(Read::Ended)
            }
            None => Ok(Read::Waiting { until: None }),
        }
    }
}
