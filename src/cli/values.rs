//! Values of the command line, each refused with what to write instead.

use std::ops::RangeInclusive;

use crate::graph::plan::MAX_PARALLELISM_LIMIT;
use crate::resource::MemorySize;

/// The most subtasks of a vertex.
pub(super) const PARALLELISM_MAX: u64 = MAX_PARALLELISM_LIMIT as u64;

/// Reads a whole number in a range; `invalid digit found in string` tells nobody what to write.
pub(super) fn number<T>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync
where
    T: TryFrom<u64>,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| match *range.end() {
            u64::MAX => format!("write a whole number from {}", range.start()),
            most => format!("write a whole number from {} to {most}", range.start()),
        })
    }
}

/// Reads `512m`; a bare number means megabytes, as in Flink's scripts.
pub(super) fn memory(least: MemorySize) -> impl Fn(&str) -> Result<MemorySize, String> + Clone + Send + Sync {
    move |text| {
        let size = match text.parse::<u64>() {
            Ok(megabytes) => format!("{megabytes} mb").parse::<MemorySize>(),
            Err(_) => text.parse::<MemorySize>(),
        };
        let size = size.map_err(|error| error.to_string())?;
        if size < least {
            return Err(format!("write at least {least}"));
        }
        Ok(size)
    }
}

/// Reads `host:port`, perhaps behind `http://` or `https://` as a browser shows it.
pub(super) fn authority(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
    let bare = bare.trim_end_matches('/');
    let (host, port) = bare.rsplit_once(':').unwrap_or((bare, ""));
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err("write HOST:PORT, e.g. localhost:8081".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_told_the_range() {
        let parse = number::<u32>(1..=9);
        assert_eq!(parse("9"), Ok(9));
        for wrong in ["0", "10", "-1", "x", "", "1.5", "99999999999999999999"] {
            assert_eq!(parse(wrong).unwrap_err(), "write a whole number from 1 to 9", "{wrong}");
        }
        assert_eq!(number::<u64>(1..=u64::MAX)("0").unwrap_err(), "write a whole number from 1");
    }

    #[test]
    fn memory_without_a_unit_is_in_megabytes_and_there_is_a_least() {
        let parse = memory(MemorySize::from_mebibytes(1));
        assert_eq!(parse("512"), Ok(MemorySize::from_mebibytes(512)));
        assert_eq!(parse("1g"), Ok(MemorySize::from_mebibytes(1024)));
        for wrong in ["0", "0g", "100 kb"] {
            assert_eq!(parse(wrong).unwrap_err(), "write at least 1 mb", "{wrong}");
        }
        assert!(parse("much").is_err() && parse("99999999999999999999").is_err());
        assert!(parse("18446744073709551615").is_err(), "too many megabytes to count in bytes");
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for right in ["localhost:8081", "http://host:1", "https://host:8081/", "[::1]:8081"] {
            assert_eq!(authority(right).as_deref(), Ok(right));
        }
        for wrong in ["", "localhost", ":8081", "host:x", "host:99999", "http://", "http://host"] {
            assert!(authority(wrong).is_err(), "{wrong}");
        }
    }
}
