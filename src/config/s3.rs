//! How object stores that speak S3's protocol are reached.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::options::{S3_ACCESS_KEY, S3_ENDPOINT, S3_PATH_STYLE_ACCESS, S3_REGION, S3_SECRET_KEY};
use super::{Configuration, Error, MASK};

/// How object stores that speak S3's protocol are reached, where the `AWS_…` variables of the process do not say it. Never shown whole.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Config {
    /// `s3.endpoint`: address of the service; default: Amazon's of the region.
    pub endpoint: Option<String>,
    /// `s3.region`; default: `AWS_REGION`, else us-east-1.
    pub region: Option<String>,
    /// `s3.path.style.access`: whether the bucket stands in the path rather than in the host; default: with an endpoint.
    pub path_style: Option<bool>,
    /// `s3.access-key` and `s3.secret-key`.
    pub keys: Option<S3Keys>,
}

/// Who asks, and the proof of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Keys {
    /// `s3.access-key`.
    pub access: String,
    /// `s3.secret-key`.
    pub secret: String,
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, region, path_style, keys } = self;
        let keys = keys.as_ref().map(|_| MASK);
        f.debug_struct("S3Config")
            .field("endpoint", endpoint)
            .field("region", region)
            .field("path_style", path_style)
            .field("keys", &keys)
            .finish()
    }
}

impl fmt::Debug for S3Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl S3Config {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`Error`] names the key and where it was set.
    pub fn from_configuration(configuration: &Configuration) -> Result<Self, Error> {
        let text = |option| configuration.find::<String>(option).map(|text| text.filter(|text| !text.is_empty()));
        let endpoint = text(&S3_ENDPOINT)?;
        if endpoint.as_ref().is_some_and(|endpoint| !is_address(endpoint)) {
            return Err(configuration.invalid(&S3_ENDPOINT, "an address that begins with http:// or https://"));
        }
        let keys = match (text(&S3_ACCESS_KEY)?, text(&S3_SECRET_KEY)?) {
            (Some(access), Some(secret)) => Some(S3Keys { access, secret }),
            (None, None) => None,
            (Some(_), None) => return Err(Error::Conflict("s3.access-key is set without s3.secret-key".to_owned())),
            (None, Some(_)) => return Err(Error::Conflict("s3.secret-key is set without s3.access-key".to_owned())),
        };
        Ok(Self { endpoint, region: text(&S3_REGION)?, path_style: configuration.find(&S3_PATH_STYLE_ACCESS)?, keys })
    }

    /// Writes it where only this user's processes read it: for one that is started, whose variables others can list.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_private(&self, file: &Path) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
        file.write_all(&json)
    }

    /// What [`S3Config::write_private`] has written.
    ///
    /// # Errors
    /// A file that cannot be read, or is none of those.
    pub fn read_private(file: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(file)?)?)
    }
}

fn is_address(endpoint: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| endpoint.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::set;

    #[test]
    fn keys_come_together_and_are_never_shown() {
        let config = |pairs: &[_]| S3Config::from_configuration(&set(pairs)).map_err(|error| error.to_string());
        let both = config(&[("s3.access-key", "AKIA0"), ("s3.secret-key", "sesame")]).unwrap();
        assert_eq!(both.keys.as_ref().unwrap().secret, "sesame");
        let shown = format!("{both:?} {:?}", both.keys);
        assert!(!shown.contains("sesame") && !shown.contains("AKIA0"), "{shown}");
        assert_eq!(config(&[("s3.access-key", "AKIA0")]).unwrap_err(), "s3.access-key is set without s3.secret-key");
        assert!(config(&[("s3.endpoint", "minio:9000")]).unwrap_err().contains("http://"));
        let dir = tempfile::tempdir().unwrap();
        both.write_private(&dir.path().join("s3")).unwrap();
        assert_eq!(S3Config::read_private(&dir.path().join("s3")).unwrap(), both);
        let flinks = [("s3.endpoint.region", "eu-west-1"), ("s3.path-style-access", "true")];
        let expected = S3Config { region: Some("eu-west-1".to_owned()), path_style: Some(true), ..S3Config::default() };
        assert_eq!(config(&flinks).unwrap(), expected);
    }
}
