//! Values in layers, each with its origin.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::kind::{Kind, Value};
use super::options::{self, ConfigOption};
use super::{Error, MASK, is_secret, yaml};

/// Where a value was set, weakest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// The variable `FLOTT_PROPERTIES`.
    Properties {
        /// From 1.
        line: u64,
    },
    /// `-D key=value`.
    CommandLine,
    /// Recorded with a submission, or set by flott itself.
    Submission,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Properties { line } => write!(f, "FLOTT_PROPERTIES:{line}"),
            Self::CommandLine => f.write_str("-D"),
            Self::Submission => f.write_str("submission"),
        }
    }
}

/// One key as `flott config show` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its present name.
    pub key: String,
    /// Masked if it is a secret; `None` if it has no default and was not set.
    pub value: Option<String>,
    /// Where the value comes from.
    pub origin: Origin,
    /// What the key means; empty for accepted foreign keys.
    pub meaning: &'static str,
}

/// A checked set of values over the defaults.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    values: BTreeMap<String, (String, Origin)>,
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values.iter().map(|(key, (value, _))| (key, shown(key, value)))).finish()
    }
}

fn shown(key: &str, value: &str) -> String {
    if is_secret(key) { MASK.to_owned() } else { value.to_owned() }
}

/// Names of the file in a configuration directory; the first one found is read.
const FILE_NAMES: [&str; 2] = ["flott.yaml", "config.yaml"];

impl Configuration {
    /// Nothing but defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the layers together: the file in `conf_dir`, then `properties` (lines `key: value`, the content of
    /// `FLOTT_PROPERTIES`), then `overrides` (from `-D`).
    ///
    /// # Errors
    /// The first mistake found, with its origin.
    pub fn load(
        conf_dir: Option<&Path>,
        properties: Option<&str>,
        overrides: &[(String, String)],
    ) -> Result<Self, Error> {
        let mut configuration = Self::new();
        if let Some(dir) = conf_dir {
            let path = FILE_NAMES.iter().map(|name| dir.join(name)).find(|path| path.exists());
            configuration.add_file(&path.unwrap_or_else(|| dir.join(FILE_NAMES[0])))?;
        }
        configuration.add_properties(properties.unwrap_or_default())?;
        for (key, value) in overrides {
            configuration.set(key, value, Origin::CommandLine)?;
        }
        Ok(configuration)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let is_map = |key: &str| options::find(key).is_some_and(|option| option.kind == Kind::Map);
        let entries = yaml::entries(&text, is_map).map_err(|cause| Error::Syntax { path: path.to_owned(), cause })?;
        for entry in entries {
            let origin = Origin::File { path: path.to_owned(), line: entry.line };
            self.set(&entry.key, &entry.value, origin)?;
        }
        Ok(())
    }

