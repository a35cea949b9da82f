//! Who may ask, and how it goes over the wire: `security.*`, for daemons and for those who ask them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use super::options::{
    CLUSTER_SECRET, CLUSTER_SECRET_FILE, ConfigOption, SECURITY_DIR, SECURITY_TLS_CA, SECURITY_TLS_CERTIFICATE,
    SECURITY_TLS_ENABLED, SECURITY_TLS_KEY, SECURITY_TLS_NAME, SECURITY_TOKEN_ADMIN_FILE, SECURITY_TOKEN_FILE,
    SECURITY_TOKEN_READ_FILE,
};
use super::{Configuration, Error, Security};
use crate::rpc::{Bearer, ClusterSecret, Credentials, Tls, TlsFiles, Tokens};

/// Variable that holds the token which a client shows.
const TOKEN: &str = "FLOTT_TOKEN";

/// Names of the files in `security.dir`, as `flott security init` makes them.
pub mod names {
    /// Certificate of the cluster's authority.
    pub const CA: &str = "ca.pem";
    /// Key of the cluster's authority: needed to make more certificates, by no process.
    pub const CA_KEY: &str = "ca.key";
    /// Certificate of the cluster's members.
    pub const CERTIFICATE: &str = "member.pem";
    /// Its key.
    pub const KEY: &str = "member.key";
    /// The cluster's secret.
    pub const SECRET: &str = "secret";
    /// Tokens that allow everything.
    pub const ADMIN_TOKEN: &str = "admin.token";
    /// Tokens that allow to look.
    pub const READ_TOKEN: &str = "read.token";
}

/// A daemon's.
pub(super) fn security(configuration: &Configuration) -> Result<Security, Error> {
    let tls = tls(configuration)?;
    if tls.is_on() && !tls.has_certificate() {
        return Err(Error::Conflict(crate::rpc::TlsError::NoCertificate.to_string()));
    }
    let admins = token_file(configuration, &SECURITY_TOKEN_ADMIN_FILE, names::ADMIN_TOKEN)?;
    let readers = token_file(configuration, &SECURITY_TOKEN_READ_FILE, names::READ_TOKEN)?;
    let [(admin_path, admins), (read_path, readers)] = [admins, readers].map(Option::unwrap_or_default);
    let tokens = Tokens::new(&admins, &readers).map_err(|error| {
        let paths = [admin_path, read_path].map(|path| path.display().to_string()).join(" and ");
        Error::Conflict(format!("{paths}: {error}"))
    })?;
    Ok(Security { tls, tokens })
}

/// A client's.
pub(super) fn credentials(configuration: &Configuration) -> Result<Credentials, Error> {
    Ok(Credentials { secret: secret(configuration)?, token: token(configuration)?, tls: tls(configuration)? })
}

/// The secret itself or from its file.
pub(super) fn secret(configuration: &Configuration) -> Result<Option<ClusterSecret>, Error> {
    if let Some(text) = configuration.raw(&CLUSTER_SECRET) {
        return Ok(ClusterSecret::new(text));
    }
    let Some((path, text)) = token_file(configuration, &CLUSTER_SECRET_FILE, names::SECRET)? else { return Ok(None) };
    let secret = ClusterSecret::new(&text);
    if secret.is_none() {
        return Err(Error::Conflict(format!("{} ({}) is empty", path.display(), CLUSTER_SECRET_FILE.key)));
    }
    Ok(secret)
}

fn token(configuration: &Configuration) -> Result<Option<Bearer>, Error> {
    let first_line = |text: &str| {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        line.unwrap_or_default().to_owned()
    };
    let found = match (configuration.find::<PathBuf>(&SECURITY_TOKEN_FILE)?, env::var(TOKEN)) {
        (Some(path), _) => Some((path.display().to_string(), read(&path)?)),
        (None, Ok(text)) => Some((TOKEN.to_owned(), text)),
        (None, Err(_)) => [names::ADMIN_TOKEN, names::READ_TOKEN]
            .iter()
            .find_map(|name| in_dir(configuration, name).transpose())
            .transpose()?
            .map(|(path, text)| (path.display().to_string(), text)),
    };
    let Some((place, text)) = found else { return Ok(None) };
    let token = Bearer::new(&first_line(&text)).map_err(|error| Error::Conflict(format!("{place}: {error}")))?;
    Ok(Some(token))
}

