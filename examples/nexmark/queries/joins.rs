//! Queries that join all there ever was: what each side has said is kept, since the other may still name it.

use flott::prelude::*;
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::model::Event;
use crate::timestamp::Timestamp;

const CATEGORY: u64 = 10;

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
    let sellers = job.events(|event| match event {
        Event::Person(person) if ["OR", "ID", "CA"].contains(&person.state.as_ref()) => Some(Seller::Person {
            id: person.id,
            name: Str::from(person.name.as_ref()),
            city: Str::from(person.city.as_ref()),
            state: Str::from(person.state.as_ref()),
        }),
        Event::Auction(auction) if auction.category == CATEGORY => {
            Some(Seller::Auction { id: auction.id, seller: auction.seller })
        }
        Event::Person(_) | Event::Auction(_) | Event::Bid(_) => None,
    });
    let sellers = sellers.key_by(|event| match event {
        Seller::Person { id, .. } => *id,
        Seller::Auction { seller, .. } => *seller,
    });
    job.write(&sellers.process(Sellers::default()).name("sellers"));
}

#[derive(Clone, Serialize, Deserialize)]
struct Item {
    name: Str,
    description: Str,
    initial_bid: u64,
    reserve: u64,
    date_time: Timestamp,
    expires: Timestamp,
    seller: u64,
    category: u64,
    extra: Str,
}

#[derive(Clone, Serialize, Deserialize)]
struct Bid {
    bidder: u64,
    price: u64,
    channel: Str,
    url: Str,
    date_time: Timestamp,
    extra: Str,
}

#[derive(Clone, Serialize, Deserialize)]
enum Lot {
    /// An auction opens; nothing is known of one that nobody asks for.
    Auction {
        id: u64,
        item: Option<Item>,
    },
    Bid {
        auction: u64,
        bid: Bid,
    },
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
            Lot::Auction { id, item } => {
                let early = self.early.take(ctx);
                if let Some(item) = &item {
                    out.extend(early.into_iter().map(|bid| bid_on(id, bid, item)));
                }
                self.item.update(ctx, item);
            }
            Lot::Bid { auction, bid } => match self.item.value(ctx) {
                Some(Some(item)) => out.collect(bid_on(auction, bid, item)),
                Some(None) => {}
                None => self.early.add(ctx, bid),
            },
        }
    }
}

fn bid_on(auction: u64, bid: Bid, item: &Item) -> BidOnItem {
    let Bid { bidder, price, channel, url, date_time, extra } = bid;
    BidOnItem {
        auction,
        bidder,
        price,
        channel,
        url,
        bid_date_time: date_time,
        bid_extra: extra,
        item_name: item.name.clone(),
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
    let lots = job.events(|event| match event {
        Event::Person(_) => None,
        Event::Auction(auction) => {
            let item = (auction.category == CATEGORY).then(|| Item {
                name: Str::from(auction.item_name.as_ref()),
                description: Str::from(auction.description.as_ref()),
                initial_bid: auction.initial_bid,
                reserve: auction.reserve,
                date_time: auction.date_time,
                expires: auction.expires,
                seller: auction.seller,
                category: auction.category,
                extra: Str::from(auction.extra.as_ref()),
            });
            Some(Lot::Auction { id: auction.id, item })
        }
        Event::Bid(bid) => {
            let (channel, url) = (Str::from(bid.channel.as_ref()), Str::from(bid.url.as_ref()));
            let (bidder, price, date_time) = (bid.bidder, bid.price, bid.date_time);
            let extra = Str::from(bid.extra.as_ref());
            Some(Lot::Bid { auction: bid.auction, bid: Bid { bidder, price, channel, url, date_time, extra } })
        }
    });
    let lots = lots.key_by(|lot| match lot {
        Lot::Auction { id, .. } => *id,
        Lot::Bid { auction, .. } => *auction,
    });
    job.write(&lots.process(BidsOnItems::default()).name("bids-on-items"));
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
    let facts = job.events(|event| {
        Some(match event {
            Event::Person(person) => Fact::Joins { person: person.id, name: Str::from(person.name.as_ref()) },
            Event::Auction(auction) => {
                Fact::Sells { person: auction.seller, item: Str::from(auction.item_name.as_ref()), auction: auction.id }
            }
            Event::Bid(bid) => Fact::Bids { person: bid.bidder, price: bid.price },
        })
    });
    let facts = facts.key_by(|fact| match fact {
        Fact::Joins { person, .. } | Fact::Sells { person, .. } | Fact::Bids { person, .. } => *person,
    });
    job.write(&facts.process(Traders::default()).name("traders"));
}
