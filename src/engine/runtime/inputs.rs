//! What comes into a subtask: its gates, and what their channels together say of time and end.

use super::ports::Gate;
use crate::engine::record::{Batch, Element};
use crate::graph::task::Failure;
use crate::time::EventTime;

/// What the gates have to say next.
pub(super) enum Incoming {
    /// Records for an input of the head operator.
    Batch { input: u32, batch: Box<dyn Batch> },
    /// Time or end of one channel; the consequences are [`Inputs::advance`]'s and [`Inputs::take_ended`]'s to tell.
    Control,
    /// Nothing now.
    Nothing,
}

/// The gates of a subtask.
///
/// Event time is the minimum over all channels; an ended channel counts as the end of time. An input of the operator has ended
/// when all channels of all gates that lead to it have.
pub(super) struct Inputs {
    gates: Vec<InputGate>,
    /// Where to look first, so that no gate starves.
    next: usize,
    announced: EventTime,
    /// Inputs not ended yet, with the number of their open channels.
    open: Vec<(u32, usize)>,
    ended: Vec<u32>,
}

struct InputGate {
    input: u32,
    gate: Box<dyn Gate>,
    watermarks: Vec<EventTime>,
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
        let gates = gates.into_iter().map(|(input, gate)| {
            let watermarks = vec![EventTime::MIN; gate.channels()];
            InputGate { input, gate, watermarks }
        });
        Self { gates: gates.collect(), next: 0, announced: EventTime::MIN, open, ended: Vec::new() }
    }

    /// The next thing from any gate.
    pub(super) fn poll(&mut self) -> Result<Incoming, Failure> {
        let count = self.gates.len();
        for turn in 0..count {
            let index = (self.next + turn) % count;
            let gate = &mut self.gates[index];
            let Some((channel, element)) = gate.gate.poll()? else {
                continue;
            };
            self.next = (index + 1) % count;
            let input = gate.input;
            match element {
                Element::Batch(batch) => return Ok(Incoming::Batch { input, batch }),
                Element::Watermark(watermark) => gate.watermarks[channel] = gate.watermarks[channel].max(watermark),
                Element::EndOfInput => {
                    gate.watermarks[channel] = EventTime::MAX;
                    self.end_channel(input);
                }
            }
            return Ok(Incoming::Control);
        }
        Ok(Incoming::Nothing)
    }

    /// The new event time, if it has advanced since the last call.
    pub(super) fn advance(&mut self) -> Option<EventTime> {
        let minimum = self.gates.iter().flat_map(|gate| &gate.watermarks).copied().min()?;
        (minimum > self.announced).then(|| {
            self.announced = minimum;
            minimum
        })
    }

    /// Bytes taken from all gates.
    pub(super) fn bytes_in(&self) -> u64 {
        self.gates.iter().map(|gate| gate.gate.bytes_in()).sum()
    }

    /// Inputs that have ended since the last call.
    pub(super) fn take_ended(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.ended)
    }

    /// Whether everything has ended.
    pub(super) fn all_ended(&self) -> bool {
        self.open.is_empty()
    }

    fn end_channel(&mut self, input: u32) {
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
