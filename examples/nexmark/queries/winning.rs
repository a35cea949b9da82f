//! Queries of the bids that win: the highest one made while the auction was open, of equal ones the first.

use std::cmp::Reverse;

use flott::engine::record::Record;
use flott::prelude::*;
use serde::{Deserialize, Serialize};

use crate::changelog::{Changelog, Maintain, Op, View, call_at_the_end};
use crate::job::Job;
use crate::model::{Auction, Bid, Event, PartOf, Unread, part};
use crate::timestamp::Timestamp;

/// A bid, with whatever else a query wants of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Offer<X> {
    price: u64,
    date_time: Timestamp,
    bidder: u64,
    more: X,
}

impl<X: Ord> Offer<X> {
    /// Whether it wins over another. What decides behind price and time makes the winner independent of the order they come in.
    fn beats(&self, other: &Self) -> bool {
        let rank = |offer: &Self| (offer.price, Reverse(offer.date_time), Reverse(offer.bidder));
        (rank(self), Reverse(&self.more)) > (rank(other), Reverse(&other.more))
    }
}

/// An auction, with whatever else a query wants of it; or a bid.
#[derive(Clone, Serialize, Deserialize)]
enum Lot<A, X> {
    Auction { id: u64, open: (Timestamp, Timestamp), more: A },
    Bid { auction: u64, offer: Offer<X> },
}

/// An auction has a winner, or another one than before.
#[derive(Clone, Serialize, Deserialize)]
struct Won<A, X> {
    auction: u64,
    more: A,
    before: Option<Offer<X>>,
    now: Offer<X>,
}

/// What is known of an auction.
#[derive(Clone, Serialize, Deserialize)]
enum Known<A, X> {
    /// Bids came before it.
    Bids(Vec<Offer<X>>),
    Auction {
        open: (Timestamp, Timestamp),
        more: A,
        winner: Option<Offer<X>>,
    },
}

/// Finds winners.
struct Winning<A: Record, X: Record> {
    final_only: bool,
    known: ValueState<Known<A, X>>,
}

impl<A: Record, X: Record> Clone for Winning<A, X> {
    fn clone(&self) -> Self {
        Self { final_only: self.final_only, known: ValueState::default() }
    }
}

impl<A: Record, X: Record + Ord> KeyedProcessFunction<u64, Lot<A, X>, Won<A, X>> for Winning<A, X> {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.known = ctx.value_state("auction");
        Ok(())
    }

    fn process_element(&mut self, lot: Lot<A, X>, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, Won<A, X>>) {
        let auction = *ctx.current_key();
        let known = self.known.get_or_insert_with(ctx, || Known::Bids(Vec::new()));
        let won = match (lot, &mut *known) {
            (Lot::Auction { open, more, .. }, Known::Bids(early)) => {
                let early = std::mem::take(early).into_iter().filter(|offer| is_in(open, offer));
                let winner = early.reduce(|best, offer| if offer.beats(&best) { offer } else { best });
                let won = winner.clone().map(|now| Won { auction, more: more.clone(), before: None, now });
                *known = Known::Auction { open, more, winner };
                won
            }
            // An id names one auction.
            (Lot::Auction { .. }, Known::Auction { .. }) => None,
            (Lot::Bid { offer, .. }, Known::Bids(early)) => {
                early.push(offer);
                None
            }
            (Lot::Bid { offer, .. }, Known::Auction { open, more, winner }) => {
                let wins = is_in(*open, &offer) && winner.as_ref().is_none_or(|winner| offer.beats(winner));
                wins.then(|| {
                    let before = winner.replace(offer.clone());
                    Won { auction, more: more.clone(), before, now: offer }
                })
            }
        };
        match won {
            Some(Won { before: None, .. }) if self.final_only => call_at_the_end(ctx),
            Some(_) if self.final_only => {}
            won => out.extend(won),
        }
    }

    fn on_timer(&mut self, _timer: Timer, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, Won<A, X>>) {
        if let Some(Known::Auction { more, winner: Some(winner), .. }) = self.known.value(ctx) {
            let (auction, more, now) = (*ctx.current_key(), more.clone(), winner.clone());
            out.collect(Won { auction, more, before: None, now });
        }
    }
}

