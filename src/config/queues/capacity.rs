//! How much of its parent a queue is promised: `40%`, `2w`, or `[memory=10240, vcores=12, yarn.io/gpu=4]`.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};

use crate::resource::{MemorySize, Resource};

/// A queue's promised share.
#[derive(Clone, Debug, PartialEq)]
pub enum Capacity {
    /// Of the parent's; those of siblings add up to 100.
    Percent(f64),
    /// Siblings share their parent in this proportion.
    Weight(f64),
    /// This much, as far as the parent has it.
    Absolute(Resource),
}

impl Capacity {
    /// The mode's name, as YARN's REST interface shows it.
    pub fn mode(&self) -> &'static str {
        match self {
            Self::Percent(_) => "percentage",
            Self::Weight(_) => "weight",
            Self::Absolute(_) => "absolute",
        }
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Weight(weight) => write!(f, "{weight}w"),
            Self::Absolute(resource) => {
                write!(f, "[memory={}, vcores={}", resource.memory_mb, resource.vcores)?;
                for (name, amount) in &resource.named {
                    write!(f, ", {name}={amount}")?;
                }
                f.write_str("]")
            }
        }
    }
}

/// Why a text is no [`Capacity`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no share; write 40%, a weight like 2w, or amounts like [memory=10240, vcores=12]")]
pub struct InvalidCapacity(String);

impl FromStr for Capacity {
    type Err = InvalidCapacity;

    fn from_str(text: &str) -> Result<Self, InvalidCapacity> {
        let invalid = || InvalidCapacity(text.to_owned());
        let trimmed = text.trim();
        if let Some(inner) = trimmed.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(invalid)?;
            return resource(inner).map(Self::Absolute).ok_or_else(invalid);
        }
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        if let Some(weight) = trimmed.strip_suffix('w') {
            return number(weight).map(Self::Weight).ok_or_else(invalid);
        }
        let percent = number(trimmed.strip_suffix('%').unwrap_or(trimmed)).filter(|percent| *percent <= 100.0);
        percent.map(Self::Percent).ok_or_else(invalid)
    }
}

/// Reads `memory=10240, vcores=12, yarn.io/gpu=4`. Memory without a unit is in MiB, as in YARN.
pub(super) fn resource(text: &str) -> Option<Resource> {
    let mut resource = Resource::default();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, amount) = pair.split_once('=')?;
        let amount = amount.trim();
        match name.trim() {
            "memory" | "memory-mb" => {
                let bare = amount.parse::<u64>().ok();
                resource.memory_mb = bare.or_else(|| amount.parse::<MemorySize>().ok().map(MemorySize::mebibytes))?;
            }
            "vcores" => resource.vcores = amount.parse().ok()?,
            name => {
                resource.named.insert(name.to_owned(), amount.parse().ok()?);
            }
        }
    }
    Some(resource)
}

impl<'de> Deserialize<'de> for Capacity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

/// `40` is as good as `40%`.
struct Text;

impl Visitor<'_> for Text {
    type Value = Capacity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a share: 40%, 2w, or \"[memory=10240, vcores=12]\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Capacity, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Capacity, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Capacity, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Capacity, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

/// Reads an optional resource written as `memory=4096, vcores=4`.
pub(super) fn optional_resource<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Resource>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let invalid = || D::Error::custom(format!("`{text}` is no amount; write memory=4096, vcores=4"));
    resource(inner).map(Some).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_parse_and_print_as_they_are_written() {
        for text in ["40%", "12.5%", "2w", "[memory=1024, vcores=4]", "[memory=1, vcores=0, yarn.io/gpu=2]"] {
            assert_eq!(text.parse::<Capacity>().unwrap().to_string(), text);
        }
        assert_eq!("30".parse(), Ok(Capacity::Percent(30.0)));
        assert_eq!("[memory=2g]".parse(), Ok(Capacity::Absolute(Resource::new(2048, 0))));
        for text in ["", "-1", "101%", "w", "[memory=1", "[memory]", "NaN", "inf%", "1x"] {
            assert!(text.parse::<Capacity>().is_err(), "{text}");
        }
    }
}
