//! What happens on the auction site: people join, auctions open, bids are made.
//!
//! Texts are borrowed from where the event lies, a line or the generator, so that a query copies the fields it needs and no others.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event<'a> {
    Person(Person<'a>),
    Auction(Auction<'a>),
    Bid(Bid<'a>),
}

/// Somebody joins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Person<'a> {
    pub id: u64,
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow)]
    pub email_address: Cow<'a, str>,
    #[serde(borrow)]
    pub credit_card: Cow<'a, str>,
    #[serde(borrow)]
    pub city: Cow<'a, str>,
    #[serde(borrow)]
    pub state: Cow<'a, str>,
    pub date_time: Timestamp,
    #[serde(borrow)]
    pub extra: Cow<'a, str>,
}

/// An auction opens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Auction<'a> {
    pub id: u64,
    #[serde(borrow)]
    pub item_name: Cow<'a, str>,
    #[serde(borrow)]
    pub description: Cow<'a, str>,
    pub initial_bid: u64,
    pub reserve: u64,
    pub date_time: Timestamp,
    pub expires: Timestamp,
    pub seller: u64,
    pub category: u64,
    #[serde(borrow)]
    pub extra: Cow<'a, str>,
}

/// A bid is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bid<'a> {
    pub auction: u64,
    pub bidder: u64,
    pub price: u64,
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    pub date_time: Timestamp,
    #[serde(borrow)]
    pub extra: Cow<'a, str>,
}

/// An event as a JSON line has it.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    event_type: u8,
    #[serde(borrow)]
    person: Option<Person<'a>>,
    #[serde(borrow)]
    auction: Option<Auction<'a>>,
    #[serde(borrow)]
    bid: Option<Bid<'a>>,
}

impl<'a> Event<'a> {
    /// The event of a JSON line.
    ///
    /// # Errors
    /// In words, when it is none.
    pub(crate) fn from_json(line: &'a [u8]) -> Result<Self, String> {
        let line = match std::str::from_utf8(line) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(line),
        };
        let line: Line<'a> = line.map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))?;
        match line {
            Line { event_type: 0, person: Some(person), .. } => Ok(Self::Person(person)),
            Line { event_type: 1, auction: Some(auction), .. } => Ok(Self::Auction(auction)),
            Line { event_type: 2, bid: Some(bid), .. } => Ok(Self::Bid(bid)),
            Line { event_type: kind @ 0..=2, .. } => {
                let absent = ["person", "auction", "bid"][usize::from(kind)];
                Err(format!("an event of type {kind} without its {absent}"))
            }
            Line { event_type, .. } => Err(format!("events are of type 0, 1 or 2, and this one is of {event_type}")),
        }
    }

    /// Its JSON line, without the line feed.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        let mut line = Line { event_type: 0, person: None, auction: None, bid: None };
        match self.clone() {
            Self::Person(person) => line.person = Some(person),
            Self::Auction(auction) => (line.event_type, line.auction) = (1, Some(auction)),
            Self::Bid(bid) => (line.event_type, line.bid) = (2, Some(bid)),
        }
        serde_json::to_string(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_quotes_line_feeds_and_letters_of_any_kind() {
        let line = r#"{"bid":{"auction":1,"bidder":2,"price":3,"channel":"a\"b\nc","url":"ü/\u00e9","dateTime":5,"extra":""},"event_type":2}"#;
        let Ok(Event::Bid(bid)) = Event::from_json(line.as_bytes()) else { panic!("it is a bid") };
        assert_eq!((bid.channel.as_ref(), bid.url.as_ref(), bid.date_time), ("a\"b\nc", "ü/é", Timestamp(5)));
        let written = Event::Bid(bid.clone()).to_json().unwrap();
        assert!(!written.contains('\n'));
        assert_eq!(Event::from_json(written.as_bytes()), Ok(Event::Bid(bid)));
    }

    #[test]
    fn what_is_no_event_is_refused_in_words() {
        let refused = |line: &str| Event::from_json(line.as_bytes()).unwrap_err();
        assert_eq!(refused(r#"{"event_type":0}"#), "an event of type 0 without its person");
        assert_eq!(refused(r#"{"event_type":7}"#), "events are of type 0, 1 or 2, and this one is of 7");
        assert_eq!(refused("[]"), "invalid length 0, expected struct Line with 4 elements at column 2");
    }
}
