//! Queries in windows.

use std::time::Duration;

use flott::prelude::*;
use flott::windows::TumblingProcessingTimeWindows;
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::model::{Event, Unread, part};
use crate::timestamp::Timestamp;

const SIZE: Duration = Duration::from_secs(10);
const SIZE_MS: i64 = 10_000;
const SLIDE: Duration = Duration::from_secs(2);

part! {
    /// Who bids, and when.
    #[derive(Clone, Copy, Serialize)]
    struct Bidder of Bid { bidder: u64, date_time: Timestamp }
}

part! {
    /// What is bid for, and when.
    #[derive(Clone, Copy, Serialize)]
    struct Wanted of Bid { auction: u64, date_time: Timestamp }
}

fn bidders(job: &Job) -> DataStream<Bidder> {
    job.timed(Event::into_bid, |bid: &Bidder| bid.date_time)
}

/// How many bids an auction got in the window that ends then.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Hot {
    auction: u64,
    bids: u64,
    end_ms: i64,
}

/// The auctions with most bids.
#[derive(Clone)]
struct Hottest;

impl AggregateFunction<Hot> for Hottest {
    type Accumulator = (u64, Vec<u64>);
    type Output = (u64, Vec<u64>);

    fn create_accumulator(&self) -> (u64, Vec<u64>) {
        (0, Vec::new())
    }

    fn add(&self, hottest: &mut (u64, Vec<u64>), hot: Hot) {
        self.merge(hottest, (hot.bids, vec![hot.auction]));
    }

    fn merge(&self, hottest: &mut (u64, Vec<u64>), mut other: (u64, Vec<u64>)) {
        if other.0 > hottest.0 {
            *hottest = other;
        } else if other.0 == hottest.0 {
            hottest.1.append(&mut other.1);
        }
    }

