//! Configuration given to a program that is run by hand.

use std::path::Path;

use super::Error;
use crate::config::{Configuration, S3Config};
use crate::protocol::roles;
use crate::rpc::io_cause;

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

/// How this process reaches object stores: as a file says that whoever started it has written, else as `given`.
///
/// # Errors
/// A file that cannot be read; values that do not belong together.
pub(super) fn object_stores(given: &Configuration) -> Result<S3Config, Error> {
    match std::env::var_os(roles::OBJECT_STORES) {
        Some(file) => S3Config::read_private(Path::new(&file))
            .map_err(|error| Error::environment(roles::OBJECT_STORES, io_cause(&error))),
        None => Ok(S3Config::from_configuration(given)?),
    }
}
