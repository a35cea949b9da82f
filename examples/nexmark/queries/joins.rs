//! Queries that join all there ever was: what each side has said is kept, since the other may still name it.

use flott::prelude::*;
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::model::{Event, Unread, part};
use crate::timestamp::Timestamp;

const CATEGORY: u64 = 10;

part! {
    struct Inhabitant of Person { id: u64, name: Str, city: Str, state: Str }
}

part! {
    struct Sale of Auction { id: u64, seller: u64, category: u64 }
}

/// A person, or something that names a person.
#[derive(Clone, Serialize, Deserialize)]
enum Seller {
    Person { id: u64, name: Str, city: Str, state: Str },
    Auction { id: u64, seller: u64 },
}

#[derive(Clone, Serialize, Deserialize)]
struct SellerRow {
    name: Str,
    city: Str,
    state: Str,
    id: u64,
}

/// The people of an id, and their auctions.
#[derive(Clone, Default)]
struct Sellers {
    people: ListState<(Str, Str, Str)>,
    auctions: ListState<u64>,
}

impl KeyedProcessFunction<u64, Seller, SellerRow> for Sellers {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.people = ctx.list_state("people");
        self.auctions = ctx.list_state("auctions");
        Ok(())
    }

    fn process_element(&mut self, event: Seller, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, SellerRow>) {
        let row = |(name, city, state): (Str, Str, Str), id| SellerRow { name, city, state, id };
        match event {
            Seller::Person { name, city, state, .. } => {
                let person = (name, city, state);
                out.extend(self.auctions.get(ctx).iter().map(|id| row(person.clone(), *id)));
                self.people.add(ctx, person);
            }
            Seller::Auction { id, .. } => {
                out.extend(self.people.get(ctx).iter().map(|person| row(person.clone(), id)));
                self.auctions.add(ctx, id);
            }
        }
    }
}

pub(super) fn q3(job: &Job) {
    let sellers = job.events(|event: Event<Inhabitant, Sale, Unread>| match event {
        Event::Person(Inhabitant { id, name, city, state }) => {
            ["OR", "ID", "CA"].contains(&state.as_str()).then_some(Seller::Person { id, name, city, state })
        }
        Event::Auction(Sale { id, seller, category }) => {
            (category == CATEGORY).then_some(Seller::Auction { id, seller })
        }
        Event::Bid(_) => None,
    });
    let sellers = sellers.key_by(|event| match event {
        Seller::Person { id, .. } => *id,
        Seller::Auction { seller, .. } => *seller,
    });
    job.write(&sellers.process(Sellers::default()).name("sellers"));
}

