//! Places that users name: paths, or addresses in an object store.
//!
//! A place is kept as text: a path, or `s3://bucket/key` without a slash at its end.

use std::io;
use std::path::Path;

use super::Error;
use super::files::path_of_uri;

/// What addresses in an object store begin with.
const SCHEME: &str = "s3://";
/// Other words for it, of Hadoop's and Presto's clients.
const ALIASES: [&str; 3] = ["s3a://", "s3n://", "s3p://"];

/// The kind of an I/O error that may pass by itself: it says nothing of what is read.
pub const TRANSIENT: io::ErrorKind = io::ErrorKind::ConnectionAborted;

/// The place that a text means: a path, a `file:` address, or an `s3://` one.
///
/// # Errors
/// [`Error::UnsupportedUri`] for other schemes, and for an address without a bucket.
pub fn place_of(text: &str) -> Result<String, Error> {
    let scheme = ALIASES.iter().chain([&SCHEME]).find_map(|scheme| text.strip_prefix(scheme));
    let Some(address) = scheme else {
        return Ok(path_of_uri(text)?.to_string_lossy().into_owned());
    };
    let address = address.trim_end_matches('/');
    let is_whole = !address.is_empty() && address.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if is_whole { Ok(format!("{SCHEME}{address}")) } else { Err(Error::UnsupportedUri { uri: text.to_owned() }) }
}

/// The same, from where this process stands if it is a path.
///
/// # Errors
/// As [`place_of`]; a directory to stand in that is not there.
pub fn absolute_place_of(text: &str) -> Result<String, Error> {
    let place = place_of(text)?;
    if is_object(&place) {
        return Ok(place);
    }
    let path = std::path::absolute(&place).map_err(Error::io("find", Path::new(&place)))?;
    Ok(path.to_string_lossy().into_owned())
}

/// Whether a place is in an object store.
pub fn is_object(place: &str) -> bool {
    place.starts_with(SCHEME)
}

/// Whether every machine means the same by it, as far as that can be said.
pub fn is_absolute(place: &str) -> bool {
    is_object(place) || Path::new(place).is_absolute()
}

/// The place of this name in a directory.
pub fn inside(directory: &str, name: &str) -> String {
    format!("{}/{name}", directory.trim_end_matches('/'))
}

/// The directory that holds a place; nothing for a bucket and for the root.
pub fn parent_of(place: &str) -> Option<&str> {
    let (parent, _) = place.rsplit_once('/')?;
    (is_object(parent) || !is_object(place)).then_some(parent).filter(|parent| *parent != "s3:/")
}

/// Bucket and key of a place in an object store.
#[cfg(feature = "s3")]
pub(super) fn bucket_and_key(place: &str) -> (&str, &str) {
    let address = place.strip_prefix(SCHEME).unwrap_or(place);
    address.split_once('/').unwrap_or((address, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_paths_or_addresses_of_object_stores() {
        for text in ["s3://b/p/q", "s3a://b/p/q/", "s3p://b/p/q"] {
            assert_eq!(absolute_place_of(text).unwrap(), "s3://b/p/q", "{text}");
        }
        assert_eq!(place_of("file:///a/b").unwrap(), "/a/b");
        assert!(Path::new(&absolute_place_of("a/b").unwrap()).is_absolute());
        for text in ["s3://", "s3:///p", "s3://b//p", "s3://b/../c", "gs://b/p", ""] {
            assert!(place_of(text).is_err(), "{text}");
        }
        assert_eq!(parent_of("s3://b/p/q"), Some("s3://b/p"));
        assert_eq!(parent_of("s3://b/p"), Some("s3://b"));
        assert_eq!((parent_of("s3://b"), parent_of("/a/b"), parent_of("a")), (None, Some("/a"), None));
    }
}
