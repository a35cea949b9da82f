//! Kinds of values and how they are written.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::resource::MemorySize;

/// A JobManager or TaskManager starts in less, and does nothing of use in it; no container is smaller by default either.
pub(crate) const PROCESS_MEMORY_MIN: MemorySize = MemorySize::from_mebibytes(64);

/// What sort of value a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number; -1 stands for "none" where the meaning says so.
    Integer,
    /// A whole number of at least 1.
    Count,
    /// A number with a fraction.
    Number,
    /// A number from 0 to 1.
    Share,
    /// `true` or `false`.
    Flag,
    /// `10 s`, `5min`, `PT10S`; a bare number is milliseconds.
    Duration,
    /// `64 mb`, `1g`; a bare number is bytes.
    Memory,
    /// The same, enough for one of our processes to live in.
    ProcessMemory,
    /// One port; 0 takes a free one.
    Port,
    /// Ports: `8081`, `50100-50200`, several separated by commas; 0 takes a free one.
    Ports,
    /// `a;b` or a YAML list.
    List,
    /// `k:v,k2:v2` or a YAML map.
    Map,
    /// One of a few words, in any case.
    OneOf(&'static [&'static str]),
}

impl Kind {
    /// Whether `text` is a value of this kind.
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Integer => i64::parse(text).is_some(),
            Self::Count => NonZeroU32::parse(text).is_some(),
            Self::Number => f64::parse(text).is_some(),
            Self::Share => f64::parse(text).is_some_and(|share| (0.0..=1.0).contains(&share)),
            Self::Flag => bool::parse(text).is_some(),
            Self::Duration => text.trim() == "-1" || Duration::parse(text).is_some(),
            Self::Memory => MemorySize::parse(text).is_some(),
            Self::ProcessMemory => MemorySize::parse(text).is_some_and(|size| size >= PROCESS_MEMORY_MIN),
            Self::Port => u16::parse(text).is_some(),
            Self::Ports => Ports::parse(text).is_some(),
            Self::List => Vec::<String>::parse(text).is_some(),
            Self::Map => Vec::<(String, String)>::parse(text).is_some(),
            Self::OneOf(words) => words.iter().any(|word| word.eq_ignore_ascii_case(text.trim())),
        }
    }

    /// What to write.
    pub fn expected(self) -> String {
        match self {
            Self::Text => "any text".to_owned(),
            Self::Integer => i64::EXPECTED.to_owned(),
            Self::Count => NonZeroU32::EXPECTED.to_owned(),
            Self::Number => f64::EXPECTED.to_owned(),
            Self::Share => "a number from 0 to 1, like 0.4".to_owned(),
            Self::Flag => bool::EXPECTED.to_owned(),
            Self::Duration => Duration::EXPECTED.to_owned(),
            Self::Memory => MemorySize::EXPECTED.to_owned(),
            Self::ProcessMemory => format!("at least {PROCESS_MEMORY_MIN}, like 512m, 1g or 1728 mb"),
            Self::Port => u16::EXPECTED.to_owned(),
            Self::Ports => Ports::EXPECTED.to_owned(),
            Self::List => Vec::<String>::EXPECTED.to_owned(),
            Self::Map => Vec::<(String, String)>::EXPECTED.to_owned(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
        }
    }
}

/// A type that configuration texts are read into.
pub trait Value: Sized {
    /// What to write.
    const EXPECTED: &'static str;

    /// Reads it; `None` if it is not one.
    fn parse(text: &str) -> Option<Self>;
}

impl Value for String {
    const EXPECTED: &'static str = "any text";

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        text.trim().to_ascii_lowercase().parse().ok()
    }
}

impl Value for MemorySize {
    const EXPECTED: &'static str = "an amount of memory like 512m, 1g or 1728 mb";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for Duration {
    const EXPECTED: &'static str = "a duration like 10 s, 5min, 500 ms or PT10S";

    fn parse(text: &str) -> Option<Self> {
        parse_duration(text)
    }
}

macro_rules! number {
    ($($type:ty: $expected:literal),*) => {$(
        impl Value for $type {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }
        }
    )*};
}

number!(u16: "a number from 0 to 65535", u32: "a whole number", u64: "a whole number", i64: "a whole number");
number!(NonZeroU32: "a whole number of at least 1");

impl Value for f64 {
    const EXPECTED: &'static str = "a number like 0.5";

    fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }
}

