//! What happens on the auction site: people join, auctions open, bids are made.
//!
//! Texts are borrowed from where the event lies, a line or the generator, so that a query copies the fields it needs and no others.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

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

/// An event as a JSON line has it: a type, and of three fields the one that it names.
#[derive(Serialize)]
struct Line<'a> {
    event_type: u8,
    person: Option<Person<'a>>,
    auction: Option<Auction<'a>>,
    bid: Option<Bid<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Field {
    EventType,
    Person,
    Auction,
    Bid,
    #[serde(other)]
    Other,
}

const FIELDS: [&str; 3] = ["person", "auction", "bid"];

/// Reads a [`Line`], and keeps no room for the fields that are null: an event is large, and moving it costs more than reading it.
struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Event<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event<'de>, A::Error> {
        let (mut kind, mut event) = (None, None);
        while let Some(field) = map.next_key()? {
            match field {
                Field::EventType => kind = Some(map.next_value::<u8>()?),
                Field::Person => event = map.next_value::<Option<_>>()?.map(Event::Person).or(event),
                Field::Auction => event = map.next_value::<Option<_>>()?.map(Event::Auction).or(event),
                Field::Bid => event = map.next_value::<Option<_>>()?.map(Event::Bid).or(event),
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let kind = kind.ok_or_else(|| A::Error::missing_field("event_type"))?;
        match event {
            Some(event) if event.kind() == kind => Ok(event),
            Some(_) | None => Err(A::Error::custom(match FIELDS.get(usize::from(kind)) {
                Some(absent) => format!("an event of type {kind} without its {absent}"),
                None => format!("events are of type 0, 1 or 2, and this one is of {kind}"),
            })),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Event<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LineVisitor)
    }
}

impl<'a> Event<'a> {
    /// The event of a JSON line.
    ///
    /// # Errors
    /// In words, when it is none.
    pub(crate) fn from_json(line: &'a [u8]) -> Result<Self, String> {
        let event = match std::str::from_utf8(line) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(line),
        };
        event.map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))
    }

    /// As lines number them.
    fn kind(&self) -> u8 {
        match self {
            Self::Person(_) => 0,
            Self::Auction(_) => 1,
            Self::Bid(_) => 2,
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
        assert_eq!(refused(r#"{"event_type":0}"#), "an event of type 0 without its person at column 16");
        assert_eq!(refused(r#"{"event_type":7}"#), "events are of type 0, 1 or 2, and this one is of 7 at column 16");
        assert_eq!(refused("[]"), "invalid type: sequence, expected an event at column 0");
    }
}