part! {
    #[derive(Clone, Serialize)]
    struct Item of Auction {
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

part! {
    #[derive(Clone, Serialize)]
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

#[derive(Clone, Serialize, Deserialize)]
enum Lot {
    /// An auction opens; nothing is known of one that nobody asks for.
    Auction {
        id: u64,
        item: Option<Item>,
    },
    Bid(Bid),
}

#[derive(Clone, Serialize, Deserialize)]
struct BidOnItem {
    auction: u64,
    bidder: u64,
    price: u64,
    channel: Str,
    url: Str,
    #[serde(rename = "bid_dateTime")]
    bid_date_time: Timestamp,
    bid_extra: Str,
    #[serde(rename = "itemName")]
    item_name: Str,
    description: Str,
    #[serde(rename = "initialBid")]
    initial_bid: u64,
    reserve: u64,
    #[serde(rename = "auction_dateTime")]
    auction_date_time: Timestamp,
    expires: Timestamp,
    seller: u64,
    category: u64,
    auction_extra: Str,
}

/// What is known of an auction, and bids that came before it.
#[derive(Clone, Default)]
struct BidsOnItems {
    item: ValueState<Option<Item>>,
    early: ListState<Bid>,
}

impl KeyedProcessFunction<u64, Lot, BidOnItem> for BidsOnItems {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.item = ctx.value_state("item");
        self.early = ctx.list_state("early bids");
        Ok(())
    }

    fn process_element(&mut self, lot: Lot, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, BidOnItem>) {
        match lot {
            Lot::Auction { item, .. } => {
                let early = self.early.take(ctx);
                if let Some(item) = &item {
                    out.extend(early.into_iter().map(|bid| bid_on(bid, item)));
                }
                self.item.update(ctx, item);
            }
            Lot::Bid(bid) => match self.item.value(ctx) {
                Some(Some(item)) => out.collect(bid_on(bid, item)),
                Some(None) => {}
                None => self.early.add(ctx, bid),
            },
        }
    }
}

fn bid_on(bid: Bid, item: &Item) -> BidOnItem {
    let Bid { auction, bidder, price, channel, url, date_time, extra } = bid;
    BidOnItem {
        auction,
        bidder,
        price,
        channel,
        url,
        bid_date_time: date_time,
        bid_extra: extra,
        item_name: item.item_name.clone(),
        description: item.description.clone(),
        initial_bid: item.initial_bid,
        reserve: item.reserve,
        auction_date_time: item.date_time,
        expires: item.expires,
        seller: item.seller,
        category: item.category,
        auction_extra: item.extra.clone(),
    }
}

pub(super) fn q20(job: &Job) {
    let lots = job.events(|event: Event<Unread, Item, Bid>| match event {
        Event::Person(_) => None,
        Event::Auction(item) => {
            Some(Lot::Auction { id: item.id, item: Some(item).filter(|item| item.category == CATEGORY) })
        }
        Event::Bid(bid) => Some(Lot::Bid(bid)),
    });
    let lots = lots.key_by(|lot| match lot {
        Lot::Auction { id, .. } => *id,
        Lot::Bid(bid) => bid.auction,
    });
    job.write(&lots.process(BidsOnItems::default()).name("bids-on-items"));
}

part! {
    struct Named of Person { id: u64, name: Str }
}

part! {
    struct Offered of Auction { id: u64, item_name: Str, seller: u64 }
}

part! {
    struct Paid of Bid { bidder: u64, price: u64 }
}

/// Something about a person.
#[derive(Clone, Serialize, Deserialize)]
enum Fact {
    Joins { person: u64, name: Str },
    Sells { person: u64, item: Str, auction: u64 },
    Bids { person: u64, price: u64 },
}

#[derive(Clone, Serialize, Deserialize)]
struct Trader {
    bidder: u64,
    price: u64,
    person_id: u64,
    name: Str,
    #[serde(rename = "itemName")]
    item_name: Str,
    seller: u64,
    auction: u64,
}

/// All that is known of a person.
#[derive(Clone, Default)]
struct Traders {
    names: ListState<Str>,
    items: ListState<(Str, u64)>,
    prices: ListState<u64>,
}

impl KeyedProcessFunction<u64, Fact, Trader> for Traders {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.names = ctx.list_state("names");
        self.items = ctx.list_state("items");
        self.prices = ctx.list_state("prices");
        Ok(())
    }

    fn process_element(&mut self, fact: Fact, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, Trader>) {
        let person = *ctx.current_key();
        let (names, items, prices) = (self.names.get(ctx), self.items.get(ctx), self.prices.get(ctx));
        let mut all = |names: &[Str], items: &[(Str, u64)], prices: &[u64]| {
            for (name, (item_name, auction)) in names.iter().flat_map(|name| items.iter().map(move |item| (name, item)))
            {
                out.extend(prices.iter().map(|price| Trader {
                    bidder: person,
                    price: *price,
                    person_id: person,
                    name: name.clone(),
                    item_name: item_name.clone(),
                    seller: person,
                    auction: *auction,
                }));
            }
        };
        match fact {
            Fact::Joins { name, .. } => {
                all(std::slice::from_ref(&name), items, prices);
                self.names.add(ctx, name);
            }
            Fact::Sells { item, auction, .. } => {
                let item = (item, auction);
                all(names, std::slice::from_ref(&item), prices);
                self.items.add(ctx, item);
            }
            Fact::Bids { price, .. } => {
                all(names, items, &[price]);
                self.prices.add(ctx, price);
            }
        }
    }
}

pub(super) fn q23(job: &Job) {
    let facts = job.events(|event: Event<Named, Offered, Paid>| {
        Some(match event {
            Event::Person(Named { id, name }) => Fact::Joins { person: id, name },
            Event::Auction(Offered { id, item_name, seller }) => {
                Fact::Sells { person: seller, item: item_name, auction: id }
            }
            Event::Bid(Paid { bidder, price }) => Fact::Bids { person: bidder, price },
        })
    });
    let facts = facts.key_by(|fact| match fact {
        Fact::Joins { person, .. } | Fact::Sells { person, .. } | Fact::Bids { person, .. } => *person,
    });
    job.write(&facts.process(Traders::default()).name("traders"));
}
