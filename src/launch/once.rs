//! `env.once`: values that may differ between runs of `main` and must not differ within a job.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Error;
use super::role::{self, Role};

/// The values a program evaluates once: in the plan and local roles here, in the worker role in the past, and the stored plan
/// has them.
///
/// Held by the program's environment, which puts [`Once::values`] into its plan.
#[derive(Debug, Default)]
pub(crate) struct Once {
    recorded: Option<BTreeMap<String, Value>>,
    values: BTreeMap<String, Value>,
}

impl Once {
    /// For this process's role.
    ///
    /// # Errors
    /// When the stored plan cannot be read.
    pub(crate) fn from_environment() -> Result<Self, Error> {
        match Role::from_environment()? {
            Role::Local | Role::Plan { .. } | Role::Validate { .. } | Role::Describe => Ok(Self::default()),
            Role::Worker { plan, .. } => {
                Ok(Self { recorded: Some(role::read_plan(&plan)?.once), values: BTreeMap::new() })
            }
        }
    }

    /// The value called `name`: what the plan holds, where there is one, else `evaluate`'s.
    ///
    /// # Errors
    /// When the value has no JSON form, or the plan has none by that name or of that type.
    pub(crate) fn value<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        evaluate: impl FnOnce() -> T,
    ) -> Result<T, Error> {
        let wrong = |cause: String| Error::Once { name: name.to_owned(), cause };
        let json = match (&self.recorded, self.values.get(name)) {
            (_, Some(known)) => known.clone(),
            (Some(recorded), None) => {
                recorded.get(name).cloned().ok_or_else(|| wrong("it was not evaluated when planned".to_owned()))?
            }
            (None, None) => serde_json::to_value(evaluate()).map_err(|error| wrong(error.to_string()))?,
        };
        let value = serde_json::from_value(json.clone()).map_err(|error| wrong(error.to_string()))?;
        self.values.insert(name.to_owned(), json);
        Ok(value)
    }

    /// All values asked for so far, for the plan's `once`.
    pub(crate) fn values(&self) -> &BTreeMap<String, Value> {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_evaluated_once_and_read_back_in_the_worker() {
        let mut planned = Once::default();
        assert_eq!(planned.value("seed", || 7u64).unwrap(), 7);
        assert_eq!(planned.value("seed", || 8u64).unwrap(), 7);
        let mut worker = Once { recorded: Some(planned.values().clone()), values: BTreeMap::new() };
        assert_eq!(worker.value("seed", || 9u64).unwrap(), 7);
        let error = worker.value("other", || 1u64).unwrap_err().to_string();
        assert!(error.contains("\"other\""), "{error}");
    }
}