    fn add_properties(&mut self, text: &str) -> Result<(), Error> {
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let origin = Origin::Properties { line };
            let Some((key, value)) = text.split_once(':') else {
                return Err(Error::Malformed { text: text.to_owned(), origin, form: "key: value" });
            };
            self.set(key.trim(), value.trim(), origin)?;
        }
        Ok(())
    }

    /// Values recorded with a submission, over these.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Invalid`], [`Error::Private`].
    pub fn with_submitted(mut self, values: &BTreeMap<String, String>) -> Result<Self, Error> {
        for (key, value) in values {
            self.set(key, value, Origin::Submission)?;
        }
        Ok(self)
    }

    /// Sets `key` (an alias is resolved) over whatever it was.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Invalid`], [`Error::Private`].
    pub fn set(&mut self, key: &str, value: &str, origin: Origin) -> Result<(), Error> {
        let Some(option) = options::find(key) else {
            if options::accepts_foreign(key) {
                self.values.insert(key.to_owned(), (value.to_owned(), origin));
                return Ok(());
            }
            return Err(Error::Unknown { key: key.to_owned(), origin, suggestion: options::nearest(key) });
        };
        if origin == Origin::Submission && options::is_private(option.key) {
            return Err(Error::Private { key: key.to_owned() });
        }
        if !option.kind.accepts(value) {
            let value = shown(key, value);
            return Err(Error::Invalid { key: key.to_owned(), value, origin, expected: option.kind.expected() });
        }
        self.values.insert(option.key.to_owned(), (value.to_owned(), origin));
        Ok(())
    }

    /// The text set for `option`, else its default.
    pub fn raw(&self, option: &ConfigOption) -> Option<&str> {
        self.values.get(option.key).map(|(value, _)| value.as_str()).or(option.default)
    }

    /// Whether somebody set `option`.
    pub fn is_set(&self, option: &ConfigOption) -> bool {
        self.values.contains_key(option.key)
    }

    /// Where the value of `option` comes from.
    pub fn origin(&self, option: &ConfigOption) -> Origin {
        self.values.get(option.key).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// The value of `option`, if it has one.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the text is of the key's kind but not of this narrower type (a port of 70000).
    pub fn find<T: Value>(&self, option: &ConfigOption) -> Result<Option<T>, Error> {
        let Some(text) = self.raw(option) else { return Ok(None) };
        T::parse(text).map(Some).ok_or_else(|| self.invalid(option, T::EXPECTED))
    }

    /// The value of `option`, which has a default.
    ///
    /// # Errors
    /// As [`Configuration::find`]; [`Error::Conflict`] if there is no default and nobody set it.
    pub fn get<T: Value>(&self, option: &ConfigOption) -> Result<T, Error> {
        self.find(option)?
            .ok_or_else(|| Error::Conflict(format!("{} is not set; it takes {}", option.key, T::EXPECTED)))
    }

    /// That the present value of `option` is not `expected`.
    pub(super) fn invalid(&self, option: &ConfigOption, expected: &str) -> Error {
        Error::Invalid {
            key: option.key.to_owned(),
            value: shown(option.key, self.raw(option).unwrap_or_default()),
            origin: self.origin(option),
            expected: expected.to_owned(),
        }
    }

    /// Every known key with its value and origin, secrets masked, sorted; then the accepted foreign keys that are set.
    pub fn iter(&self) -> impl Iterator<Item = Setting> {
        let known = options::sorted().into_iter().map(|option| Setting {
            key: option.key.to_owned(),
            value: self.raw(option).map(|value| shown(option.key, value)),
            origin: self.origin(option),
            meaning: option.meaning,
        });
        let foreign = self.values.iter().filter(|(key, _)| options::find(key).is_none());
        let foreign = foreign.map(|(key, (value, origin))| Setting {
            key: key.clone(),
            value: Some(shown(key, value)),
            origin: origin.clone(),
            meaning: "",
        });
        known.chain(foreign)
    }

    /// What was set, unmasked but without what no submission may carry: to be recorded with one. Never log it.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let public = self.values.iter().filter(|(key, _)| !options::is_private(key));
        public.map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }

    /// What was set of the job-level keys (see [`ConfigOption::is_job_level`]); holds no secrets of the cluster.
    pub fn job_level(&self) -> BTreeMap<String, String> {
        self.values
            .iter()
            .filter(|(key, _)| options::find(key).is_some_and(ConfigOption::is_job_level))
            .map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect()
    }

    /// Keys that were set although nothing reads them yet; the daemon that loads them says so once.
    pub fn without_effect(&self) -> Vec<&str> {
        self.values
            .keys()
            .map(String::as_str)
            .filter(|key| match options::find(key) {
                Some(option) => !option.honoured,
                None => !options::is_silent(key),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn stronger_layers_win_and_say_where_a_value_comes_from() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flott.yaml");
        fs::write(&path, "parallelism:\n  default: 2\nrest.port: 1\nweb.port: 9\nheartbeat.interval: 2 s\n").unwrap();
        let properties = "# of the image\nrest.port: 3\nparallelism.default: 4\n";
        let configuration =
            Configuration::load(Some(dir.path()), Some(properties), &overrides(&[("parallelism.default", "5")]))
                .unwrap();
        assert_eq!(configuration.get::<u32>(&options::PARALLELISM_DEFAULT).unwrap(), 5);
        assert_eq!(configuration.origin(&options::PARALLELISM_DEFAULT), Origin::CommandLine);
        assert_eq!(configuration.get::<u16>(&options::REST_PORT).unwrap(), 3);
        assert_eq!(configuration.origin(&options::REST_PORT).to_string(), "FLOTT_PROPERTIES:2");
        assert_eq!(configuration.origin(&options::HEARTBEAT_INTERVAL), Origin::File { path, line: 5 });
        assert_eq!(configuration.origin(&options::HEARTBEAT_TIMEOUT), Origin::Default);
    }

    #[test]
    fn an_unknown_key_is_refused_with_origin_and_suggestion() {
        let refuse = |pairs: &[_]| Configuration::load(None, None, &overrides(pairs)).unwrap_err().to_string();
        assert_eq!(
            refuse(&[("paralelism.default", "2")]),
            "unknown key `paralelism.default` (-D); did you mean `parallelism.default`?"
        );
        assert_eq!(
            refuse(&[("colour.of.the.sky", "2")]),
            "unknown key `colour.of.the.sky` (-D); `flott config show` lists those with a value"
        );
        let error = Configuration::load(None, Some("rest.port: 1\nheartbeat.timeout: soon"), &[]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("`soon` is no value for heartbeat.timeout (FLOTT_PROPERTIES:2); it takes a dur")
        );
        let error = Configuration::load(None, Some("what is this"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "`what is this` (FLOTT_PROPERTIES:1) is not of the form key: value");
        assert!(Configuration::load(Some(Path::new("/nowhere")), None, &[]).is_err());
    }

    #[test]
    fn old_names_mean_the_new_keys_and_foreign_families_are_taken() {
        let pairs = [("restart-strategy", "fixed-delay"), ("env.java.opts.all", "-Xmx1g"), ("akka.ask.timeout", "3 s")];
        let configuration = Configuration::load(None, None, &overrides(&pairs)).unwrap();
        assert_eq!(configuration.raw(&options::RESTART_STRATEGY_TYPE), Some("fixed-delay"));
        assert_eq!(configuration.without_effect(), ["akka.ask.timeout"]);
    }

    #[test]
    fn secrets_are_masked_in_every_listing() {
        let configuration = Configuration::load(None, None, &overrides(&[("cluster.secret", "sesame")])).unwrap();
        let setting = configuration.iter().find(|setting| setting.key == "cluster.secret").unwrap();
        assert_eq!((setting.value.as_deref(), setting.origin), (Some(MASK), Origin::CommandLine));
        assert!(!format!("{configuration:?}").contains("sesame"));
        assert!(configuration.job_level().is_empty());
    }

    #[test]
    fn the_shipped_file_says_what_the_defaults_are() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
        let configuration = Configuration::load(Some(&dir), None, &[]).unwrap();
        assert!(configuration.values.len() > 30, "the file shows the keys that matter");
        for key in configuration.values.keys() {
            let option = options::find(key).unwrap_or_else(|| panic!("{key} is not in the table"));
            assert_eq!(configuration.raw(option), option.default, "{key}");
        }
        assert_eq!(configuration.without_effect(), Vec::<&str>::new());
    }
}
