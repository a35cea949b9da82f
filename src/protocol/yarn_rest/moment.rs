//! Moments as YARN writes them: `2026-11-22T10:00:00.000+0000`, and what else ISO 8601 allows.

use crate::time::Now;

const MINUTE_MS: i64 = 60 * 1000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// In UTC.
pub fn format_moment(at: Now) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let (year, month, day) = civil(millis.div_euclid(DAY_MS));
    let of_day = millis.rem_euclid(DAY_MS);
    let (hour, minute) = (of_day / (60 * MINUTE_MS), of_day / MINUTE_MS % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}+0000")
}

/// A date and a time with an offset (`+0000`, `+01:00`, `Z`; without one UTC). None if it is no such text, or lies before 1970.
pub fn parse_moment(text: &str) -> Option<Now> {
    let (date, rest) = text.trim().split_once(['T', ' '])?;
    let (time, zone) = rest.split_at(rest.find(['Z', '+', '-']).unwrap_or(rest.len()));
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let milli: i64 = digits.parse().ok().filter(|_| in_range)?;
    let millis = days(year, month, day) * DAY_MS + (hour * 60 + minute) * MINUTE_MS + second * 1000 + milli;
    u64::try_from(millis - offset_ms(zone)?).ok().map(Now)
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let parts: Vec<i64> =
        text.split(separator).map(|part| part.parse::<u16>().ok().map(i64::from)).collect::<Option<_>>()?;
    parts.try_into().ok()
}

fn offset_ms(zone: &str) -> Option<i64> {
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let sign = match zone.chars().next() {
        None | Some('Z') => return (zone.len() <= 1).then_some(0),
        Some('-') => -1,
        Some(_) => 1,
    };
    let (hours, minutes) = (digits.get(..2)?.parse::<i64>().ok()?, digits.get(2..4)?.parse::<i64>().ok()?);
    Some(sign * (hours * 60 + minutes) * MINUTE_MS)
}

/// Days since 1970 of a date of the Gregorian calendar. Years begin in March here, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The opposite of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_yarn_does_and_read_as_iso_allows() {
        let at = Now(1_795_341_600_123);
        assert_eq!(format_moment(at), "2026-11-22T10:00:00.123+0000");
        for text in ["2026-11-22T10:00:00.123+0000", "2026-11-22T11:00:00.123+01:00", "2026-11-22 10:00:00.123Z"] {
            assert_eq!(parse_moment(text), Some(at), "{text}");
        }
        assert_eq!(parse_moment("2024-02-29T00:00:00Z").map(format_moment).unwrap(), "2024-02-29T00:00:00.000+0000");
        for text in
            ["", "tomorrow", "2026-13-01T00:00:00Z", "2026-11-22", "2026-11-22T10:00:00+1", "1960-01-01T00:00:00Z"]
        {
            assert_eq!(parse_moment(text), None, "{text}");
        }
        for day in (0..60_000).step_by(37) {
            let at = Now(day * 86_400_000 + 86_399_999);
            assert_eq!(parse_moment(&format_moment(at)), Some(at));
        }
    }
}