impl Value for Vec<String> {
    const EXPECTED: &'static str = "a list like a;b";

    fn parse(text: &str) -> Option<Self> {
        let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
        Some(parts.map(str::to_owned).collect())
    }
}

impl Value for Vec<(String, String)> {
    const EXPECTED: &'static str = "pairs like k:v,k2:v2";

    fn parse(text: &str) -> Option<Self> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| pair.split_once(':').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())))
            .collect()
    }
}

/// Ports to try, in order; 0 takes a free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(pub Vec<u16>);

impl Value for Ports {
    const EXPECTED: &'static str = "a port, a range like 50100-50200, or several separated by commas";

    fn parse(text: &str) -> Option<Self> {
        let mut ports = Vec::new();
        for part in text.split(',').map(str::trim) {
            match part.split_once('-') {
                Some((first, last)) => {
                    let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
                    if first > last {
                        return None;
                    }
                    ports.extend(first..=last);
                }
                None => ports.push(part.parse().ok()?),
            }
        }
        Some(Self(ports))
    }
}

/// A duration as Flink writes it: `10 s`, `5min`, `1 h`, ISO 8601 (`PT1M30S`); a bare number is milliseconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim().to_ascii_lowercase();
    if let Some(iso) = text.strip_prefix('p') {
        return iso_duration(iso);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let nanos_per_unit: u64 = match unit.trim() {
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return None,
    };
    // In seconds and nanoseconds, so that no sensible duration overflows.
    let nanos = u128::from(number) * u128::from(nanos_per_unit);
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).ok()?))
}

/// What follows the `p` of an ISO 8601 duration of days, hours, minutes and seconds, in lower case.
fn iso_duration(text: &str) -> Option<Duration> {
    let (days, time) = text.split_once('t').unwrap_or((text, ""));
    if days.is_empty() && time.is_empty() {
        return None;
    }
    if text.ends_with('t') {
        return None;
    }
    let seconds = iso_part(days, &[('d', 86_400.0)])? + iso_part(time, &[('h', 3_600.0), ('m', 60.0), ('s', 1.0)])?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Numbers with units, each unit at most once and in order, as seconds.
fn iso_part(mut text: &str, units: &[(char, f64)]) -> Option<f64> {
    let mut seconds = 0.0;
    for (unit, length) in units {
        if let Some((number, rest)) = text.split_once(*unit) {
            seconds += number.parse::<f64>().ok().filter(|number| *number >= 0.0)? * length;
            text = rest;
        }
    }
    text.is_empty().then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_as_flink_writes_them() {
        let cases = [
            ("10 s", 10_000),
            ("5min", 300_000),
            ("1 h", 3_600_000),
            ("250", 250),
            ("2 days", 172_800_000),
            ("PT10S", 10_000),
            ("P1DT1H1M1.5S", 90_061_500),
            ("pt0.25s", 250),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1", "1.5 s", "10 parsecs", "P", "PT", "PT5", "PT1S1H", "99999999999999999999"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(parse_duration("1us"), Some(Duration::from_micros(1)));
    }

    #[test]
    fn lists_maps_and_ports_parse() {
        assert_eq!(Ports::parse("8081, 9000-9002"), Some(Ports(vec![8081, 9000, 9001, 9002])));
        assert_eq!(Ports::parse("9-1"), None);
        assert_eq!(Vec::<String>::parse("a; b;"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(Vec::parse("k:v, x:y:z"), Some(vec![("k".to_owned(), "v".to_owned()), ("x".into(), "y:z".into())]));
        assert!(!Kind::Map.accepts("nonsense"));
        assert!(Kind::OneOf(&["region", "full"]).accepts("REGION"));
    }

    #[test]
    fn narrower_kinds_refuse_what_makes_no_sense() {
        let cases = [
            (Kind::Count, ["1", " 7 "], ["0", "-1", "1.5"]),
            (Kind::Share, ["0", "1.0"], ["1.5", "-0.1", "NaN"]),
            (Kind::ProcessMemory, ["64m", "1g"], ["63 mb", "1024", "0"]),
            (Kind::Port, ["0", "65535"], ["65536", "-1", "http"]),
        ];
        for (kind, right, wrong) in cases {
            assert!(right.iter().all(|text| kind.accepts(text)), "{kind:?}");
            assert!(!wrong.iter().any(|text| kind.accepts(text)), "{kind:?}");
        }
    }
}
