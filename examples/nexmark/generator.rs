//! The benchmark's events, made from a seed and their numbers alone.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::model::{Auction, Bid, Event, Person, Whole};
use crate::timestamp::Timestamp;

/// When the first event happens: 2015-07-15, as in the benchmark.
const BASE_MS: u64 = 1_436_918_400_000;
const FIRST_ID: u64 = 1000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
/// Of so many events one is a person, and three are auctions; the others are bids.
const CYCLE: u64 = 50;
const AUCTIONS_A_CYCLE: u64 = 3;
/// One in so many people, or auctions, is a hot one.
const HOT_EVERY: u64 = 100;
const AUCTIONS_IN_FLIGHT: u64 = 100;
const PEOPLE_ACTIVE: u64 = 1000;
/// So many of what does not exist yet is named as well.
const IDS_AHEAD: u64 = 10;
/// An auction lives about as long as so many events take.
const AUCTION_LIFE_EVENTS: u64 = AUCTIONS_IN_FLIGHT * CYCLE / AUCTIONS_A_CYCLE;
const CHANNELS: u64 = 10_000;
const LETTERS: usize = 64 << 10;

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

/// Makes events. Which, depends on the seed and the rate alone; each one on its number besides.
pub(crate) struct Generator {
    seed: u64,
    /// Events a second of event time.
    rate: u64,
    /// What texts are cut from.
    letters: String,
    /// Each channel with its url; the hot ones first.
    channels: Vec<(String, String)>,
}

impl Generator {
    /// Of events that happen `rate` a second, at least one.
    pub(crate) fn new(seed: u64, rate: u64) -> Self {
        let mut random = Random::new(seed, u64::MAX);
        let letters = (0..LETTERS).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
        let mut generator = Self { seed, rate: rate.max(1), letters, channels: Vec::new() };
        let hot = HOT_CHANNELS.iter().map(|channel| ((*channel).to_owned(), generator.url(&mut random)));
        let mut channels: Vec<_> = hot.collect();
        for number in 0..CHANNELS {
            let mut url = generator.url(&mut random);
            if random.below(10) > 0 {
                let id = (number as u32).reverse_bits() & (u32::MAX >> 1);
                url.push_str("&channel_id=");
                url.push_str(&id.to_string());
            }
            channels.push((format!("channel-{number}"), url));
        }
        generator.channels = channels;
        generator
    }