fn is_in<X>((opens, expires): (Timestamp, Timestamp), offer: &Offer<X>) -> bool {
    opens <= offer.date_time && offer.date_time <= expires
}

/// The winning bids, as they change, of `LA` and `LB`: what is read of an auction, and of a bid.
fn winning<LA, LB, A: Record, X: Record + Ord>(job: &Job) -> DataStream<Won<A, X>>
where
    LA: for<'a> PartOf<Auction<'a>> + Into<Lot<A, X>> + 'static,
    LB: for<'a> PartOf<Bid<'a>> + Into<Lot<A, X>> + 'static,
{
    let lots = job.events(|event: Event<Unread, LA, LB>| match event {
        Event::Person(_) => None,
        Event::Auction(auction) => Some(auction.into()),
        Event::Bid(bid) => Some(bid.into()),
    });
    let lots = lots.key_by(|lot| match lot {
        Lot::Auction { id, .. } => *id,
        Lot::Bid { auction, .. } => *auction,
    });
    let final_only = job.changelog().final_only;
    lots.process(Winning { final_only, known: ValueState::default() }).name("winning-bids")
}

part! {
    struct Price of Bid { auction: u64, bidder: u64, price: u64, date_time: Timestamp }
}

impl<A> From<Price> for Lot<A, ()> {
    fn from(Price { auction, bidder, price, date_time }: Price) -> Self {
        Self::Bid { auction, offer: Offer { price, date_time, bidder, more: () } }
    }
}

part! {
    struct InCategory of Auction { id: u64, date_time: Timestamp, expires: Timestamp, category: u64 }
}

impl<X> From<InCategory> for Lot<u64, X> {
    fn from(InCategory { id, date_time, expires, category }: InCategory) -> Self {
        Self::Auction { id, open: (date_time, expires), more: category }
    }
}

/// The mean of a category's winning prices.
#[derive(Clone)]
struct Mean;

#[derive(Clone, Serialize, Deserialize)]
struct MeanRow {
    op: Op,
    id: u64,
    #[serde(rename = "final")]
    price: f64,
}

impl View<u64, Won<u64, ()>> for Mean {
    type State = (u64, u64);
    type Row = MeanRow;

    fn first(&self, won: Won<u64, ()>) -> (u64, u64) {
        let mut state = (0, 0);
        self.add(&mut state, won);
        state
    }

    fn add(&self, (sum, count): &mut (u64, u64), won: Won<u64, ()>) -> bool {
        let before = (*sum, *count);
        // A lower winner is possible only before it, so the sum never falls below what is taken back.
        *sum = *sum + won.now.price - won.before.as_ref().map_or(0, |before| before.price);
        *count += u64::from(won.before.is_none());
        before != (*sum, *count)
    }

    fn row(&self, category: &u64, (sum, count): &(u64, u64), op: Op) -> MeanRow {
        MeanRow { op, id: *category, price: *sum as f64 / *count as f64 }
    }
}

pub(super) fn q4(job: &Job) {
    let won = winning::<InCategory, Price, _, _>(job);
    job.write(&won.key_by(|won| won.more).process(Maintain::new(Mean, job.changelog())).name("mean-price"));
}

part! {
    struct OfSeller of Auction { id: u64, date_time: Timestamp, expires: Timestamp, seller: u64 }
}

impl<X> From<OfSeller> for Lot<u64, X> {
    fn from(OfSeller { id, date_time, expires, seller }: OfSeller) -> Self {
        Self::Auction { id, open: (date_time, expires), more: seller }
    }
}

/// The mean price of a seller's last ten auctions, by the time of the winning bid.
#[derive(Clone)]
struct MeanOfLast;

const LAST: usize = 10;

#[derive(Clone, Serialize, Deserialize)]
struct SellerRow {
    op: Op,
    seller: u64,
    avg_price: f64,
}

impl MeanOfLast {
    fn mean(sales: &[(Timestamp, u64, u64)]) -> f64 {
        let last = &sales[sales.len().saturating_sub(LAST)..];
        last.iter().map(|(_, _, price)| *price).sum::<u64>() as f64 / last.len() as f64
    }
}