    fn get_result(&self, hottest: &(u64, Vec<u64>)) -> (u64, Vec<u64>) {
        hottest.clone()
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct HotRow {
    auction: u64,
    num: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct HotWindowRow {
    auction: u64,
    num: u64,
    window_start: Timestamp,
    window_end: Timestamp,
}

fn hottest(job: &Job) -> DataStream<HotWindowRow> {
    let auctions = job.timed(Event::into_bid, |bid: &Wanted| bid.date_time);
    let counts = auctions.key_by(|bid| bid.auction).window(SlidingEventTimeWindows::of(SIZE, SLIDE)).count();
    let mut best = (i64::MIN, 0);
    let candidates = counts.process(
        move |(auction, bids): (u64, u64), ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, Hot>| {
            // A window's result has its last moment as timestamp. The counts of a window come one behind the other, so most that
            // are beaten in this subtask already need not be sent to where all are compared.
            let end_ms = ctx.timestamp().map_or(i64::MAX, |last| last.0 + 1);
            if best.0 != end_ms {
                best = (end_ms, 0);
            }
            if bids >= best.1 {
                best.1 = bids;
                out.collect(Hot { auction, bids, end_ms });
            }
        },
    );
    // Windows end every two seconds, so this one has the results of exactly one.
    let windows = candidates.key_by(|hot| hot.end_ms).window(TumblingEventTimeWindows::of(SLIDE));
    windows.aggregate(Hottest).flat_map(|(end_ms, (num, auctions)), out: &mut Collector<'_, HotWindowRow>| {
        let (window_start, window_end) = (Timestamp(end_ms - SIZE_MS), Timestamp(end_ms));
        out.extend(auctions.into_iter().map(|auction| HotWindowRow { auction, num, window_start, window_end }));
    })
}

pub(super) fn q5(job: &Job) {
    job.write(&hottest(job).map(|HotWindowRow { auction, num, .. }| HotRow { auction, num }));
}

pub(super) fn q5w(job: &Job) {
    job.write(&hottest(job));
}

part! {
    #[derive(Clone, Debug, PartialEq, Serialize)]
    struct PriceRow of Bid { auction: u64, price: u64, bidder: u64, date_time: Timestamp, extra: Str }
}

/// A bid that may be as high as the highest of the window that ends then.
#[derive(Clone, Serialize, Deserialize)]
struct Candidate {
    end_ms: i64,
    bid: PriceRow,
}

impl Candidate {
    /// A bid at the very end of a window is not in it, but is shown with it when it is as high.
    fn is_inside(&self) -> bool {
        self.bid.date_time.0 < self.end_ms
    }
}

/// Drops bids that are beaten in this subtask already: with equal prices everywhere none, and else nearly all.
#[derive(Clone, Default)]
struct Beaten {
    /// Of the present window and the one before, each with its highest price, so that a little disorder costs nothing.
    highest: [(i64, u64); 2],
}

impl Beaten {
    fn is_beaten(&mut self, candidate: &Candidate) -> bool {
        let slot = &mut self.highest[(candidate.end_ms / SIZE_MS).rem_euclid(2) as usize];
        if slot.0 != candidate.end_ms {
            *slot = (candidate.end_ms, 0);
        }
        let beaten = candidate.bid.price < slot.1;
        if candidate.is_inside() {
            slot.1 = slot.1.max(candidate.bid.price);
        }
        beaten
    }
}

/// The highest bids of a window, by its end.
#[derive(Clone, Default)]
struct HighestBids {
    price: ValueState<u64>,
    /// As high as the price at least.
    bids: ListState<Candidate>,
}

impl KeyedProcessFunction<i64, Candidate, PriceRow> for HighestBids {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, i64>) -> Result<(), Failure> {
        self.price = ctx.value_state("highest price");
        self.bids = ctx.list_state("bids");
        Ok(())
    }

    fn process_element(
        &mut self,
        candidate: Candidate,
        ctx: &mut KeyedContext<'_, i64>,
        _out: &mut Collector<'_, PriceRow>,
    ) {
        // The end itself counts for what is shown, so the window is over when the watermark has come to it.
        let end = EventTime(candidate.end_ms);
        if ctx.current_watermark() >= end {
            return;
        }
        ctx.timer_service().register_event_time_timer(end);
        let highest = self.price.value(ctx).copied().unwrap_or(0);
        if candidate.bid.price < highest {
            return;
        }
        if candidate.is_inside() && candidate.bid.price > highest {
            let price = candidate.bid.price;
            self.price.update(ctx, price);
            let still: Vec<Candidate> =
                self.bids.take(ctx).into_iter().filter(|other| other.bid.price >= price).collect();
            self.bids.update(ctx, still);
        }
        self.bids.add(ctx, candidate);
    }

    fn on_timer(&mut self, _timer: Timer, ctx: &mut KeyedContext<'_, i64>, out: &mut Collector<'_, PriceRow>) {
        let highest = self.price.take(ctx);
        let bids = self.bids.take(ctx).into_iter().map(|candidate| candidate.bid);
        out.extend(bids.filter(|bid| Some(bid.price) == highest));
    }
}

pub(super) fn q7(job: &Job) {
    let bids = job.timed(Event::into_bid, |bid: &PriceRow| bid.date_time);
    let mut beaten = Beaten::default();
    let candidates = bids.flat_map(move |bid, out: &mut Collector<'_, Candidate>| {
        let start_ms = bid.date_time.0.div_euclid(SIZE_MS) * SIZE_MS;
        let before = (start_ms == bid.date_time.0).then(|| Candidate { end_ms: start_ms, bid: bid.clone() });
        let inside = Candidate { end_ms: start_ms + SIZE_MS, bid };
        out.extend(before.into_iter().chain([inside]).filter(|candidate| !beaten.is_beaten(candidate)));
    });
    job.write(&candidates.key_by(|candidate| candidate.end_ms).process(HighestBids::default()).name("highest-bids"));
}

part! {
    struct NewPerson of Person { id: u64, name: Str, date_time: Timestamp }
}

part! {
    struct Sale of Auction { seller: u64, date_time: Timestamp }
}

/// Somebody joins, or somebody sells.
#[derive(Clone, Serialize, Deserialize)]
struct Seen {
    id: u64,
    /// Of one who joins.
    name: Option<Str>,
    date_time: Timestamp,
}

