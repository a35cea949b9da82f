//! Queries that keep the first of many bids.

use std::cmp::Reverse;

use flott::prelude::*;
use serde::{Deserialize, Serialize};

use crate::changelog::{Changelog, Maintain, Op, View, call_at_the_end};
use crate::job::Job;
use crate::model::{Event, part};
use crate::timestamp::Timestamp;

part! {
    #[derive(Clone, PartialEq, Serialize)]
    struct Bid of Bid {
        auction: u64,
        bidder: u64,
        price: u64,
        channel: Str,
        url: Str,
        date_time: Timestamp,
        extra: Str,
    }
}

fn bids(job: &Job) -> DataStream<Bid> {
    job.events(Event::into_bid)
}

/// The last bid of a bidder for an auction.
#[derive(Clone)]
struct Last;

#[derive(Clone, Serialize, Deserialize)]
struct LastRow {
    op: Op,
    auction: u64,
    bidder: u64,
    price: u64,
    channel: Str,
    url: Str,
    #[serde(rename = "dateTime")]
    date_time: Timestamp,
    extra: Str,
}

impl View<(u64, u64), Bid> for Last {
    type State = Bid;
    type Row = LastRow;

    fn first(&self, bid: Bid) -> Bid {
        bid
    }

    fn add(&self, last: &mut Bid, bid: Bid) -> bool {
        // What decides behind the time makes the last one independent of the order they come in.
        let rank = |bid: &Bid| (bid.date_time, bid.price);
        let texts = |bid: &Bid| (bid.channel.clone(), bid.url.clone(), bid.extra.clone());
        let later = rank(&bid) > rank(last) || rank(&bid) == rank(last) && texts(&bid) > texts(last);
        if later {
            *last = bid;
        }
        later
    }

    fn row(&self, _key: &(u64, u64), last: &Bid, op: Op) -> LastRow {
        let Bid { auction, bidder, price, channel, url, date_time, extra } = last.clone();
        LastRow { op, auction, bidder, price, channel, url, date_time, extra }
    }
}

pub(super) fn q18(job: &Job) {
    let last = bids(job).key_by(|bid| (bid.bidder, bid.auction)).process(Maintain::new(Last, job.changelog()));
    job.write(&last.name("last-bids"));
}

const RANKS: usize = 10;

/// The highest bids for an auction, highest first.
#[derive(Clone)]
struct Highest {
    changelog: Changelog,
    bids: ListState<Bid>,
}

#[derive(Clone, Serialize, Deserialize)]
struct RankRow {
    op: Op,
    auction: u64,
    bidder: u64,
    price: u64,
    channel: Str,
    url: Str,
    #[serde(rename = "dateTime")]
    date_time: Timestamp,
    extra: Str,
    rank_number: u64,
}

impl Highest {
    /// Whether `a` stands before `b`: by price, of equal ones the earlier. The rest makes ranks independent of the order they come in.
    fn is_before(a: &Bid, b: &Bid) -> bool {
        let rank = |bid: &Bid| (Reverse(bid.price), bid.date_time, bid.bidder);
        let texts = |bid: &Bid| (bid.channel.clone(), bid.url.clone(), bid.extra.clone());
        rank(a) < rank(b) || rank(a) == rank(b) && texts(a) < texts(b)
    }

    fn row(op: Op, bid: &Bid, rank: usize) -> RankRow {
        let Bid { auction, bidder, price, channel, url, date_time, extra } = bid.clone();
        RankRow { op, auction, bidder, price, channel, url, date_time, extra, rank_number: rank as u64 + 1 }
    }
}

impl KeyedProcessFunction<u64, Bid, RankRow> for Highest {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.bids = ctx.list_state("highest");
        Ok(())
    }

    fn process_element(&mut self, bid: Bid, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, RankRow>) {
        let standing = self.bids.get(ctx);
        let at = standing.partition_point(|other| Self::is_before(other, &bid));
        if at == RANKS {
            return;
        }
        let mut bids = self.bids.take(ctx);
        if self.changelog.final_only && bids.is_empty() {
            call_at_the_end(ctx);
        }
        bids.insert(at, bid);
        if !self.changelog.final_only {
            for rank in at..bids.len().min(RANKS) {
                // Who stood here stands one behind now.
                let before = bids.get(rank + 1).map(|before| move |op| Self::row(op, before, rank));
                self.changelog.tell(before, |op| Self::row(op, &bids[rank], rank), out);
            }
        }
        bids.truncate(RANKS);
        self.bids.update(ctx, bids);
    }

    fn on_timer(&mut self, _timer: Timer, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, RankRow>) {
        out.extend(self.bids.get(ctx).iter().zip(0..).map(|(bid, rank)| Self::row(Op::Insert, bid, rank)));
    }
}

pub(super) fn q19(job: &Job) {
    let highest = Highest { changelog: job.changelog(), bids: ListState::default() };
    job.write(&bids(job).key_by(|bid| bid.auction).process(highest).name("highest-bids"));
}
