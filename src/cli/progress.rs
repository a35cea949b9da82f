//! A live line on a terminal; elsewhere a line for each change of state.

use std::collections::BTreeSet;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::is_terminal;
use crate::client::Progress;

/// How often the line moves.
const TICK: Duration = Duration::from_millis(120);

/// Shows how a job stands.
pub(super) struct ProgressLine {
    bar: Option<ProgressBar>,
    last: String,
    /// What was said already.
    noted: BTreeSet<String>,
}

impl ProgressLine {
    /// Begins with `text`.
    pub(super) fn new(text: &str) -> Self {
        let bar = is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {elapsed:>4} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style).with_message(text.to_owned());
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, last: String::new(), noted: BTreeSet::new() }
    }

    /// Shows `progress`.
    pub(super) fn show(&mut self, progress: &Progress) {
        for note in &progress.notes {
            if self.noted.insert(note.clone()) {
                self.say(note);
            }
        }
        let mut text = progress.state.clone();
        if let Some(waiting) = &progress.waiting {
            text.push_str(&format!(": {waiting}"));
        }
        match &self.bar {
            Some(bar) => {
                if progress.tasks.1 > 0 {
                    let ((running, tasks), (read, written)) = (progress.tasks, progress.records);
                    text.push_str(&format!("  tasks {running}/{tasks}  records read {read}, written {written}"));
                }
                bar.set_message(text);
            }
            // Without a terminal only what changed is worth a line.
            None if text != self.last => {
                eprintln!("{text}");
                self.last = text;
            }
            None => {}
        }
    }

    /// A line of its own, which stays.
    fn say(&self, note: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{note}")),
            None => eprintln!("{note}"),
        }
    }

    /// Leaves the terminal to others, until [`ProgressLine::resume`].
    pub(super) fn pause(&self) {
        if let Some(bar) = &self.bar {
            bar.disable_steady_tick();
            bar.suspend(|| ());
        }
    }

    /// Shows the line again.
    pub(super) fn resume(&self) {
        if let Some(bar) = &self.bar {
            bar.enable_steady_tick(TICK);
        }
    }

    /// Removes the line.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
