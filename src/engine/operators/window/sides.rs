//! Records of two streams in one window.

use serde::{Deserialize, Serialize};

use super::WindowAggregate;
use crate::engine::record::Record;

/// A record of one of two streams: what the windows of a join hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinSide<A, B> {
    /// Of the first.
    First(A),
    /// Of the second.
    Second(B),
}

/// Keeps the records of each stream, in the order they came.
#[derive(Clone, Copy)]
pub(crate) struct GatheredSides;

impl<A: Record, B: Record> WindowAggregate<JoinSide<A, B>> for GatheredSides {
    type Accumulator = (Vec<A>, Vec<B>);

    fn start(&mut self, record: JoinSide<A, B>) -> (Vec<A>, Vec<B>) {
        match record {
            JoinSide::First(record) => (vec![record], Vec::new()),
            JoinSide::Second(record) => (Vec::new(), vec![record]),
        }
    }

    fn add(&mut self, sides: &mut (Vec<A>, Vec<B>), record: JoinSide<A, B>) {
        match record {
            JoinSide::First(record) => sides.0.push(record),
            JoinSide::Second(record) => sides.1.push(record),
        }
    }

    fn merge(&mut self, sides: &mut (Vec<A>, Vec<B>), mut other: (Vec<A>, Vec<B>)) {
        sides.0.append(&mut other.0);
        sides.1.append(&mut other.1);
    }
}
