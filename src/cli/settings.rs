//! Configuration as commands read it, and `flott config show`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::arguments::{Config, ConfigVerb, Settings};
use super::output::{print, table};
use crate::config::{ClientConfig, Configuration, MASK, Origin, is_secret, options};

/// Lines `key: value` that outrank the file: Flink's image does it so.
const PROPERTIES: &str = "FLOTT_PROPERTIES";

impl Settings {
    /// Defaults, file, `FLOTT_PROPERTIES`, `-D`.
    pub(super) fn load(&self) -> anyhow::Result<Configuration> {
        let properties = std::env::var(PROPERTIES).ok();
        let mut configuration = Configuration::load(self.conf_dir().as_deref(), properties.as_deref(), &self.define)?;
        if let Some(file) = &self.token_file {
            configuration.set(options::SECURITY_TOKEN_FILE.key, &file.to_string_lossy(), Origin::CommandLine)?;
        }
        Ok(configuration)
    }

    /// What a client needs.
    pub(super) fn client(&self) -> anyhow::Result<(Configuration, ClientConfig)> {
        let configuration = self.load()?;
        let client = ClientConfig::from_configuration(&configuration)?;
        Ok((configuration, client))
    }

    /// The directory given, else `conf/` beside the directory of the binary, as in an installation.
    fn conf_dir(&self) -> Option<PathBuf> {
        self.conf_dir.clone().or_else(|| {
            let binary = std::env::current_exe().ok()?;
            let installed = binary.parent()?.parent()?.join("conf");
            installed.join("flott.yaml").exists().then_some(installed)
        })
    }
}

/// `flott config`.
pub(super) fn config(options: Config) -> anyhow::Result<ExitCode> {
    let ConfigVerb::Show { settings, origin, output } = options.verb;
    let configuration = settings.load()?;
    let shown: Vec<_> = configuration
        .iter()
        .filter_map(|setting| {
            let value = setting.value?;
            let value = if is_secret(&setting.key) { MASK.to_owned() } else { value };
            Some((setting.key, value, setting.origin.to_string()))
        })
        .collect();
    let json: serde_json::Map<_, _> = shown
        .iter()
        .map(|(key, value, from)| {
            let value =
                if origin { serde_json::json!({ "value": value, "origin": from }) } else { serde_json::json!(value) };
            (key.clone(), value)
        })
        .collect();
    print(output, &json, || {
        if origin {
            table(
                ["KEY", "VALUE", "ORIGIN"],
                shown.iter().map(|(key, value, from)| [key.clone(), value.clone(), from.clone()]),
            )
        } else {
            table(["KEY", "VALUE"], shown.iter().map(|(key, value, _)| [key.clone(), value.clone()]))
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
