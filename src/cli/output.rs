//! What is printed, and how: tables for people, JSON for programs, errors with their cause first.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::arguments::{Output, OutputFormat};
use crate::rpc::{http, io_cause};

/// Prints an error once: the cause, then what was being done.
pub(super) fn print_error(error: &anyhow::Error) {
    eprintln!("error: {}{}", in_words(error), hint(error).map(|hint| format!("; {hint}")).unwrap_or_default());
}

/// What to do about what servers say, or do not say, wherever it was asked.
fn hint(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|layer| match layer.downcast_ref::<http::Error>()? {
        http::Error::Connect { .. } => Some(
            "is it started? scripts/start-yarn.sh and start-cluster.sh do that; -D resourcemanager.port=… and -m host:port say where else \
             to look",
        ),
        http::Error::Status { status: 404, message, .. } if message.starts_with("Job ") => {
            Some("flott list --all shows the jobs")
        }
        http::Error::Status { status: 404, message, .. } if message.starts_with("app with id") => {
            Some("flott app list --all shows the applications")
        }
        _ => None,
    })
}

fn in_words(error: &anyhow::Error) -> String {
    let words = |layer: &(dyn std::error::Error + 'static)| match layer.downcast_ref::<io::Error>() {
        Some(error) => io_cause(error),
        None => layer.to_string(),
    };
    // The innermost cause is what a person needs first; each layer around it says where. One that repeats it needs no help.
    let layers: Vec<String> = error.chain().map(words).collect();
    match layers.as_slice() {
        [] => String::new(),
        [outer, .., cause] if !outer.contains(cause.as_str()) => format!("{cause} ({outer})"),
        [outer, ..] => outer.clone(),
    }
}

/// Whether stdout is a terminal that a person watches.
pub(super) fn is_terminal() -> bool {
    io::stderr().is_terminal() && io::stdout().is_terminal()
}

/// Prints `value` as JSON, or else what `text` says.
pub(super) fn print<T: Serialize>(output: Output, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    match output.output {
        OutputFormat::Text => write(text().as_bytes()),
        OutputFormat::Json => {
            let mut json = serde_json::to_vec_pretty(value)?;
            json.push(b'\n');
            write(&json)
        }
    }
}

/// A line on stdout.
pub(super) fn say(line: &str) -> anyhow::Result<()> {
    write(format!("{line}\n").as_bytes())
}

/// Writes to stdout. Whoever has stopped reading it (`| head -1`) has what they wanted.
pub(super) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A table without rules: columns line up, and other programs can still cut them.
pub(super) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    let mut text = String::new();
    for line in table.lines() {
        let line = line.trim_end();
        text.push_str(line.strip_prefix(' ').unwrap_or(line));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn what_is_unknown_or_away_comes_with_what_to_do() {
        let status = |message: &str| http::Error::Status {
            request: "GET x".to_owned(),
            status: 404,
            message: message.to_owned(),
        };
        let hint = |error: http::Error| hint(&anyhow::Error::from(error).context("looking"));
        assert!(hint(status("Job 0 not found")).is_some_and(|hint| hint.contains("flott list --all")));
        assert!(hint(status("app with id: a not found")).is_some_and(|hint| hint.contains("flott app list --all")));
        assert_eq!(hint(status("there is no queue x")), None);
        let away = http::Error::Connect { authority: "here:1".to_owned(), cause: "connection refused".to_owned() };
        assert!(hint(away).is_some_and(|hint| hint.contains("is it started?")));
    }

    #[test]
    fn the_cause_stands_first_and_once() {
        let in_layers = |layers: &[&str]| {
            let (cause, outer) = layers.split_last().unwrap();
            let error = outer.iter().rev().fold(anyhow!("{cause}"), |error, layer| error.context((*layer).to_owned()));
            in_words(&error)
        };
        assert_eq!(in_layers(&["no such queue"]), "no such queue");
        assert_eq!(in_layers(&["cannot submit", "no such queue"]), "no such queue (cannot submit)");
        assert_eq!(in_layers(&["no such queue: a", "submitting", "no such queue"]), "no such queue: a");
        let error = anyhow::Error::from(io::Error::from_raw_os_error(28)).context("cannot write to stdout");
        assert_eq!(in_words(&error), "no space left on device (cannot write to stdout)");
    }
}