fn tls(configuration: &Configuration) -> Result<Tls, Error> {
    refuse_keystores(configuration)?;
    if configuration.find::<bool>(&SECURITY_TLS_ENABLED)? == Some(false) {
        return Ok(Tls::OFF);
    }
    let path = |option: &'static ConfigOption, name: &str| -> Result<Option<PathBuf>, Error> {
        let chosen = configuration.find::<PathBuf>(option)?;
        Ok(match chosen {
            Some(path) => Some(std::path::absolute(&path).map_err(|source| Error::File { path, source })?),
            None => dir(configuration)?.map(|dir| dir.join(name)).filter(|path| path.exists()),
        })
    };
    let ca = path(&SECURITY_TLS_CA, names::CA)?;
    let certificate = path(&SECURITY_TLS_CERTIFICATE, names::CERTIFICATE)?;
    let key = path(&SECURITY_TLS_KEY, names::KEY)?;
    let Some(ca) = ca else {
        if certificate.is_some() || key.is_some() || configuration.is_set(&SECURITY_TLS_ENABLED) {
            let (ca, dir) = (SECURITY_TLS_CA.key, SECURITY_DIR.key);
            return Err(Error::Conflict(format!("TLS needs the certificate of an authority; set {ca} or {dir}")));
        }
        return Ok(Tls::OFF);
    };
    let own = match (certificate, key) {
        // In a directory that several use, the members' key is not for everybody.
        (Some(certificate), Some(key)) if configuration.is_set(&SECURITY_TLS_KEY) || readable(&key) => {
            Some((certificate, key))
        }
        (Some(_), None) | (None, Some(_)) => {
            let (certificate, key) = (SECURITY_TLS_CERTIFICATE.key, SECURITY_TLS_KEY.key);
            return Err(Error::Conflict(format!("{certificate} and {key} go together; one is missing")));
        }
        (Some(_) | None, Some(_) | None) => None,
    };
    Tls::load(TlsFiles { ca, own, name: configuration.get(&SECURITY_TLS_NAME)? })
        .map_err(|error| Error::Conflict(error.to_string()))
}

/// Flink's keys name keystores of Java, which we do not read. To go on in the clear would not be what was meant.
fn refuse_keystores(configuration: &Configuration) -> Result<(), Error> {
    let on = configuration.iter().find(|setting| {
        setting.key.starts_with("security.ssl.")
            && setting.key.ends_with("enabled")
            && setting.value.as_deref().is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    });
    match on {
        None => Ok(()),
        Some(setting) => Err(Error::Conflict(format!(
            "{} is true, but Java's keystores are not read here; make PEM files with `flott security init DIR`, set {}: DIR \
             and take the security.ssl keys out",
            setting.key, SECURITY_DIR.key
        ))),
    }
}

fn dir(configuration: &Configuration) -> Result<Option<PathBuf>, Error> {
    let Some(path) = configuration.find::<PathBuf>(&SECURITY_DIR)? else { return Ok(None) };
    let path = std::path::absolute(&path).map_err(|source| Error::File { path, source })?;
    if !path.is_dir() {
        let cause = "is no directory; `flott security init DIR` makes one";
        return Err(Error::Conflict(format!("{} ({}) {cause}", path.display(), SECURITY_DIR.key)));
    }
    Ok(Some(path))
}

/// A file that a key names must be there; one that may lie in `security.dir` need not, nor be ours to read.
fn token_file(
    configuration: &Configuration,
    option: &'static ConfigOption,
    name: &str,
) -> Result<Option<(PathBuf, String)>, Error> {
    match configuration.find::<PathBuf>(option)? {
        Some(path) => read(&path).map(|text| Some((path, text))),
        None => in_dir(configuration, name),
    }
}

fn in_dir(configuration: &Configuration, name: &str) -> Result<Option<(PathBuf, String)>, Error> {
    let Some(path) = dir(configuration)?.map(|dir| dir.join(name)) else { return Ok(None) };
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(None),
        Err(source) => Err(Error::File { path, source }),
    }
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

fn readable(path: &Path) -> bool {
    fs::File::open(path).is_ok()
}

