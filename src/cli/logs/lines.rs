//! Lines of several logs: which are wanted, and their order.

use std::fmt;

/// An entry's place among others, as logs write it: such times sort as text.
const TIME_LEN: usize = "2025-11-22T19:08:07.123Z".len();

/// How much an entry matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    fn read(word: &str) -> Option<Self> {
        let all = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];
        all.into_iter().find(|level| level.to_string() == word)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        })
    }
}

/// A line with its time, and those behind it that have none: a panic's message, say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Empty in front of the first line that has one.
    pub(super) time: String,
    pub(super) origin: String,
    pub(super) level: Option<Level>,
    pub(super) lines: Vec<String>,
}

/// What is wanted. Everything unless said.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// Not before this time.
    pub(super) since: Option<String>,
    pub(super) level: Option<Level>,
    /// Of one of these vertices.
    pub(super) vertices: Option<Vec<String>>,
    pub(super) subtask: Option<u32>,
}

impl Filter {
    fn admits(&self, time: &str, level: Option<Level>, line: &str) -> bool {
        let has = |field: &str, value: &str| {
            line.split_whitespace().any(|word| word.split_once('=').is_some_and(|(f, v)| f == field && v == value))
        };
        self.since.as_ref().is_none_or(|since| time >= since.as_str())
            && self.level.is_none_or(|least| level.is_some_and(|level| level >= least))
            && self.vertices.as_ref().is_none_or(|wanted| wanted.iter().any(|vertex| has("vertex", vertex)))
            && self.subtask.is_none_or(|subtask| has("subtask", &subtask.to_string()))
    }
}

/// One log, read piece by piece.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    origin: String,
    /// Only entries that name this.
    about: Option<String>,
    /// The line that is not ended yet.
    rest: Vec<u8>,
    /// Of the last entry: what follows without a time belongs to it.
    time: String,
    level: Option<Level>,
    admitted: Option<bool>,
}

impl Reader {
    pub(super) fn new(origin: String, about: Option<String>) -> Self {
        Self { origin, about, rest: Vec::new(), time: String::new(), level: None, admitted: None }
    }

    /// The wanted entries of a further piece. What does not end with a line waits for the next one, unless it is the `last`.
    pub(super) fn read(&mut self, piece: &[u8], last: bool, filter: &Filter) -> Vec<Entry> {
        self.rest.extend_from_slice(piece);
        let whole = if last { self.rest.len() } else { memchr::memrchr(b'\n', &self.rest).map_or(0, |at| at + 1) };
        let text: Vec<u8> = self.rest.drain(..whole).collect();
        let mut entries: Vec<Entry> = Vec::new();
        // Whether the last of `entries` is the one that lines without a time belong to.
        let mut open = false;
        for line in String::from_utf8_lossy(&text).lines() {
            let begins = time_of(line);
            if let Some(time) = begins {
                self.time = time.to_owned();
                self.level = line[TIME_LEN..].split_whitespace().next().and_then(Level::read);
            }
            if begins.is_some() || self.admitted.is_none() {
                let about = self.about.as_ref().is_none_or(|about| line.contains(about.as_str()));
                self.admitted = Some(about && filter.admits(&self.time, self.level, line));
                open = false;
            }
            if self.admitted != Some(true) {
                continue;
            }
            match entries.last_mut().filter(|_| open) {
                Some(entry) => entry.lines.push(line.to_owned()),
                None => entries.push(Entry {
                    time: self.time.clone(),
                    origin: self.origin.clone(),
                    level: self.level,
                    lines: vec![line.to_owned()],
                }),
            }
            open = true;
        }
        entries
    }
}

/// The time that a line begins with.
fn time_of(line: &str) -> Option<&str> {
    const SHAPE: &[u8; TIME_LEN] = b"0000-00-00T00:00:00.000Z";
    let time = line.get(..TIME_LEN)?;
    let fits = |(byte, shape): (u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == *shape };
    time.bytes().zip(SHAPE).all(fits).then_some(time)
}

