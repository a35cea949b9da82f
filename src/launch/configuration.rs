//! Job-level configuration given from outside: by whoever started the program, or recorded at submission.

use std::collections::BTreeMap;

use super::Error;
use super::role::Role;
use crate::config::Configuration;
use crate::protocol::roles;

/// Lines `key: value`, for programs run by hand and for images.
const PROPERTIES: &str = "FLOTT_PROPERTIES";

/// What was given to this process, checked.
pub(super) fn of_this_process() -> Result<Configuration, Error> {
    match Role::from_environment()? {
        Role::Local | Role::Describe => {
            let properties = std::env::var(PROPERTIES).ok();
            Ok(Configuration::load(None, properties.as_deref(), &[])?)
        }
        Role::Plan { .. } => {
            let Ok(json) = std::env::var(roles::CONFIGURATION) else {
                return Ok(Configuration::new());
            };
            let values: BTreeMap<String, String> =
                serde_json::from_str(&json).map_err(|error| Error::environment(roles::CONFIGURATION, error))?;
            Ok(Configuration::new().with_submitted(&values)?)
        }
        Role::Worker { environment, .. } => Ok(Configuration::new().with_submitted(&environment.configuration)?),
    }
}

/// The same as keys and values, for programs that look at it while they build their graph. It outranks what they set.
///
/// # Errors
/// A key that is unknown, or a value that is not of its kind.
pub(crate) fn given() -> Result<BTreeMap<String, String>, Error> {
    Ok(of_this_process()?.to_map())
}