fn seen(event: Event<NewPerson, Sale, Unread>) -> Option<Seen> {
    match event {
        Event::Person(NewPerson { id, name, date_time }) => Some(Seen { id, name: Some(name), date_time }),
        Event::Auction(Sale { seller, date_time }) => Some(Seen { id: seller, name: None, date_time }),
        Event::Bid(_) => None,
    }
}

/// Who joined, and whether they sell.
#[derive(Clone)]
struct JoinedAndSells;

impl AggregateFunction<Seen> for JoinedAndSells {
    type Accumulator = (Vec<Str>, bool);
    type Output = Vec<Str>;

    fn create_accumulator(&self) -> Self::Accumulator {
        (Vec::new(), false)
    }

    fn add(&self, (names, sells): &mut Self::Accumulator, seen: Seen) {
        match seen.name {
            Some(name) if !names.contains(&name) => names.push(name),
            Some(_) => {}
            None => *sells = true,
        }
    }

    fn merge(&self, (names, sells): &mut Self::Accumulator, (other_names, other_sells): Self::Accumulator) {
        names.extend(other_names.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
        *sells |= other_sells;
    }

    fn get_result(&self, (names, sells): &Self::Accumulator) -> Vec<Str> {
        if *sells { names.clone() } else { Vec::new() }
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct NewSellerRow {
    id: u64,
    name: Str,
    stime: Timestamp,
}

pub(super) fn q8(job: &Job) {
    let seen = job.timed(seen, |seen| seen.date_time);
    let windows = seen.key_by(|seen| seen.id).window(TumblingEventTimeWindows::of(SIZE));
    job.write(&windows.aggregate_with(
        JoinedAndSells,
        |names: Vec<Str>, ctx: &mut WindowContext<'_, u64>, out: &mut Collector<'_, NewSellerRow>| {
            let (id, stime) = (*ctx.current_key(), Timestamp(ctx.window().start.0));
            out.extend(names.into_iter().map(|name| NewSellerRow { id, name, stime }));
        },
    ));
}

/// Counts.
#[derive(Clone)]
struct Count;

impl<T> AggregateFunction<T> for Count {
    type Accumulator = u64;
    type Output = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    fn add(&self, count: &mut u64, _record: T) {
        *count += 1;
    }

    fn merge(&self, count: &mut u64, other: u64) {
        *count += other;
    }

    fn get_result(&self, count: &u64) -> u64 {
        *count
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct BidderRow {
    bidder: u64,
    bid_count: u64,
    starttime: Timestamp,
    endtime: Timestamp,
}

pub(super) fn q11(job: &Job) {
    let sessions = bidders(job).key_by(|bid| bid.bidder).window(EventTimeSessionWindows::with_gap(SIZE));
    job.write(&sessions.aggregate_with(
        Count,
        |bid_count: u64, ctx: &mut WindowContext<'_, u64>, out: &mut Collector<'_, BidderRow>| {
            let TimeWindow { start, end } = ctx.window();
            let (starttime, endtime) = (Timestamp(start.0), Timestamp(end.0));
            out.collect(BidderRow { bidder: *ctx.current_key(), bid_count, starttime, endtime });
        },
    ));
}

/// The counts of windows of ten seconds, with the windows: a result has the window's last moment as timestamp.
fn with_window(counts: &DataStream<(u64, u64)>) -> DataStream<BidderRow> {
    counts.process(
        |(bidder, bid_count): (u64, u64), ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, BidderRow>| {
            let end_ms = ctx.timestamp().map_or(0, |last| last.0 + 1);
            let (starttime, endtime) = (Timestamp(end_ms - SIZE_MS), Timestamp(end_ms));
            out.collect(BidderRow { bidder, bid_count, starttime, endtime });
        },
    )
}

pub(super) fn q12(job: &Job) {
    let windows = bidders(job).key_by(|bid| bid.bidder).window(TumblingProcessingTimeWindows::of(SIZE));
    job.write(&with_window(&windows.count()));
}

pub(super) fn q12e(job: &Job) {
    let windows = bidders(job).key_by(|bid| bid.bidder).window(TumblingEventTimeWindows::of(SIZE));
    job.write(&with_window(&windows.count()));
}
