//! What a look becomes on the screen: pure.

use super::Sight;
use crate::client::{LiveJob, LiveVertex};
use crate::ids::JobId;
use crate::protocol::diagnosis::{Severity, Verdict};
use crate::time::Now;

/// How a line stands out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    /// A header.
    Head,
    /// The chosen job.
    Chosen,
    Error,
    Warning,
    /// Of less weight.
    Quiet,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) tone: Tone,
}

impl Line {
    pub(super) fn plain(text: String) -> Self {
        Self { text, tone: Tone::Plain }
    }

    fn toned(tone: Tone, text: String) -> Self {
        Self { text, tone }
    }
}

/// Which job is chosen, and whose vertices are shown.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    pub(super) chosen: Option<JobId>,
    pub(super) open: Option<JobId>,
}

impl Cursor {
    /// The first job, where the chosen one is gone.
    pub(super) fn keep_within(&mut self, sight: &Sight) {
        if !sight.jobs.iter().any(|job| Some(job.jid) == self.chosen) {
            self.chosen = sight.jobs.first().map(|job| job.jid);
        }
    }

    /// So many jobs down, or up.
    pub(super) fn step(&mut self, sight: &Sight, by: isize) {
        let at = sight.jobs.iter().position(|job| Some(job.jid) == self.chosen);
        let next = at.and_then(|at| at.checked_add_signed(by)).and_then(|next| sight.jobs.get(next));
        if let Some(job) = next {
            self.chosen = Some(job.jid);
        }
    }

    /// Shows the chosen job's vertices, or hides them.
    pub(super) fn toggle(&mut self) {
        self.open = if self.open == self.chosen { None } else { self.chosen };
    }
}

const WIDTHS: [usize; 8] = [11, 9, 7, 9, 9, 5, 5, 9];
const JOB_HEAD: [&str; 8] = ["STATE", "FOR", "TASKS", "IN/s", "OUT/s", "BUSY", "HELD", "LAG"];

/// The lines, each at most `width` characters.
pub(super) fn lines(sight: &Sight, cursor: &Cursor, width: usize) -> Vec<Line> {
    let Sight { at, task_managers, slots, slots_free, ended, hidden, jobs, .. } = sight;
    let used = slots.saturating_sub(*slots_free);
    let running = jobs.iter().filter(|job| !job.state.is_globally_terminal()).count() + hidden;
    let ended = ended + jobs.len() + hidden - running;
    let mut lines = vec![
        Line::toned(
            Tone::Head,
            format!(
                "{at}: {} running, {ended} ended; {task_managers} TaskManager{}, {used} of {slots} slots in use",
                number(running, "job"),
                plural(*task_managers)
            ),
        ),
        Line::plain(String::new()),
        Line::toned(Tone::Quiet, row(&JOB_HEAD.map(str::to_owned), "JOB")),
    ];
    for job in jobs {
        let tone = if cursor.chosen == Some(job.jid) { Tone::Chosen } else { Tone::Plain };
        lines.push(Line::toned(tone, job_row(job, sight.now)));
        lines.extend(job.waiting.iter().map(|why| Line::toned(Tone::Warning, format!("  waiting: {why}"))));
        if cursor.open == Some(job.jid) {
            lines.extend(job.verdicts.iter().flat_map(all_of));
            lines.extend(job.vertices.iter().map(|vertex| Line::plain(vertex_row(vertex, sight.now))));
        } else {
            let worst = job.verdicts.first().filter(|verdict| verdict.kind != "waiting");
            lines.extend(worst.map(|verdict| Line::toned(tone_of(verdict.severity), format!("  {}", verdict.cause))));
        }
    }
    if jobs.is_empty() {
        lines.push(Line::plain("No job runs.".to_owned()));
    }
    if *hidden > 0 {
        lines.push(Line::toned(Tone::Quiet, format!("and {}", number(*hidden, "more job"))));
    }
    for line in &mut lines {
        if let Some((end, _)) = line.text.char_indices().nth(width) {
            line.text.truncate(end);
        }
    }
    lines
}

