//! Configuration given to a program that is run by hand.

use super::Error;
use crate::config::Configuration;

/// Lines `key: value`, for programs run by hand and for images.
const PROPERTIES: &str = "FLOTT_PROPERTIES";

/// What was given to this process, checked. It outranks what the program sets.
///
/// # Errors
/// A key that is unknown, or a value that is not of its kind.
pub(super) fn given() -> Result<Configuration, Error> {
    let properties = std::env::var(PROPERTIES).ok();
    Ok(Configuration::load(None, properties.as_deref(), &[])?)
}
