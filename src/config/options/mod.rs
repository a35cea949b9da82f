//! The table of known keys: name, kind, default, meaning, old names.

mod cluster;
mod flink;
mod unread;

pub use self::cluster::*;
pub use self::flink::*;
pub use self::unread::*;
use super::kind::Kind;

/// One known key.
#[derive(Debug)]
pub struct ConfigOption {
    /// Its present name.
    pub key: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its value if nobody sets it; `None` = absent or derived, as the meaning says.
    pub default: Option<&'static str>,
    /// One line for `flott config show`.
    pub meaning: &'static str,
    /// Old names.
    pub aliases: &'static [&'static str],
    /// Whether setting it has an effect. If not it is taken for compatibility, and said so.
    pub honoured: bool,
}

impl ConfigOption {
    /// Whether the key belongs to a job, so that a submission may carry it, rather than to a process.
    pub fn is_job_level(&self) -> bool {
        const PREFIXES: [&str; 6] = ["pipeline.", "execution.", "restart-strategy.", "state.", "table.", "task."];
        const CLIENT: [&str; 2] = ["execution.target", "execution.attached"];
        let prefixed = PREFIXES.iter().any(|prefix| self.key.starts_with(prefix));
        (prefixed && !CLIENT.contains(&self.key)) || self.key == PARALLELISM_DEFAULT.key
    }
}

/// Whether `key` is of those that a machine has and no submission carries: others read what is recorded of a job.
pub fn is_private(key: &str) -> bool {
    [&S3_ACCESS_KEY, &S3_SECRET_KEY].iter().any(|option| option.key == key)
}

/// Defines options and `ALL`, their table. `NAME: Kind, "key" = "default", "meaning" aka ["old"];`
macro_rules! options {
    (honoured: $honoured:literal; $($name:ident: $kind:expr, $key:literal $(= $default:literal)?, $meaning:literal
        $(aka [$($alias:literal),*])?;)*) => {
        $(
            #[doc = concat!("`", $key, "`: ", $meaning)]
            pub static $name: $crate::config::options::ConfigOption = $crate::config::options::ConfigOption {
                key: $key,
                kind: $kind,
                default: $crate::config::options::first(&[$($default)?]),
                meaning: $meaning,
                aliases: &[$($($alias),*)?],
                honoured: $honoured,
            };
        )*

        pub(super) static ALL: &[&$crate::config::options::ConfigOption] = &[$(&$name),*];
    };
}
use options;

const fn first(defaults: &'static [&'static str]) -> Option<&'static str> {
    match defaults {
        [default, ..] => Some(default),
        [] => None,
    }
}

fn all() -> impl Iterator<Item = &'static ConfigOption> {
    [cluster::ALL, flink::ALL, unread::ALL].into_iter().flatten().copied()
}

/// All of them, by key.
pub fn sorted() -> Vec<&'static ConfigOption> {
    let mut options: Vec<_> = all().collect();
    options.sort_by_key(|option| option.key);
    options
}

/// The option of this name, present or old.
pub fn find(key: &str) -> Option<&'static ConfigOption> {
    let key = key.strip_prefix("akka.").map_or_else(|| key.to_owned(), |rest| format!("pekko.{rest}"));
    all().find(|option| option.key == key).or_else(|| all().find(|option| option.aliases.contains(&key.as_str())))
}

/// Families that concern only the JVM or Hadoop: taken without a word.
const SILENT: [&str; 16] = [
    "env.java.",
    "env.ssh.",
    "env.yarn.",
    "env.hadoop.",
    "env.log.",
    "classloader.",
    "blob.",
    "jmx.",
    "security.kerberos.",
    "security.delegation.",
    "taskmanager.memory.framework.",
    "taskmanager.memory.jvm-metaspace.",
    "taskmanager.memory.jvm-overhead.",
    "jobmanager.memory.jvm-",
    "hadoop.",
    "flink.hadoop.",
];

/// Families with names of the user's in them, or that we do not read yet: taken, and said to be without effect.
const UNREAD: [&str; 32] = [
    "pekko.",
    "akka.",
    "metrics.",
    "external-resource.",
    "security.ssl.",
    "high-availability.",
    "kubernetes.",
    "historyserver.",
    "jobstore.expiration-time",
    "jobstore.cache-size",
    "table.",
    "sql.",
    "python.",
    "state.backend.",
    "state.changelog.",
    "state.latency-track.",
    "execution.checkpointing.",
    "execution.state-recovery.",
    "execution.batch.",
    "execution.batch-shuffle-mode",
    "jobmanager.adaptive-scheduler.",
    "jobmanager.adaptive-batch-scheduler.",
    "jobmanager.archive.",
    "jobmanager.partition.",
    "taskmanager.network.",
    "taskmanager.memory.",
    "taskmanager.debug.",
    "jobmanager.memory.",
    "yarn.",
    "web.",
    "rest.",
    "application-result-store.",
];

/// Whether a key that is not in the table belongs to a family that is taken nevertheless.
pub fn accepts_foreign(key: &str) -> bool {
    is_silent(key) || (UNREAD.iter().any(|prefix| key.starts_with(prefix)) && nearest_within(key, 2).is_none())
}

/// Whether it is taken without a word.
pub fn is_silent(key: &str) -> bool {
    SILENT.iter().any(|prefix| key.starts_with(prefix)) || key == "env.java.opts"
}

/// The known key that `key` was probably meant to be.
pub fn nearest(key: &str) -> Option<&'static str> {
    nearest_within(key, 1 + key.len() / 5)
}

fn nearest_within(key: &str, distance_max: usize) -> Option<&'static str> {
    let candidates =
        all().flat_map(|option| option.aliases.iter().chain([&option.key]).map(move |name| (*name, option.key)));
    // So many letters have to go or come at least; this alone tells a text of a thousand letters from all keys.
    let letters = key.chars().count();
    candidates
        .filter(|(name, _)| name.len().abs_diff(letters) <= distance_max)
        .map(|(name, key_of)| (distance(key, name), key_of))
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, key_of)| key_of)
}

/// How many letters have to be changed, left out or put in (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_defaults_are_of_their_kind() {
        let mut names = BTreeSet::new();
        for option in all() {
            for name in option.aliases.iter().chain([&option.key]) {
                assert!(names.insert(*name), "{name} twice");
            }
            if let Some(default) = option.default {
                assert!(option.kind.accepts(default), "{}: {default}", option.key);
            }
            assert!(option.meaning.ends_with('.'), "{}", option.key);
        }
    }

    #[test]
    fn nearest_names_are_suggested_and_far_ones_are_not() {
        assert_eq!(nearest("rest.prot"), Some("rest.port"));
        assert_eq!(nearest("taskmanager.numberOfTaskSlot"), Some("taskmanager.numberOfTaskSlots"));
        assert_eq!(nearest("jobmanager.web.prot"), Some("rest.port"), "old names lead to the present one");
        assert_eq!(nearest("something.else.entirely"), None);
        assert!(!accepts_foreign("web.refresh-intervall"), "a slip of the pen is none of the user's own names");
        assert!(accepts_foreign("metrics.reporter.mine.port"));
    }

    #[test]
    fn job_level_keys_are_those_a_submission_may_carry() {
        assert!(PARALLELISM_DEFAULT.is_job_level() && RESTART_STRATEGY_TYPE.is_job_level());
        assert!(!EXECUTION_TARGET.is_job_level() && !CLUSTER_SECRET.is_job_level());
    }
}
