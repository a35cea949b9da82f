//! For tests of what is made of a configuration.

use super::{Configuration, Origin};

/// A configuration of these keys, as given by `-D`.
pub(super) fn set(pairs: &[(&str, &str)]) -> Configuration {
    let mut configuration = Configuration::new();
    for (key, value) in pairs {
        configuration.set(key, value, Origin::CommandLine).unwrap();
    }
    configuration
}