    /// Event `n`.
    pub(crate) fn event(&self, n: u64) -> Whole<'_> {
        let mut random = Random::new(self.seed, n);
        match n % CYCLE {
            0 => Event::Person(self.person(n, &mut random)),
            1..=AUCTIONS_A_CYCLE => Event::Auction(self.auction(n, &mut random)),
            _ => Event::Bid(self.bid(n, &mut random)),
        }
    }

    fn date_time(&self, n: u64) -> Timestamp {
        let behind_us = u128::from(n) * 1_000_000 / u128::from(self.rate);
        Timestamp((BASE_MS + (behind_us / 1000) as u64) as i64)
    }

    fn person(&self, n: u64, random: &mut Random) -> Person<'_> {
        let (first_name, last_name) = (*random.of(&FIRST_NAMES), *random.of(&LAST_NAMES));
        let name = format!("{first_name} {last_name}");
        let (user, host) = (self.text(random, 7), self.text(random, 5));
        let email_address = format!("{user}@{host}.com");
        let mut credit_card = String::with_capacity(19);
        for group in 0..4 {
            let gap = if group == 0 { "" } else { " " };
            let _ = write!(credit_card, "{gap}{:04}", random.below(10_000));
        }
        let (city, state) = (*random.of(&CITIES), *random.of(&STATES));
        let size = 8 + name.len() + email_address.len() + credit_card.len() + city.len() + state.len();
        Person {
            id: FIRST_ID + last_person(n),
            name: name.into(),
            email_address: email_address.into(),
            credit_card: credit_card.into(),
            city: city.into(),
            state: state.into(),
            date_time: self.date_time(n),
            extra: self.extra(random, size, 200),
        }
    }

    fn auction(&self, n: u64, random: &mut Random) -> Auction<'_> {
        let hot = random.below(4) > 0;
        let seller = if hot { last_person(n) / HOT_EVERY * HOT_EVERY } else { some_person(n, random) };
        let category = FIRST_CATEGORY + random.below(CATEGORIES);
        let initial_bid = random.price();
        let date_time = self.date_time(n);
        let life_ms = (self.date_time(n + AUCTION_LIFE_EVENTS).0 - date_time.0).max(1) as u64;
        let (item_name, description) = (self.text(random, 20), self.text(random, 100));
        let size = 8 + item_name.len() + description.len() + 5 * 8;
        Auction {
            id: FIRST_ID + last_auction(n),
            item_name: item_name.into(),
            description: description.into(),
            initial_bid,
            reserve: initial_bid + random.price(),
            date_time,
            expires: Timestamp(date_time.0 + (life_ms + random.below(life_ms + 1)) as i64),
            seller: FIRST_ID + seller,
            category,
            extra: self.extra(random, size, 500),
        }
    }

    fn bid(&self, n: u64, random: &mut Random) -> Bid<'_> {
        let last = last_auction(n);
        let auction = match random.below(2) > 0 {
            true => last / HOT_EVERY * HOT_EVERY,
            false => {
                let first = last.saturating_sub(AUCTIONS_IN_FLIGHT);
                first + random.below(last - first + 1 + IDS_AHEAD)
            }
        };
        let bidder = match random.below(4) > 0 {
            true => last_person(n) / HOT_EVERY * HOT_EVERY + 1,
            false => some_person(n, random),
        };
        let price = random.price();
        let hot = HOT_CHANNELS.len() as u64;
        let channel = if random.below(2) > 0 { random.below(hot) } else { hot + random.below(CHANNELS) };
        let (channel, url) = &self.channels[channel as usize];
        Bid {
            auction: FIRST_ID + auction,
            bidder: FIRST_ID + bidder,
            price,
            channel: channel.into(),
            url: url.into(),
            date_time: self.date_time(n),
            extra: self.extra(random, 4 * 8, 100),
        }
    }

    fn url(&self, random: &mut Random) -> String {
        let mut part = || self.letters(random, 5);
        format!("https://www.nexmark.com/{}/{}/{}/item.htm?query=1", part(), part(), part())
    }

    fn letters(&self, random: &mut Random, len: usize) -> &str {
        let start = random.below((LETTERS - len) as u64) as usize;
        &self.letters[start..start + len]
    }

    /// From three letters to fewer than so many.
    fn text(&self, random: &mut Random, len_max: u64) -> &str {
        let len = 3 + random.below(len_max - 3);
        self.letters(random, len as usize)
    }

    /// What makes an event of `size` bytes one of about `mean` bytes.
    fn extra(&self, random: &mut Random, size: usize, mean: usize) -> Cow<'_, str> {
        let Some(missing) = mean.checked_sub(size).filter(|missing| *missing > 0) else { return "".into() };
        let spread = (missing + 2) / 5;
        let len = missing - spread + if spread == 0 { 0 } else { random.below(2 * spread as u64) as usize };
        self.letters(random, len).into()
    }
}

/// The index of the last person at event `n`.
fn last_person(n: u64) -> u64 {
    n / CYCLE
}

/// The index of the last auction at event `n`. There is one from the beginning.
fn last_auction(n: u64) -> u64 {
    match n % CYCLE {
        0 => (n / CYCLE * AUCTIONS_A_CYCLE).saturating_sub(1),
        i => n / CYCLE * AUCTIONS_A_CYCLE + i.min(AUCTIONS_A_CYCLE) - 1,
    }
}

fn some_person(n: u64, random: &mut Random) -> u64 {
    let people = last_person(n) + 1;
    let active = people.min(PEOPLE_ACTIVE);
    people - active + random.below(active + IDS_AHEAD)
}

/// Random numbers: `SplitMix64`, which begins anew for each event at no cost.
struct Random(u64);