/// An address that strangers can reach demands that they are told from friends: processes by a secret, people by tokens or TLS.
pub(super) fn require_protection(
    key: &ConfigOption,
    bind: &str,
    secret: Option<&ClusterSecret>,
    security: &Security,
) -> Result<(), Error> {
    let loopback = bind == "localhost" || bind.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    if loopback || (secret.is_some() && security.is_guarded()) {
        return Ok(());
    }
    let missing = match secret {
        None => format!("nothing says who may join ({})", CLUSTER_SECRET.key),
        Some(_) => format!("anybody could submit programs (no {}, no TLS)", SECURITY_TOKEN_ADMIN_FILE.key),
    };
    Err(Error::Conflict(format!(
        "{} is {bind}, where others can reach it, but {missing}; run `flott security init DIR`, have DIR on all machines and \
         set {}: DIR, or bind to 127.0.0.1",
        key.key, SECURITY_DIR.key
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::set;

    const TOKEN_TEXT: &str = "a-token-long-enough";

    #[test]
    fn the_secret_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        assert!(secret(&set(&[("cluster.secret.file", path)])).is_err(), "an empty file is a mistake");
        fs::write(path, "sesame\n").unwrap();
        assert_eq!(secret(&set(&[("cluster.secret.file", path)])).unwrap(), ClusterSecret::new("sesame"));
        assert!(secret(&set(&[("cluster.secret.file", "/nowhere")])).is_err());
    }

    #[test]
    fn a_directory_gives_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let configuration = set(&[("security.dir", dir.path().to_str().unwrap())]);
        assert_eq!(security(&configuration).unwrap(), Security::default());
        fs::write(dir.path().join(names::SECRET), "sesame\n").unwrap();
        fs::write(dir.path().join(names::READ_TOKEN), format!("{TOKEN_TEXT}\n")).unwrap();
        assert_eq!(secret(&configuration).unwrap(), ClusterSecret::new("sesame"));
        assert!(security(&configuration).unwrap().is_guarded());
        let shown = credentials(&configuration).unwrap();
        assert_eq!((shown.token, shown.secret), (Bearer::new(TOKEN_TEXT).ok(), ClusterSecret::new("sesame")));
        let refused = security(&set(&[("security.dir", "/nowhere")])).unwrap_err().to_string();
        assert!(refused.contains("/nowhere (security.dir) is no directory"), "{refused}");
    }

    #[test]
    fn tls_half_configured_is_refused() {
        let refused = |pairs: &[_]| security(&set(pairs)).unwrap_err().to_string();
        assert!(refused(&[("security.tls.enabled", "true")]).contains("set security.tls.ca or security.dir"));
        assert!(refused(&[("security.tls.key", "/k")]).contains("needs the certificate of an authority"));
        let half = refused(&[("security.tls.ca", "/ca"), ("security.tls.key", "/k")]);
        assert!(half.contains("one is missing"), "{half}");
        assert!(refused(&[("security.tls.ca", "/nowhere/ca")]).contains("cannot read /nowhere/ca"));
        assert!(!tls(&set(&[("security.tls.enabled", "false"), ("security.tls.ca", "/ca")])).unwrap().is_on());
    }

    #[test]
    fn flinks_keystores_are_refused_rather_than_ignored() {
        let refused = security(&set(&[("security.ssl.internal.enabled", "true")])).unwrap_err().to_string();
        assert!(refused.starts_with("security.ssl.internal.enabled is true, but Java's keystores"), "{refused}");
        assert!(security(&set(&[("security.ssl.rest.enabled", "false")])).is_ok());
    }

    #[test]
    fn an_open_address_demands_a_secret_and_tokens() {
        let check = |bind: &str, secret: Option<&str>, security: &Security| {
            let secret = secret.and_then(ClusterSecret::new);
            require_protection(&CLUSTER_SECRET, bind, secret.as_ref(), security).map_err(|error| error.to_string())
        };
        let guarded = Security { tokens: Tokens::new(TOKEN_TEXT, "").unwrap(), tls: Tls::OFF };
        for loopback in ["localhost", "127.0.0.2", "::1"] {
            assert_eq!(check(loopback, None, &Security::default()), Ok(()));
        }
        assert!(check("0.0.0.0", None, &guarded).unwrap_err().contains("who may join"));
        let refused = check("10.0.0.7", Some("sesame"), &Security::default()).unwrap_err();
        assert!(refused.contains("anybody could submit") && refused.contains("flott security init DIR"), "{refused}");
        assert_eq!(check("10.0.0.7", Some("sesame"), &guarded), Ok(()));
    }
}
