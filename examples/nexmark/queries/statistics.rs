//! Queries that count bids, bidders and auctions.

use std::marker::PhantomData;

use flott::engine::record::{Key, Record};
use flott::prelude::*;
use serde::{Deserialize, Serialize};

use crate::changelog::{Changelog, Maintain, Op, View, call_at_the_end};
use crate::job::Job;
use crate::model::{Event, part};
use crate::timestamp::{Timestamp, day_text, minute_text};

/// How many there are: all, and by price below 10⁴, below 10⁶, and above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    total: u64,
    ranks: [u64; 3],
}

/// The rank of a price, from 0.
fn rank(price: u64) -> usize {
    usize::from(price >= 10_000) + usize::from(price >= 1_000_000)
}

/// Things counted once each, in all and by rank.
#[derive(Clone)]
struct Distinct {
    /// The ranks that a thing was seen in: bit 0 for the first.
    seen: MapState<u64, u8>,
}

impl Distinct {
    fn add<K: Key>(&self, ctx: &mut KeyedContext<'_, K>, counts: &mut Counts, id: u64, rank: usize) {
        let seen = self.seen.get_or_insert_with(ctx, &id, || 0);
        counts.total += u64::from(*seen == 0);
        counts.ranks[rank] += u64::from(*seen & (1 << rank) == 0);
        *seen |= 1 << rank;
    }
}

part! {
    /// What is counted of a bid.
    #[derive(Clone, Serialize)]
    struct Bid of Bid { auction: u64, bidder: u64, price: u64, date_time: Timestamp }
}

part! {
    /// The same with the channel.
    #[derive(Clone, Serialize)]
    struct ChannelBid of Bid { auction: u64, bidder: u64, price: u64, date_time: Timestamp, channel: Str }
}
/// What has been counted for a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    last_minute: i64,
    bids: Counts,
    bidders: Counts,
    auctions: Counts,
}

impl From<ChannelBid> for Bid {
    fn from(bid: ChannelBid) -> Self {
        let ChannelBid { auction, bidder, price, date_time, channel: _ } = bid;
        Self { auction, bidder, price, date_time }
    }
}

/// Makes a row of a key and what was counted for it.
type MakeRow<K, O> = fn(&K, &Tally, Op) -> O;

/// Counts bids, and who bids for what.
struct Count<K, O> {
    changelog: Changelog,
    row: MakeRow<K, O>,
    tally: ValueState<Tally>,
    bidders: Distinct,
    auctions: Distinct,
    types: PhantomData<fn(K) -> O>,
}

impl<K, O> Clone for Count<K, O> {
    fn clone(&self) -> Self {
        Self::new(self.changelog, self.row)
    }
}

impl<K, O> Count<K, O> {
    fn new(changelog: Changelog, row: MakeRow<K, O>) -> Self {
        let none = || Distinct { seen: MapState::default() };
        Self { changelog, row, tally: ValueState::default(), bidders: none(), auctions: none(), types: PhantomData }
    }
}