/// Entries of several logs by time; those of one log stay in their order.
pub(super) fn merge(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|a, b| a.time.cmp(&b.time)); // Stable.
    entries
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JM: &str = "2026-01-01T00:00:01.000Z  INFO flott::jm: job status changed job=ab to=RUNNING\n\
                      2026-01-01T00:00:03.000Z  WARN flott::jm: of another job=cd\n";
    const TM: &str = "loading\n\
                      2026-01-01T00:00:00.500Z  INFO task: program: begun vertex=v1 subtask=0\n\
                      2026-01-01T00:00:02.000Z ERROR task: flott: panic: oops vertex=v1 subtask=1\n\
                      thread 'x' panicked:\n  oops\n";

    fn shown(filter: &Filter) -> Vec<String> {
        let mut jm = Reader::new("jm".into(), Some("ab".into()));
        let mut tm = Reader::new("tm2".into(), None);
        let entries = [jm.read(JM.as_bytes(), true, filter), tm.read(TM.as_bytes(), true, filter)].concat();
        merge(entries).iter().map(|entry| format!("{} {}", entry.origin, entry.lines.join("|"))).collect()
    }

    #[test]
    fn logs_are_merged_by_time_and_what_follows_an_entry_stays_with_it() {
        let all = shown(&Filter::default());
        assert_eq!(all.len(), 4, "{all:?}");
        assert_eq!(all[0], "tm2 loading");
        assert!(
            all[1].contains("begun") && all[2].starts_with("jm") && all[3].ends_with("|thread 'x' panicked:|  oops")
        );
    }

    #[test]
    fn each_wish_leaves_out_what_it_is_not_about() {
        let count = |filter: Filter| shown(&filter).len();
        assert_eq!(count(Filter { level: Some(Level::Warn), ..Filter::default() }), 1);
        assert_eq!(count(Filter { since: Some("2026-01-01T00:00:01.000Z".into()), ..Filter::default() }), 2);
        assert_eq!(count(Filter { subtask: Some(1), ..Filter::default() }), 1);
        assert_eq!(count(Filter { subtask: Some(10), ..Filter::default() }), 0);
        assert_eq!(count(Filter { vertices: Some(vec!["v1".into()]), ..Filter::default() }), 2);
        assert_eq!(count(Filter { vertices: Some(vec![]), ..Filter::default() }), 0);
    }

    #[test]
    fn only_a_time_is_a_time() {
        assert_eq!(time_of("2026-01-01T00:00:01.000Z x"), Some("2026-01-01T00:00:01.000Z"));
        for line in
            ["", "2026-01-01", "2026-01-01 00:00:01.000Z x", "äöüäöüäöüäöüäöüäöüäöü", "20x6-01-01T00:00:01.000Z x"]
        {
            assert_eq!(time_of(line), None, "{line}");
        }
    }

    proptest! {
        /// However a log is cut into pieces, its lines come out the same.
        #[test]
        fn pieces_do_not_matter(cuts in prop::collection::vec(0..TM.len(), 0..6), level in prop::option::of(Just(Level::Error))) {
            let filter = Filter { level, ..Filter::default() };
            let lines = |entries: Vec<Entry>| entries.into_iter().flat_map(|entry| entry.lines).collect::<Vec<_>>();
            let mut cuts = cuts;
            cuts.extend([0, TM.len()]);
            cuts.sort_unstable();
            let mut reader = Reader::new("tm2".into(), None);
            let mut pieces: Vec<Entry> = Vec::new();
            for pair in cuts.windows(2) {
                pieces.extend(reader.read(&TM.as_bytes()[pair[0]..pair[1]], false, &filter));
            }
            let whole = Reader::new("tm2".into(), None).read(TM.as_bytes(), true, &filter);
            prop_assert_eq!(lines(pieces), lines(whole));
        }
    }
}