impl Random {
    fn new(seed: u64, n: u64) -> Self {
        let mut random = Self(seed ^ n.wrapping_mul(0xd1b5_4a32_d192_ed03));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to fewer than `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    fn of<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.below(values.len() as u64) as usize]
    }

    /// From a hundred to a hundred million, each power of ten as likely as the others.
    fn price(&mut self) -> u64 {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (10f64.powf(uniform * 6.0) * 100.0).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: u64) -> (Vec<Person<'static>>, Vec<Auction<'static>>, Vec<Bid<'static>>) {
        let generator: &'static Generator = Box::leak(Box::new(Generator::new(1, 10_000)));
        let (mut people, mut auctions, mut bids) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..count {
            match generator.event(n) {
                Event::Person(person) => people.push(person),
                Event::Auction(auction) => auctions.push(auction),
                Event::Bid(bid) => bids.push(bid),
            }
        }
        (people, auctions, bids)
    }

    #[test]
    fn an_event_depends_on_seed_and_number_alone() {
        let (a, b, other) = (Generator::new(7, 1000), Generator::new(7, 1000), Generator::new(8, 1000));
        for n in (0..10_000).rev() {
            assert_eq!(a.event(n), b.event(n));
        }
        assert_ne!(a.event(17), other.event(17));
    }

    #[test]
    fn events_come_in_the_proportions_of_the_benchmark() {
        let (people, auctions, bids) = events(500_000);
        assert_eq!((people.len(), auctions.len(), bids.len()), (10_000, 30_000, 460_000));
        assert!(people.iter().zip(1000..).all(|(person, id)| person.id == id));
        assert!(auctions.iter().zip(1000..).all(|(auction, id)| auction.id == id));
        let share = |count: usize, of: usize, expected: f64| {
            let share = count as f64 / of as f64;
            assert!((share - expected).abs() < 0.01, "{share} instead of {expected}");
        };
        share(bids.iter().filter(|bid| bid.auction % 100 == 0).count(), bids.len(), 0.505);
        share(bids.iter().filter(|bid| bid.bidder % 100 == 1).count(), bids.len(), 0.7525);
        share(auctions.iter().filter(|auction| auction.seller % 100 == 0).count(), auctions.len(), 0.7525);
        share(bids.iter().filter(|bid| HOT_CHANNELS.contains(&&*bid.channel)).count(), bids.len(), 0.5);
        share(bids.iter().filter(|bid| bid.url.contains("&channel_id=")).count(), bids.len(), 0.45);
        share(bids.iter().filter(|bid| bid.price < 10_000).count(), bids.len(), 1.0 / 3.0);
        assert!(auctions.iter().all(|auction| (10..15).contains(&auction.category)));
        assert!(bids.iter().all(|bid| (100..=100_000_000).contains(&bid.price)));
    }

    #[test]
    fn what_is_named_has_come_lately_or_comes_soon() {
        let (_, auctions, bids) = events(500_000);
        for (bid, i) in bids.iter().zip(0u64..) {
            let n = i / 46 * 50 + 4 + i % 46;
            let (last, person) = (1000 + last_auction(n), 1000 + last_person(n));
            assert!(bid.auction + 200 > last && bid.auction <= last + IDS_AHEAD);
            assert!(bid.bidder + 1100 > person && bid.bidder <= person + IDS_AHEAD);
        }
        for auction in &auctions {
            // 1666 events take 166 or 167 ms at this rate.
            let life = auction.expires.0 - auction.date_time.0;
            assert!((166..=334).contains(&life), "{life} ms");
        }
    }

    #[test]
    fn events_are_as_large_as_in_the_benchmark_on_average() {
        let (people, auctions, bids) = events(200_000);
        let mean = |sum: usize, count: usize| sum as f64 / count as f64;
        let people_bytes = people.iter().map(|p| {
            8 + p.name.len()
                + p.email_address.len()
                + p.credit_card.len()
                + p.city.len()
                + p.state.len()
                + p.extra.len()
        });
        let auction_bytes = auctions.iter().map(|a| 48 + a.item_name.len() + a.description.len() + a.extra.len());
        let bid_bytes = bids.iter().map(|b| 32 + b.extra.len());
        assert!((mean(people_bytes.sum(), people.len()) - 200.0).abs() < 2.0);
        assert!((mean(auction_bytes.sum(), auctions.len()) - 500.0).abs() < 2.0);
        assert!((mean(bid_bytes.sum(), bids.len()) - 100.0).abs() < 2.0);
    }
}
