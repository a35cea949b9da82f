//! What happens on the auction site: people join, auctions open, bids are made.
//!
//! [`Person`], [`Auction`] and [`Bid`] have all fields. A query names the few that it reads, with [`part!`]; the others are skipped where
//! they lie in the line. What SQL engines call projection push-down is here the type of what is read.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::timestamp::Timestamp;

/// One event, or the parts of it that are read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event<P, A, B> {
    Person(P),
    Auction(A),
    Bid(B),
}

/// All of an event.
pub(crate) type Whole<'a> = Event<Person<'a>, Auction<'a>, Bid<'a>>;

/// Nothing is read of such events.
pub(crate) type Unread = IgnoredAny;

/// What is read of `W`: some of its fields, by their names, or nothing.
pub(crate) trait PartOf<W>: DeserializeOwned + From<W> {}

impl<W, T: DeserializeOwned + From<W>> PartOf<W> for T {}

/// A struct of those fields of a kind of event that are read, from a line or from the generator:
/// `part! { struct Price of Bid { auction: u64, price: u64 } }`.
macro_rules! part {
    ($(#[$attribute:meta])* struct $name:ident of $whole:ident { $($field:ident: $kind:ty),+ $(,)? }) => {
        $(#[$attribute])*
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct $name {
            $($field: $kind),+
        }

        impl From<$crate::model::$whole<'_>> for $name {
            fn from(whole: $crate::model::$whole<'_>) -> Self {
                Self { $($field: whole.$field.into()),+ }
            }
        }
    };
}
pub(crate) use part;

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
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    EventType,
    Person,
    Auction,
    Bid,
    #[serde(other)]
    Other,
}

const FIELDS: [&str; 3] = ["person", "auction", "bid"];

/// Reads a [`Line`], and keeps no room for the fields that are null: an event may be large, and moving it costs more than reading it.
struct LineVisitor<P, A, B>(PhantomData<(P, A, B)>);

impl<'de, P, A, B> Visitor<'de> for LineVisitor<P, A, B>
where
    P: Deserialize<'de>,
    A: Deserialize<'de>,
    B: Deserialize<'de>,
{
    type Value = Event<P, A, B>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Event<P, A, B>, M::Error> {
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
        let kind = kind.ok_or_else(|| M::Error::missing_field("event_type"))?;
        match event {
            Some(event) if event.kind() == kind => Ok(event),
            Some(_) | None => Err(M::Error::custom(match FIELDS.get(usize::from(kind)) {
                Some(absent) => format!("an event of type {kind} without its {absent}"),
                None => format!("events are of type 0, 1 or 2, and this one is of {kind}"),
            })),
        }
    }
}

impl<'de, P, A, B> Deserialize<'de> for Event<P, A, B>
where
    P: Deserialize<'de>,
    A: Deserialize<'de>,
    B: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LineVisitor(PhantomData))
    }
}

impl<P, A, B> Event<P, A, B> {
    /// As lines number them.
    fn kind(&self) -> u8 {
        match self {
            Self::Person(_) => 0,
            Self::Auction(_) => 1,
            Self::Bid(_) => 2,
        }
    }
}

impl<B> Event<Unread, Unread, B> {
    /// The bid, if it is one.
    pub(crate) fn into_bid(self) -> Option<B> {
        match self {
            Self::Bid(bid) => Some(bid),
            Self::Person(_) | Self::Auction(_) => None,
        }
    }
}

impl<'a> Whole<'a> {
    /// What is read of it.
    pub(crate) fn part<P: PartOf<Person<'a>>, A: PartOf<Auction<'a>>, B: PartOf<Bid<'a>>>(self) -> Event<P, A, B> {
        match self {
            Self::Person(person) => Event::Person(person.into()),
            Self::Auction(auction) => Event::Auction(auction.into()),
            Self::Bid(bid) => Event::Bid(bid.into()),
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

impl From<Person<'_>> for Unread {
    fn from(_: Person<'_>) -> Self {
        IgnoredAny
    }
}

impl From<Auction<'_>> for Unread {
    fn from(_: Auction<'_>) -> Self {
        IgnoredAny
    }
}

impl From<Bid<'_>> for Unread {
    fn from(_: Bid<'_>) -> Self {
        IgnoredAny
    }
}

#[cfg(test)]
mod tests {
    use flott::connectors::from_json;

    use super::*;

    #[test]
    fn texts_keep_quotes_line_feeds_and_letters_of_any_kind() {
        let line = r#"{"bid":{"auction":1,"bidder":2,"price":3,"channel":"a\"b\nc","url":"ü/\u00e9","dateTime":5,"extra":""},"event_type":2}"#;
        let Ok(Whole::Bid(bid)) = from_json(line.as_bytes()) else { panic!("it is a bid") };
        assert_eq!((bid.channel.as_ref(), bid.url.as_ref(), bid.date_time), ("a\"b\nc", "ü/é", Timestamp(5)));
        let written = Whole::Bid(bid.clone()).to_json().unwrap();
        assert!(!written.contains('\n'));
        assert_eq!(from_json(written.as_bytes()), Ok(Whole::Bid(bid)));
    }

    part! {
        #[derive(Debug, PartialEq)]
        struct Sale of Auction { id: u64, item_name: String, expires: Timestamp }
    }

    #[test]
    fn a_part_of_a_line_is_the_part_of_its_event() {
        let generator = crate::generator::Generator::new(1, 10_000);
        for n in 0..500 {
            let event = generator.event(n);
            let read = from_json::<Event<Unread, Sale, Unread>>(event.to_json().unwrap().as_bytes()).unwrap();
            assert_eq!((read.kind(), read), (event.kind(), event.part()));
        }
    }

    #[test]
    fn what_is_no_event_is_refused_in_words() {
        let refused = |line: &str| from_json::<Whole<'_>>(line.as_bytes()).unwrap_err().to_string();
        assert_eq!(refused(r#"{"event_type":0}"#), "an event of type 0 without its person at column 16");
        assert_eq!(refused(r#"{"event_type":7}"#), "events are of type 0, 1 or 2, and this one is of 7 at column 16");
        assert_eq!(refused("[]"), "invalid type: sequence, expected an event at column 0");
    }
}
