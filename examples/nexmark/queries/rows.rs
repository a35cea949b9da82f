//! Queries that look at one bid at a time.

use std::sync::Arc;

use flott::prelude::*;
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::model::{Event, Unread, part};
use crate::timestamp::{Timestamp, day_text, minute_text};

/// Thousandths, written with a point: SQL's `decimal(23,3)`.
#[derive(Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
struct Decimal(f64);

impl Decimal {
    /// 0.908 × `price`, to the last digit for all prices below 9.9 × 10¹².
    fn in_euros(price: u64) -> Self {
        Self((price * 908) as f64 / 1000.0)
    }
}

part! {
    #[derive(Clone, Serialize)]
    struct Row of Bid { auction: u64, bidder: u64, price: u64, date_time: Timestamp, extra: Str }
}

fn bids(job: &Job) -> DataStream<Row> {
    job.events(Event::into_bid)
}

pub(super) fn none(job: &Job) {
    job.write(&job.events(|_: Event<Unread, Unread, Unread>| None::<u64>));
}

pub(super) fn q0(job: &Job) {
    job.write(&bids(job));
}

pub(super) fn q1(job: &Job) {
    #[derive(Clone, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct InEuros {
        auction: u64,
        bidder: u64,
        price: Decimal,
        date_time: Timestamp,
        extra: Str,
    }
    job.write(&bids(job).map(|Row { auction, bidder, price, date_time, extra }| InEuros {
        auction,
        bidder,
        price: Decimal::in_euros(price),
        date_time,
        extra,
    }));
}

pub(super) fn q2(job: &Job) {
    part! {
        #[derive(Clone, Serialize)]
        struct Price of Bid { auction: u64, price: u64 }
    }
    job.write(&job.events(Event::into_bid).filter(|bid: &Price| bid.auction.is_multiple_of(123)));
}

pub(super) fn q10(job: &Job) {
    #[derive(Clone, Serialize, Deserialize)]
    struct Filed {
        auction: u64,
        bidder: u64,
        price: u64,
        #[serde(rename = "dateTime")]
        date_time: Timestamp,
        extra: Str,
        dt: Str,
        hm: Str,
    }
    job.write(&bids(job).map(|Row { auction, bidder, price, date_time, extra }| {
        let dt = Str::from(day_text(date_time.day()));
        let hm = Str::from(minute_text(date_time.minute_of_day()));
        Filed { auction, bidder, price, date_time, extra, dt, hm }
    }));
}

pub(super) fn q13(job: &Job) {
    #[derive(Clone, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Enriched {
        auction: u64,
        bidder: u64,
        price: u64,
        date_time: Timestamp,
        value: Str,
    }
    let table: Arc<[Str]> = (0..10_000).map(|key| Str::from(key.to_string())).collect();
    part! {
        #[derive(Clone, Serialize)]
        struct Plain of Bid { auction: u64, bidder: u64, price: u64, date_time: Timestamp }
    }
    job.write(&job.events(Event::into_bid).map(move |Plain { auction, bidder, price, date_time }| {
        let value = table[(auction % table.len() as u64) as usize].clone();
        Enriched { auction, bidder, price, date_time, value }
    }));
}

pub(super) fn q14(job: &Job) {
    #[derive(Clone, Serialize, Deserialize)]
    struct Counted {
        auction: u64,
        bidder: u64,
        price: Decimal,
        #[serde(rename = "bidTimeType")]
        bid_time_type: Str,
        #[serde(rename = "dateTime")]
        date_time: Timestamp,
        extra: Str,
        c_counts: u64,
    }
    let (above, below) = (Decimal(1_000_000.0), Decimal(50_000_000.0));
    job.write(&bids(job).flat_map(move |bid, out: &mut Collector<'_, Counted>| {
        let price = Decimal::in_euros(bid.price);
        if price <= above || price >= below {
            return;
        }
        let Row { auction, bidder, date_time, extra, .. } = bid;
        let bid_time_type = Str::from(match date_time.hour() {
            8..=18 => "dayTime",
            ..=6 | 20.. => "nightTime",
            7 | 19 => "otherTime",
        });
        let c_counts = extra.bytes().filter(|byte| *byte == b'c').count() as u64;
        out.collect(Counted { auction, bidder, price, bid_time_type, date_time, extra, c_counts });
    }));
}

part! {
    #[derive(Clone, Serialize)]
    struct Visit of Bid { auction: u64, bidder: u64, price: u64, channel: Str, url: Str }
}

fn visits(job: &Job) -> DataStream<Visit> {
    job.events(Event::into_bid)
}

pub(super) fn q21(job: &Job) {
    #[derive(Clone, Serialize, Deserialize)]
    struct Numbered {
        auction: u64,
        bidder: u64,
        price: u64,
        channel: Str,
        channel_id: Str,
    }
    job.write(&visits(job).flat_map(|visit, out: &mut Collector<'_, Numbered>| {
        let Visit { auction, bidder, price, channel, url } = visit;
        if let Some(channel_id) = channel_id(&channel, &url).map(Str::from) {
            out.collect(Numbered { auction, bidder, price, channel, channel_id });
        }
    }));
}

/// The number of one of the four great channels; of others what the url says.
fn channel_id<'a>(channel: &str, url: &'a str) -> Option<&'a str> {
    let known = [("apple", "0"), ("google", "1"), ("facebook", "2"), ("baidu", "3")];
    if let Some((_, id)) = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(channel)) {
        return Some(id);
    }
    url.split('&').find_map(|parameter| parameter.strip_prefix("channel_id="))
}

pub(super) fn q22(job: &Job) {
    #[derive(Clone, Serialize, Deserialize)]
    struct Directories {
        auction: u64,
        bidder: u64,
        price: u64,
        channel: Str,
        dir1: Option<Str>,
        dir2: Option<Str>,
        dir3: Option<Str>,
    }
    job.write(&visits(job).map(|Visit { auction, bidder, price, channel, url }| {
        let mut parts = url.split('/').skip(3).map(Str::from);
        let (dir1, dir2, dir3) = (parts.next(), parts.next(), parts.next());
        Directories { auction, bidder, price, channel, dir1, dir2, dir3 }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_known_or_in_the_url() {
        assert_eq!(channel_id("GooGle", "x&channel_id=9"), Some("1"));
        assert_eq!(channel_id("channel-1", "x?query=1&channel_id=9&channel_id=8"), Some("9"));
        assert_eq!(channel_id("channel-1", "channel_id=&y"), Some(""));
        assert_eq!(channel_id("channel-1", "x?channel_id=9"), None);
    }
}
