//! The filters of `GET /apps`: all must hold, of the values of one any.

use serde::de::DeserializeOwned;

use super::convert::{final_status_name, states};
use super::error::Error;
use crate::resourcemanager::report::ApplicationReport;

/// The query of `GET /apps`, parsed.
#[derive(Debug, Default)]
pub(super) struct Filter {
    states: Vec<String>,
    final_status: Option<String>,
    user: Option<String>,
    pub(super) queue: Option<String>,
    pub(super) limit: Option<usize>,
    started: (u64, u64),
    finished: Option<(u64, u64)>,
    types: Vec<String>,
    tags: Vec<String>,
    name: Option<String>,
    pub(super) without_requests: bool,
}

const FINAL_STATUSES: [&str; 5] = ["UNDEFINED", "SUCCEEDED", "FAILED", "KILLED", "ENDED"];

impl Filter {
    /// Keys may repeat; lists are separated by commas. Keys that are not filters are passed over.
    pub(super) fn parse(query: &[(String, String)]) -> Result<Self, Error> {
        let list = |wanted: &[&str]| -> Vec<String> {
            let values = query.iter().filter(|(key, _)| wanted.contains(&key.as_str()));
            let words = values.flat_map(|(_, value)| value.split(','));
            words.map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let one = |wanted: &str| list(&[wanted]).into_iter().next_back();
        let states = upper(list(&["state", "states"]));
        let known: Vec<String> = super::convert::states().iter().map(ToString::to_string).collect();
        for state in &states {
            if !known.contains(state) {
                let names = known.join(", ");
                let message = format!("Invalid application-state {state} specified. It should be one of [{names}]");
                return Err(Error::bad_request(message));
            }
        }
        let final_status = one("finalStatus").map(|status| status.to_ascii_uppercase());
        if let Some(status) = &final_status
            && !FINAL_STATUSES.contains(&status.as_str())
        {
            let names = FINAL_STATUSES.join(", ");
            let message = format!("Invalid final-status {status} specified. It should be one of [{names}]");
            return Err(Error::bad_request(message));
        }
        let queue = one("queue").map(|queue| queue.strip_prefix("root.").unwrap_or(&queue).to_owned());
        let time = |key: &str| one(key).map(|text| number::<u64>(key, &text)).transpose();
        let started = (time("startedTimeBegin")?.unwrap_or(0), time("startedTimeEnd")?.unwrap_or(u64::MAX));
        let finished = (time("finishedTimeBegin")?, time("finishedTimeEnd")?);
        for (begin, end, what) in
            [(started.0, started.1, "started"), (finished.0.unwrap_or(0), finished.1.unwrap_or(u64::MAX), "finished")]
        {
            if begin > end {
                return Err(Error::bad_request(format!("{what}TimeEnd must be greater than {what}TimeBegin")));
            }
        }
        let deselected = upper(list(&["deSelects"]));
        Ok(Self {
            states,
            final_status,
            user: one("user"),
            queue: queue.filter(|queue| queue != "root"),
            limit: one("limit").map(|text| positive("limit", &text)).transpose()?,
            started,
            finished: (finished != (None, None)).then(|| (finished.0.unwrap_or(0), finished.1.unwrap_or(u64::MAX))),
            types: list(&["applicationTypes"]),
            tags: list(&["applicationTags"]).into_iter().map(|tag| tag.to_lowercase()).collect(),
            name: one("name"),
            without_requests: deselected.iter().any(|what| what == "RESOURCEREQUESTS" || what == "ALL"),
        })
    }

    pub(super) fn admits(&self, report: &ApplicationReport) -> bool {
        let within = |(begin, end): (u64, u64), at: u64| (begin..=end).contains(&at);
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        (self.states.is_empty() || self.states.contains(&report.state.to_string()))
            && is(&self.final_status, final_status_name(report.final_status))
            && is(&self.user, &report.user)
            && is(&self.queue, &report.queue)
            && is(&self.name, &report.name)
            && within(self.started, report.submitted_at.as_millis())
            && self.finished.is_none_or(|range| report.finished_at.is_some_and(|at| within(range, at.as_millis())))
            && (self.types.is_empty()
                || self.types.iter().any(|kind| kind.eq_ignore_ascii_case(&report.application_type)))
            && (self.tags.is_empty() || report.tags.iter().any(|tag| self.tags.contains(&tag.to_lowercase())))
    }

    /// The types asked for.
    pub(super) fn types(&self) -> &[String] {
        &self.types
    }

    /// The states asked for; every one if none is.
    pub(super) fn states_or_all(&self) -> Vec<String> {
        if self.states.is_empty() { states().iter().map(ToString::to_string).collect() } else { self.states.clone() }
    }
}

fn upper(words: Vec<String>) -> Vec<String> {
    words.into_iter().map(|word| word.to_ascii_uppercase()).collect()
}

fn number<T: std::str::FromStr>(key: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::bad_request(format!("{key} must be a number, not `{text}`")))
}

fn positive(key: &str, text: &str) -> Result<usize, Error> {
    match number(key, text)? {
        0 => Err(Error::bad_request(format!("{key} value must be greater then 0"))),
        count => Ok(count),
    }
}

/// A body as JSON.
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::bad_request(crate::rest::not_understood(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)]) -> Result<Filter, Error> {
        let query: Vec<_> = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Filter::parse(&query)
    }

    #[test]
    fn states_come_as_list_repeated_or_old_and_unknown_ones_are_refused() {
        let filter = parse(&[("states", "running,ACCEPTED"), ("states", "FAILED"), ("state", "new")]).unwrap();
        assert_eq!(filter.states, ["RUNNING", "ACCEPTED", "FAILED", "NEW"]);
        let Err(Error::Exception { status, message, .. }) = parse(&[("states", "DONE")]) else { panic!() };
        assert_eq!(status.as_u16(), 400);
        assert!(
            message.starts_with("Invalid application-state DONE specified. It should be one of [NEW, "),
            "{message}"
        );
        for bad in [("limit", "0"), ("limit", "x"), ("finalStatus", "GOOD"), ("startedTimeBegin", "-1")] {
            assert!(parse(&[bad]).is_err(), "{bad:?}");
        }
        assert!(parse(&[("startedTimeBegin", "5"), ("startedTimeEnd", "4")]).is_err());
    }
}
