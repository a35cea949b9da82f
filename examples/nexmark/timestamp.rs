//! Moments as the benchmark writes them.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in milliseconds since the epoch. As text it is `2015-07-15 00:00:00.000`, in UTC; both that and the number are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(pub i64);

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Timestamp {
    /// Days since the epoch.
    pub(crate) fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }

    /// The hour of the day, from 0.
    pub(crate) fn hour(self) -> i64 {
        self.0.rem_euclid(DAY_MS) / 3_600_000
    }

    /// The minute of the day, from 0.
    pub(crate) fn minute_of_day(self) -> i64 {
        self.0.rem_euclid(DAY_MS) / 60_000
    }

    fn text(self) -> [u8; 23] {
        let mut text = *b"0000-00-00 00:00:00.000";
        let (year, month, day) = civil_of(self.day());
        let ms = self.0.rem_euclid(DAY_MS);
        let mut put = |at: std::ops::Range<usize>, mut number: i64| {
            for i in at.rev() {
                text[i] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        put(0..4, year.clamp(0, 9999));
        put(5..7, month);
        put(8..10, day);
        put(11..13, ms / 3_600_000);
        put(14..16, ms / 60_000 % 60);
        put(17..19, ms / 1000 % 60);
        put(20..23, ms % 1000);
        text
    }

    /// `2015-07-15 00:00:00.000`, with any number of digits behind the point, or none; `T` for the space and a final `Z` are allowed.
    fn parse(text: &str) -> Option<Self> {
        let bytes = text.strip_suffix('Z').unwrap_or(text).as_bytes();
        let number = |at: std::ops::Range<usize>| {
            let digits = bytes.get(at)?;
            digits
                .iter()
                .try_fold(0i64, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
        };
        let separated =
            [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')].iter().all(|(at, byte)| bytes.get(*at) == Some(byte));
        if !separated || !matches!(bytes.get(10), Some(b' ' | b'T')) {
            return None;
        }
        let (month, day) = (number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let ms = match bytes.get(19..)? {
            [] => 0,
            [b'.', fraction @ ..] if !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit) => {
                let digits = fraction.iter().chain(b"000").take(3);
                digits.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'))
            }
            _ => return None,
        };
        let of_day = ((hour * 60 + minute) * 60 + second) * 1000 + ms;
        Some(Self(days_of(number(0..4)?, month, day) * DAY_MS + of_day))
    }
}

/// A day as `2015-07-15`.
pub(crate) fn day_text(day: i64) -> String {
    Timestamp(day * DAY_MS).to_string()[..10].to_owned()
}

/// A minute of a day as `23:59`.
pub(crate) fn minute_text(minute_of_day: i64) -> String {
    format!("{:02}:{:02}", minute_of_day / 60, minute_of_day % 60)
}

/// Year, month and day of a number of days since the epoch: Howard Hinnant's `civil_from_days`.
fn civil_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, of_year - (153 * from_march + 2) / 5 + 1)
}

/// The other way round: Howard Hinnant's `days_from_civil`.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era - 719_468
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).expect("digits and signs are text"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.serialize_str(std::str::from_utf8(&self.text()).expect("digits and signs are text")),
            false => serializer.serialize_i64(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => deserializer.deserialize_any(TextOrNumber),
            false => i64::deserialize(deserializer).map(Self),
        }
    }
}

struct TextOrNumber;

impl Visitor<'_> for TextOrNumber {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("milliseconds since the epoch, or a time such as 2015-07-15 00:00:00.000")
    }

    fn visit_i64<E: de::Error>(self, ms: i64) -> Result<Timestamp, E> {
        Ok(Timestamp(ms))
    }

    fn visit_u64<E: de::Error>(self, ms: u64) -> Result<Timestamp, E> {
        i64::try_from(ms).map(Timestamp).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        Timestamp::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_written_as_it_is_read() {
        for day in (-719_528..2_932_897).step_by(97) {
            let moment = Timestamp(day * DAY_MS + day.rem_euclid(DAY_MS));
            assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment), "{moment}");
        }
        assert_eq!(Timestamp(1_436_918_400_123).to_string(), "2015-07-15 00:00:00.123");
        assert_eq!(day_text(Timestamp(1_709_164_800_000).day()), "2024-02-29");
        assert_eq!(minute_text(Timestamp(1_436_918_399_999).minute_of_day()), "23:59");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let read = |text: &str| serde_json::from_str::<Timestamp>(text).map_err(|error| error.to_string());
        assert_eq!(read("1436918400123"), Ok(Timestamp(1_436_918_400_123)));
        assert_eq!(read("\"2015-07-15T00:00:00.1Z\""), Ok(Timestamp(1_436_918_400_100)));
        assert_eq!(read("\"2015-07-15 00:00:00\""), Ok(Timestamp(1_436_918_400_000)));
        for text in [
            "\"2015-07-15\"",
            "\"2015-13-15 00:00:00\"",
            "\"2015-07-15 24:00:00\"",
            "\"ä015-07-15 0:00:00\"",
            "1.5",
            "\"\"",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
