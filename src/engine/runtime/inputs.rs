//! What comes into a subtask: its gates, and what their channels together say of time and end.

use std::sync::Arc;

use super::alignment::{Aligned, Aligner, Arrival};
use super::ports::Gate;
use super::valve::{Progress, WatermarkValve};
use crate::engine::record::{Barrier, Batch, Element};
use crate::graph::event_time::WatermarkHold;
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// What the gates have to say next.
pub(super) enum Incoming {
    /// Records for an input of the head operator.
    Batch { input: u32, batch: Box<dyn Batch> },
    /// A checkpoint's barrier has come on every channel.
    Barrier(Aligned),
    /// Time or end of one channel; the consequences are [`Inputs::progress`]'s and [`Inputs::take_ended`]'s to tell.
    Control,
    /// Nothing now.
    Nothing,
}

/// The gates of a subtask.
///
/// Event time is told by a [`WatermarkValve`] over all channels. An input of the operator has ended when all channels of all gates
/// that lead to it have.
pub(super) struct Inputs {
    gates: Vec<InputGate>,
    /// Where to look first, so that no gate starves.
    next: usize,
    valve: WatermarkValve,
    /// Records have come in after an idle time: event time is to be announced behind them.
    announce: bool,
    /// Inputs not ended yet, with the number of their open channels.
    open: Vec<(u32, usize)>,
    ended: Vec<u32>,
    aligner: Aligner,
}

struct InputGate {
    input: u32,
    gate: Box<dyn Gate>,
    /// The first of its channels, counted over all gates.
    first_channel: usize,
}

impl Inputs {
    /// Gates with the number of the operator's input each leads to.
    pub(super) fn new(gates: Vec<(u32, Box<dyn Gate>)>) -> Self {
        let mut open: Vec<(u32, usize)> = Vec::new();
        for (input, gate) in &gates {
            match open.iter_mut().find(|(known, _)| known == input) {
                Some((_, channels)) => *channels += gate.channels(),
                None => open.push((*input, gate.channels())),
            }
        }
        open.sort_unstable();
        let mut channels = 0;
        let gates = gates.into_iter().map(|(input, gate)| {
            let first_channel = channels;
            channels += gate.channels();
            InputGate { input, gate, first_channel }
        });
        let gates = gates.collect();
        let valve = WatermarkValve::new(channels);
        Self { gates, next: 0, valve, announce: false, open, ended: Vec::new(), aligner: Aligner::default() }
    }

    /// The next thing from any gate.
    pub(super) fn poll(&mut self, now: Now) -> Result<Incoming, Failure> {
        if std::mem::take(&mut self.announce) {
            return Ok(Incoming::Control);
        }
        if let Some(aligned) = self.aligner.take_aligned(now) {
            self.gates.iter_mut().for_each(|gate| gate.gate.unblock());
            return Ok(Incoming::Barrier(aligned));
        }
        let count = self.gates.len();
        for turn in 0..count {
            let index = (self.next + turn) % count;
            let gate = &mut self.gates[index];
            let Some((channel, element)) = gate.gate.poll()? else {
                continue;
            };
            self.next = (index + 1) % count;
            let (input, channel) = (gate.input, gate.first_channel + channel);
            match element {
                Element::Batch(batch) => {
                    self.announce = self.valve.records(channel);
                    return Ok(Incoming::Batch { input, batch });
                }
                Element::Watermark(watermark) => self.valve.watermark(channel, watermark),
                Element::Idle => self.valve.idle(channel),
                Element::Barrier(barrier) => {
                    let channel = channel - gate.first_channel;
                    self.barrier(index, channel, barrier, now);
                    return self.poll(now);
                }
                Element::EndOfInput => {
                    self.valve.end(channel);
                    self.end_channel(input);
                }
            }
            return Ok(Incoming::Control);
        }
        Ok(Incoming::Nothing)
    }

    /// What has become of event time since the last call; to be asked until nothing has.
    pub(super) fn progress(&mut self) -> Option<Progress> {
        self.valve.next()
    }

    /// How far event time has come; `None` before the first watermark.
    pub(super) fn watermark(&self) -> Option<EventTime> {
        Some(self.valve.announced()).filter(|time| *time > EventTime::MIN)
    }

    /// Which channel event time waits for.
    pub(super) fn watermark_hold(&self) -> Option<WatermarkHold> {
        self.valve.hold()
    }

    /// Bytes taken from all gates.
    pub(super) fn bytes_in(&self) -> u64 {
        self.gates.iter().map(|gate| gate.gate.bytes_in()).sum()
    }

    /// Inputs that have ended since the last call.
    pub(super) fn take_ended(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.ended)
    }

    /// Inputs that have not ended.
    pub(super) fn open(&self) -> Vec<u32> {
        self.open.iter().map(|(input, _)| *input).collect()
    }

    /// Whether everything has ended.
    pub(super) fn all_ended(&self) -> bool {
        self.open.is_empty()
    }

    fn barrier(&mut self, index: usize, channel: usize, barrier: Arc<Barrier>, now: Now) {
        let open = self.open.iter().map(|(_, channels)| channels).sum();
        match self.aligner.barrier(barrier, open, now) {
            Arrival::Late => return,
            Arrival::Awaited => {}
            Arrival::Supersedes => self.gates.iter_mut().for_each(|gate| gate.gate.unblock()),
        }
        self.gates[index].gate.block(channel);
    }

    fn end_channel(&mut self, input: u32) {
        self.aligner.channel_ended();
        self.open.retain_mut(|(open, channels)| {
            if *open == input {
                *channels -= 1;
            }
            *channels > 0
        });
        if !self.open.iter().any(|(open, _)| *open == input) {
            self.ended.push(input);
        }
    }
}