impl<K: Key, I: Record + Into<Bid>, O: Record> KeyedProcessFunction<K, I, O> for Count<K, O> {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, K>) -> Result<(), Failure> {
        self.tally = ctx.value_state("tally");
        self.bidders = Distinct { seen: ctx.map_state("bidders") };
        self.auctions = Distinct { seen: ctx.map_state("auctions") };
        Ok(())
    }

    fn process_element(&mut self, bid: I, ctx: &mut KeyedContext<'_, K>, out: &mut Collector<'_, O>) {
        let bid: Bid = bid.into();
        let before = self.tally.value(ctx).copied();
        let mut tally = before.unwrap_or_default();
        let rank = rank(bid.price);
        tally.last_minute = tally.last_minute.max(bid.date_time.minute_of_day());
        tally.bids.total += 1;
        tally.bids.ranks[rank] += 1;
        self.bidders.add(ctx, &mut tally.bidders, bid.bidder, rank);
        self.auctions.add(ctx, &mut tally.auctions, bid.auction, rank);
        self.tally.update(ctx, tally);
        match (self.changelog.final_only, before) {
            (true, None) => call_at_the_end(ctx),
            (true, Some(_)) => {}
            (false, before) => {
                let (key, row) = (ctx.current_key(), self.row);
                let before = before.map(|before| move |op| row(key, &before, op));
                self.changelog.tell(before, |op| row(key, &tally, op), out);
            }
        }
    }

    fn on_timer(&mut self, _timer: Timer, ctx: &mut KeyedContext<'_, K>, out: &mut Collector<'_, O>) {
        let tally = self.tally.value(ctx).copied().unwrap_or_default();
        out.collect((self.row)(ctx.current_key(), &tally, Op::Insert));
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct DayRow {
    op: Op,
    day: Str,
    total_bids: u64,
    rank1_bids: u64,
    rank2_bids: u64,
    rank3_bids: u64,
    total_bidders: u64,
    rank1_bidders: u64,
    rank2_bidders: u64,
    rank3_bidders: u64,
    total_auctions: u64,
    rank1_auctions: u64,
    rank2_auctions: u64,
    rank3_auctions: u64,
}

fn day_row(day: &i64, tally: &Tally, op: Op) -> DayRow {
    let Tally { bids, bidders, auctions, .. } = tally;
    DayRow {
        op,
        day: day_text(*day).into(),
        total_bids: bids.total,
        rank1_bids: bids.ranks[0],
        rank2_bids: bids.ranks[1],
        rank3_bids: bids.ranks[2],
        total_bidders: bidders.total,
        rank1_bidders: bidders.ranks[0],
        rank2_bidders: bidders.ranks[1],
        rank3_bidders: bidders.ranks[2],
        total_auctions: auctions.total,
        rank1_auctions: auctions.ranks[0],
        rank2_auctions: auctions.ranks[1],
        rank3_auctions: auctions.ranks[2],
    }
}

pub(super) fn q15(job: &Job) {
    let counts = job
        .events(Event::into_bid)
        .key_by(|bid: &Bid| bid.date_time.day())
        .process(Count::new(job.changelog(), day_row));
    job.write(&counts.name("counts"));
}

#[derive(Clone, Serialize, Deserialize)]
struct ChannelRow {
    op: Op,
    channel: Str,
    day: Str,
    minute: Str,
    total_bids: u64,
    rank1_bids: u64,
    rank2_bids: u64,
    rank3_bids: u64,
    total_bidders: u64,
    rank1_bidders: u64,
    rank2_bidders: u64,
    rank3_bidders: u64,
    total_auctions: u64,
    rank1_auctions: u64,
    rank2_auctions: u64,
    rank3_auctions: u64,
}

fn channel_row((channel, day): &(Str, i64), tally: &Tally, op: Op) -> ChannelRow {
    let Tally { last_minute, bids, bidders, auctions } = tally;
    ChannelRow {
        op,
        channel: channel.clone(),
        day: day_text(*day).into(),
        minute: minute_text(*last_minute).into(),
        total_bids: bids.total,
        rank1_bids: bids.ranks[0],
        rank2_bids: bids.ranks[1],
        rank3_bids: bids.ranks[2],
        total_bidders: bidders.total,
        rank1_bidders: bidders.ranks[0],
        rank2_bidders: bidders.ranks[1],
        rank3_bidders: bidders.ranks[2],
        total_auctions: auctions.total,
        rank1_auctions: auctions.ranks[0],
        rank2_auctions: auctions.ranks[1],
        rank3_auctions: auctions.ranks[2],
    }
}

pub(super) fn q16(job: &Job) {
    let by_channel = job.events(Event::into_bid).key_by(|bid: &ChannelBid| (bid.channel.clone(), bid.date_time.day()));
    job.write(&by_channel.process(Count::new(job.changelog(), channel_row)).name("counts"));
}

/// The prices of an auction's bids of a day.
#[derive(Clone)]
struct Prices;

part! {
    #[derive(Clone, Serialize)]
    struct PriceBid of Bid { auction: u64, price: u64, date_time: Timestamp }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct PriceState {
    bids: Counts,
    min: u64,
    max: u64,
    sum: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct PriceRow {
    op: Op,
    auction: u64,
    day: Str,
    total_bids: u64,
    rank1_bids: u64,
    rank2_bids: u64,
    rank3_bids: u64,
    min_price: u64,
    max_price: u64,
    avg_price: f64,
    sum_price: u64,
}

impl View<(u64, i64), PriceBid> for Prices {
    type State = PriceState;
    type Row = PriceRow;

    fn first(&self, bid: PriceBid) -> PriceState {
        let mut state = PriceState { bids: Counts::default(), min: bid.price, max: bid.price, sum: 0 };
        self.add(&mut state, bid);
        state
    }

    fn add(&self, state: &mut PriceState, PriceBid { price, .. }: PriceBid) -> bool {
        state.bids.total += 1;
        state.bids.ranks[rank(price)] += 1;
        (state.min, state.max) = (state.min.min(price), state.max.max(price));
        state.sum += price;
        true
    }

    fn row(&self, (auction, day): &(u64, i64), state: &PriceState, op: Op) -> PriceRow {
        let PriceState { bids, min, max, sum } = *state;
        PriceRow {
            op,
            auction: *auction,
            day: day_text(*day).into(),
            total_bids: bids.total,
            rank1_bids: bids.ranks[0],
            rank2_bids: bids.ranks[1],
            rank3_bids: bids.ranks[2],
            min_price: min,
            max_price: max,
            avg_price: sum as f64 / bids.total as f64,
            sum_price: sum,
        }
    }
}

pub(super) fn q17(job: &Job) {
    let prices = job.events(Event::into_bid).key_by(|bid: &PriceBid| (bid.auction, bid.date_time.day()));
    job.write(&prices.process(Maintain::new(Prices, job.changelog())).name("prices"));
}