/// As many lines as there is room for, around the chosen job.
pub(super) fn window(mut lines: Vec<Line>, height: usize) -> Vec<Line> {
    let height = height.max(1);
    let chosen = lines.iter().position(|line| line.tone == Tone::Chosen).unwrap_or(0);
    if lines.len() > height {
        let first = chosen.saturating_sub(height / 2).min(lines.len() - height);
        lines.drain(..first);
        lines.truncate(height);
    }
    lines
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn number(count: usize, what: &str) -> String {
    format!("{count} {what}{}", plural(count as u64))
}

fn tone_of(severity: Severity) -> Tone {
    match severity {
        Severity::Error => Tone::Error,
        Severity::Warning => Tone::Warning,
        Severity::Info => Tone::Quiet,
    }
}

fn all_of(verdict: &Verdict) -> impl Iterator<Item = Line> {
    let rest = [&verdict.evidence, &verdict.remedy].map(|text| (!text.is_empty()).then(|| format!("    {text}")));
    let cause = Line::toned(tone_of(verdict.severity), format!("  {}", verdict.cause));
    std::iter::once(cause).chain(rest.into_iter().flatten().map(|text| Line::toned(Tone::Quiet, text)))
}

/// Columns of fixed width before a name that takes what is left.
fn row(cells: &[String; 8], name: &str) -> String {
    let mut text = String::new();
    for (index, (cell, width)) in cells.iter().zip(WIDTHS).enumerate() {
        // The state reads from the left, numbers end at the right.
        text.push_str(&if index == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        text.push(' ');
    }
    text + name
}

fn job_row(job: &LiveJob, now: Now) -> String {
    let sources = job.vertices.iter().filter(|vertex| vertex.rated && vertex.records[0] > 0);
    let first = sources.clone().next().map(|vertex| vertex.rate[0]);
    let last = job.vertices.iter().rev().find(|vertex| vertex.rated).map(|vertex| vertex.rate[0].max(vertex.rate[1]));
    let most = |read: fn(&LiveVertex) -> u64| job.vertices.iter().filter(|it| it.rated).map(read).max();
    let tasks = |state: &str| job.vertices.iter().filter_map(|vertex| vertex.tasks.get(state)).sum::<u64>();
    let all: u64 = job.vertices.iter().map(|vertex| u64::from(vertex.parallelism)).sum();
    let lag = job.vertices.iter().filter_map(|vertex| lag(vertex, now)).max();
    let name = match job.restarts {
        0 => job.name.clone(),
        restarts => format!("{} ({restarts} restart{})", job.name, plural(u64::from(restarts))),
    };
    let cells = [
        job.state.to_string().to_lowercase(),
        span(now.as_millis().saturating_sub(job.start.as_millis())),
        format!("{}/{all}", tasks("RUNNING")),
        or_dash(first.map(count)),
        or_dash(last.map(count)),
        or_dash(most(|it| it.busy[1]).map(percent)),
        or_dash(most(|it| it.backpressured[1]).map(percent)),
        or_dash(lag.map(span)),
    ];
    row(&cells, &format!("{name}  {}", job.jid))
}

fn vertex_row(vertex: &LiveVertex, now: Now) -> String {
    let rated = |value: u64, show: fn(u64) -> String| or_dash(vertex.rated.then(|| show(value)));
    let running = vertex.tasks.get("RUNNING").copied().unwrap_or(0);
    let cells = [
        format!("  {}", vertex.status.to_lowercase()),
        String::new(),
        format!("{running}/{}", vertex.parallelism),
        rated(vertex.rate[0], count),
        rated(vertex.rate[1], count),
        rated(vertex.busy[1], percent),
        rated(vertex.backpressured[1], percent),
        or_dash(lag(vertex, now).map(span)),
    ];
    row(&cells, &format!("  {}", vertex.name))
}

/// How far event time is behind the clock, in milliseconds; none where it is at its end, or of another age altogether.
fn lag(vertex: &LiveVertex, now: Now) -> Option<u64> {
    let clock = i64::try_from(now.as_millis()).ok()?;
    u64::try_from(clock.checked_sub(vertex.watermark?.0)?).ok()
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn percent(permille: u64) -> String {
    format!("{}%", permille / 10)
}

/// Three digits and a unit: 987, 20.0k, 1.25M.
fn count(value: u64) -> String {
    let scaled = |unit: u64, name: &str| {
        let whole = value / unit;
        let digits = 3usize.saturating_sub(whole.to_string().len());
        // A rate's fourth digit is noise.
        format!("{:.digits$}{name}", value as f64 / unit as f64)
    };
    match value {
        0..1_000 => value.to_string(),
        1_000..1_000_000 => scaled(1_000, "k"),
        1_000_000..1_000_000_000 => scaled(1_000_000, "M"),
        _ => scaled(1_000_000_000, "G"),
    }
}

/// Milliseconds in their two largest units.
fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..10 => format!("{}.{}s", seconds, millis % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        86_400..31_536_000 => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::VertexId;
    use crate::protocol::diagnosis::Evidence;
    use crate::protocol::job::JobStatus;
    use crate::time::EventTime;

    fn job(id: u128, name: &str) -> LiveJob {
        let vertex = |name: &str, watermark| LiveVertex {
            id: VertexId(1),
            name: name.to_owned(),
            parallelism: 2,
            status: "RUNNING".to_owned(),
            tasks: [("RUNNING".to_owned(), 2)].into(),
            records: [10, 10],
            rated: true,
            rate: [20_000, 19_500],
            busy: [400, 812],
            backpressured: [0, 30],
            watermark,
        };
        LiveJob {
            jid: JobId(id),
            name: name.to_owned(),
            state: JobStatus::Running,
            start: Now(1_000_000),
            restarts: 1,
            waiting: None,
            verdicts: vec![Verdict {
                cause: "sum is the bottleneck".to_owned(),
                evidence: "busy 81 %".to_owned(),
                remedy: String::new(),
                ..Verdict::new(Severity::Warning, "bottleneck", Evidence::Graph)
            }],
            vertices: vec![vertex("Source: s", None), vertex("sum", Some(EventTime(1_054_300)))],
        }
    }

    fn sight(jobs: Vec<LiveJob>) -> Sight {
        let now = Now(1_062_000);
        Sight { now, at: "h:1".to_owned(), task_managers: 1, slots: 4, slots_free: 1, jobs, ..Sight::default() }
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_job_is_a_line_with_what_is_the_matter_below_and_its_vertices_on_demand() {
        let sight = sight(vec![job(1, "count")]);
        let mut cursor = Cursor::default();
        cursor.keep_within(&sight);
        let closed = lines(&sight, &cursor, 200);
        assert_eq!(closed[0].text, "h:1: 1 job running, 0 ended; 1 TaskManager, 3 of 4 slots in use");
        let expected = "running         1m 2s     4/4     20.0k     20.0k   81%    3%      7.7s count (1 restart)";
        assert!(closed[3].text.starts_with(expected), "{}", closed[3].text);
        assert_eq!(closed[3].tone, Tone::Chosen);
        assert_eq!(texts(&closed[4..]), ["  sum is the bottleneck"]);
        cursor.toggle();
        let open = lines(&sight, &cursor, 200);
        assert_eq!(open.len(), closed.len() + 3, "its numbers, and two vertices");
        assert!(open.last().unwrap().text.ends_with("7.7s   sum"), "{:?}", open.last());
        cursor.toggle();
        assert_eq!(lines(&sight, &cursor, 200), closed);
        assert!(lines(&sight, &cursor, 20).iter().all(|line| line.text.chars().count() <= 20));
    }

    #[test]
    fn the_cursor_stays_on_its_job_and_within_the_list() {
        let mut sight = sight((1..=3).map(|id| job(id, "j")).collect());
        let mut cursor = Cursor::default();
        cursor.keep_within(&sight);
        for (by, expected) in [(-1, 1), (1, 2), (1, 3), (1, 3), (-1, 2)] {
            cursor.step(&sight, by);
            assert_eq!(cursor.chosen, Some(JobId(expected)));
        }
        sight.jobs.remove(0);
        cursor.keep_within(&sight);
        assert_eq!(cursor.chosen, Some(JobId(2)));
        sight.jobs.remove(0);
        cursor.keep_within(&sight);
        assert_eq!(cursor.chosen, Some(JobId(3)));
        sight.jobs.clear();
        cursor.keep_within(&sight);
        assert_eq!((cursor.chosen, lines(&sight, &cursor, 80).last().unwrap().text.as_str()), (None, "No job runs."));
    }

    #[test]
    fn a_small_screen_shows_the_lines_around_the_chosen_job() {
        let sight = sight((1..=30).map(|id| job(id, "j")).collect());
        let cursor = Cursor { chosen: Some(JobId(30)), open: None };
        let all = lines(&sight, &cursor, 120);
        let shown = window(all.clone(), 10);
        assert_eq!(shown.len(), 10);
        assert!(shown.iter().any(|line| line.tone == Tone::Chosen));
        assert_eq!(window(all.clone(), 500), all);
    }

    #[test]
    fn numbers_have_three_digits_and_spans_two_units() {
        assert_eq!([999, 1_000, 20_040, 999_400, 1_250_000].map(count), ["999", "1.00k", "20.0k", "999k", "1.25M"]);
        assert_eq!([9_950, 59_000, 3_599_000, 90_000_000].map(span), ["9.9s", "59s", "59m 59s", "1d 1h"]);
    }
}
