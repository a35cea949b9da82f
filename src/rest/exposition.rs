//! Metrics as Prometheus reads them: text, a family a metric. Each daemon's router fills one at `/metrics`.

use std::fmt::Write as _;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::telemetry::metrics::{BUILD, Metric, PROCESS_MEMORY};
use crate::telemetry::process_rss;

/// The text, growing.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins with what every daemon tells; `daemon` is its kind.
    pub(super) fn of(daemon: &str) -> Self {
        let mut exposition = Self::default();
        exposition.one(&BUILD, &[("version", env!("CARGO_PKG_VERSION")), ("daemon", daemon)], 1.0);
        if let Some(memory) = process_rss() {
            exposition.one(&PROCESS_MEMORY, &[], float(memory.bytes()));
        }
        exposition
    }

    /// A metric of one number.
    pub(super) fn one(&mut self, metric: &Metric, labels: &[(&str, &str)], value: f64) {
        self.family(metric).sample(labels, value);
    }

    /// Begins a metric; its numbers follow.
    pub(super) fn family(&mut self, metric: &Metric) -> Family<'_> {
        Family { exposition: self, metric: *metric, begun: false }
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// A metric's numbers. A family without any is left out altogether.
#[derive(Debug)]
pub(super) struct Family<'a> {
    exposition: &'a mut Exposition,
    metric: Metric,
    begun: bool,
}

impl Family<'_> {
    /// One number.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let text = &mut self.exposition.text;
        let Metric { name, kind, help } = self.metric;
        if !self.begun {
            self.begun = true;
            put(text, format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str()));
        }
        text.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            put(text, format_args!("{label}=\""));
            escape(text, value);
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        match value == f64::INFINITY {
            true => text.push_str(" +Inf\n"),
            false => put(text, format_args!(" {value}\n")),
        }
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a string does not fail");
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

impl IntoResponse for Exposition {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], self.text).into_response()
    }
}

/// Prometheus knows floating-point numbers only; what a counter loses beyond 2^53 nobody sees.
#[expect(clippy::cast_precision_loss, reason = "that is the format's number")]
pub(super) fn float(value: u64) -> f64 {
    value as f64
}

/// Milliseconds in seconds.
pub(super) fn seconds(milliseconds: u64) -> f64 {
    float(milliseconds) / 1000.0
}

/// MiB in bytes.
pub(super) fn mebibytes(mebibytes: u64) -> f64 {
    float(mebibytes << 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::{JM_JOBS, JM_SLOTS};

    #[test]
    fn a_family_has_its_help_once_and_labels_are_escaped() {
        let mut exposition = Exposition::default();
        let mut jobs = exposition.family(&JM_JOBS);
        jobs.sample(&[("state", "a\"b\\c\nd")], 1.5);
        jobs.sample(&[("state", "x"), ("y", "z")], 2.0);
        exposition.family(&JM_SLOTS);
        assert_eq!(
            exposition.text(),
            "# HELP flott_jobmanager_jobs Jobs by state.\n# TYPE flott_jobmanager_jobs gauge\n\
             flott_jobmanager_jobs{state=\"a\\\"b\\\\c\\nd\"} 1.5\nflott_jobmanager_jobs{state=\"x\",y=\"z\"} 2\n"
        );
    }
}
