//! What is printed, and how: tables for people, JSON for programs, errors with their cause first.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::arguments::{Output, OutputFormat};

/// Prints an error once: the cause, then what was being done.
pub(super) fn print_error(error: &anyhow::Error) {
    let mut chain = error.chain().map(ToString::to_string).collect::<Vec<_>>();
    // The innermost cause is what a person needs first; each layer around it says where.
    chain.dedup();
    let text = match chain.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first, .., last] if first.contains(last.as_str()) => first.clone(),
        [first, .., last] => format!("{last} ({first})"),
    };
    eprintln!("error: {text}");
}

/// Whether stdout is a terminal that a person watches.
pub(super) fn is_terminal() -> bool {
    io::stderr().is_terminal() && io::stdout().is_terminal()
}

/// Prints `value` as JSON, or else calls `text`.
pub(super) fn print<T: Serialize>(output: Output, value: &T, text: impl FnOnce()) -> anyhow::Result<()> {
    match output.output {
        OutputFormat::Text => text(),
        OutputFormat::Json => {
            let mut out = io::stdout().lock();
            serde_json::to_writer_pretty(&mut out, value)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// A table without rules: columns line up, and other programs can still cut them.
pub(super) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for line in table.lines() {
        let line = line.trim_end();
        println!("{}", line.strip_prefix(' ').unwrap_or(line));
    }
}