impl View<u64, Won<u64, ()>> for MeanOfLast {
    /// Time of the winning bid, auction, and price, in this order. All, since a later winner of one of the last moves it.
    type State = Vec<(Timestamp, u64, u64)>;
    type Row = SellerRow;

    fn first(&self, won: Won<u64, ()>) -> Self::State {
        vec![(won.now.date_time, won.auction, won.now.price)]
    }

    fn add(&self, sales: &mut Self::State, won: Won<u64, ()>) -> bool {
        let mean = Self::mean(sales);
        let sale = |offer: &Offer<()>| (offer.date_time, won.auction, offer.price);
        if let Some(at) = won.before.as_ref().and_then(|before| sales.binary_search(&sale(before)).ok()) {
            sales.remove(at);
        }
        let sale = sale(&won.now);
        let at = sales.partition_point(|other| *other < sale);
        sales.insert(at, sale);
        Self::mean(sales) != mean
    }

    fn row(&self, seller: &u64, sales: &Self::State, op: Op) -> SellerRow {
        SellerRow { op, seller: *seller, avg_price: Self::mean(sales) }
    }
}

pub(super) fn q6(job: &Job) {
    let won = winning::<OfSeller, Price, _, _>(job);
    job.write(&won.key_by(|won| won.more).process(Maintain::new(MeanOfLast, job.changelog())).name("mean-price"));
}

part! {
    /// What q9 shows of an auction.
    #[derive(Clone, Serialize)]
    struct Shown of Auction {
        id: u64,
        item_name: Str,
        description: Str,
        initial_bid: u64,
        reserve: u64,
        date_time: Timestamp,
        expires: Timestamp,
        seller: u64,
        category: u64,
        extra: Str,
    }
}

impl<X> From<Shown> for Lot<Shown, X> {
    fn from(shown: Shown) -> Self {
        Self::Auction { id: shown.id, open: (shown.date_time, shown.expires), more: shown }
    }
}

part! {
    struct ShownBid of Bid { auction: u64, bidder: u64, price: u64, date_time: Timestamp, extra: Str }
}

impl<A> From<ShownBid> for Lot<A, Str> {
    fn from(ShownBid { auction, bidder, price, date_time, extra }: ShownBid) -> Self {
        Self::Bid { auction, offer: Offer { price, date_time, bidder, more: extra } }
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct WinnerRow {
    op: Op,
    id: u64,
    #[serde(rename = "itemName")]
    item_name: Str,
    description: Str,
    #[serde(rename = "initialBid")]
    initial_bid: u64,
    reserve: u64,
    #[serde(rename = "dateTime")]
    date_time: Timestamp,
    expires: Timestamp,
    seller: u64,
    category: u64,
    extra: Str,
    auction: u64,
    bidder: u64,
    price: u64,
    #[serde(rename = "bid_dateTime")]
    bid_date_time: Timestamp,
    bid_extra: Str,
}

fn winner_row(op: Op, shown: Shown, offer: Offer<Str>) -> WinnerRow {
    let Shown { id, item_name, description, initial_bid, reserve, date_time, expires, seller, category, extra } = shown;
    WinnerRow {
        op,
        id,
        item_name,
        description,
        initial_bid,
        reserve,
        date_time,
        expires,
        seller,
        category,
        extra,
        auction: id,
        bidder: offer.bidder,
        price: offer.price,
        bid_date_time: offer.date_time,
        bid_extra: offer.more,
    }
}

fn tell_winner(changelog: Changelog, won: Won<Shown, Str>, out: &mut Collector<'_, WinnerRow>) {
    let Won { more, before, now, .. } = won;
    let shown = more.clone();
    let before = before.map(|before| move |op| winner_row(op, shown, before));
    changelog.tell(before, |op| winner_row(op, more, now), out);
}

pub(super) fn q9(job: &Job) {
    let won = winning::<Shown, ShownBid, _, _>(job);
    let changelog = job.changelog();
    job.write(&won.flat_map(move |won, out: &mut Collector<'_, WinnerRow>| tell_winner(changelog, won, out)));
}
