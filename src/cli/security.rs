//! `flott security`: what a cluster needs to tell friends from strangers, made in one go.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use serde_json::json;

use super::arguments::Output;
use super::output::print;
use crate::config::security::names;
use crate::rpc::tls::MEMBER_NAME;
use crate::time::SystemClock;

/// `flott security`.
#[derive(Debug, Args)]
pub(super) struct Security {
    #[command(subcommand)]
    verb: SecurityVerb,
}

#[derive(Debug, Subcommand)]
enum SecurityVerb {
    /// Make certificates, the cluster's secret and tokens in a directory; once more: new certificates of the same authority
    Init(Init),
}

#[derive(Debug, Args)]
struct Init {
    /// Further name or address that browsers reach the cluster at; may be repeated
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    #[command(flatten)]
    output: Output,
    /// The directory; security.dir names it to daemons and commands
    dir: PathBuf,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// An authority lasts as long as a cluster does.
const AUTHORITY_LASTS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Certificates of members: what browsers still take.
const MEMBER_LASTS: Duration = Duration::from_secs(2 * 365 * 24 * 60 * 60);

const SECRET_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;

/// `flott security`.
pub(super) fn security(options: Security) -> anyhow::Result<ExitCode> {
    let SecurityVerb::Init(options) = options.verb;
    let dir = std::path::absolute(&options.dir)?;
    let made = init(&dir, &options.host)?;
    print(options.output, &json!({ "dir": dir, "made": made }), || explanation(&dir, &made))?;
    Ok(ExitCode::SUCCESS)
}

/// Makes what is missing, and new certificates; returns which files.
fn init(dir: &Path, hosts: &[String]) -> anyhow::Result<Vec<&'static str>> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut made = Vec::new();
    let authority = authority(dir, &mut made)?;
    member(dir, &authority, hosts, &mut made)?;
    for name in [names::SECRET, names::ADMIN_TOKEN, names::READ_TOKEN] {
        let path = dir.join(name);
        if !path.exists() {
            write(&path, &format!("{}\n", random_hex()?), SECRET_MODE)?;
            made.push(name);
        }
    }
    Ok(made)
}

/// The authority that is there, or a new one. Its name never changes, so that its key alone brings it back.
fn authority(dir: &Path, made: &mut Vec<&'static str>) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let (certificate, key) = (dir.join(names::CA), dir.join(names::CA_KEY));
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "flott cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    match (certificate.exists(), key.exists()) {
        (true, true) => {
            let text = fs::read_to_string(&key).with_context(|| format!("cannot read {}", key.display()))?;
            let pair = KeyPair::from_pem(&text).with_context(|| format!("{} holds no key", key.display()))?;
            Ok(Issuer::new(params, pair))
        }
        (true, false) => bail!(
            "{} is there without {}, which signs; bring it from where it is kept, or take another directory",
            certificate.display(),
            names::CA_KEY
        ),
        (false, _) => {
            let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            valid_for(&mut params, AUTHORITY_LASTS);
            write(&key, &pair.serialize_pem(), SECRET_MODE)?;
            write(&certificate, &params.self_signed(&pair)?.pem(), PUBLIC_MODE)?;
            made.extend([names::CA, names::CA_KEY]);
            Ok(Issuer::new(params, pair))
        }
    }
}

/// A certificate for all members. It carries the cluster's name, by which they know one another, and names for browsers.
fn member(
    dir: &Path,
    authority: &Issuer<'static, KeyPair>,
    hosts: &[String],
    made: &mut Vec<&'static str>,
) -> anyhow::Result<()> {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut all = vec![MEMBER_NAME.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    all.extend(std::iter::once(node).chain(hosts.iter().cloned()).filter(|name| !name.is_empty()));
    for host in hosts {
        let fit = host.parse::<IpAddr>().is_ok() || (!host.contains([':', '/', ' ']) && host.is_ascii());
        if !fit {
            bail!("`{host}` is no name of a host; give it without port and scheme");
        }
    }
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(all)?;
    params.distinguished_name.push(DnType::CommonName, MEMBER_NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    valid_for(&mut params, MEMBER_LASTS);
    let certificate: Certificate = params.signed_by(&pair, authority)?;
    write(&dir.join(names::KEY), &pair.serialize_pem(), SECRET_MODE)?;
    write(&dir.join(names::CERTIFICATE), &certificate.pem(), PUBLIC_MODE)?;
    made.extend([names::CERTIFICATE, names::KEY]);
    Ok(())
}

/// From yesterday, since clocks differ.
fn valid_for(params: &mut CertificateParams, lasts: Duration) {
    let now = date_time_ymd(1970, 1, 1) + Duration::from_millis(SystemClock::shared().now().as_millis());
    params.not_before = now - DAY;
    params.not_after = now + lasts;
}

fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Beside its place first, so that there is never half a file, nor for a moment one that everybody can read.
fn write(path: &Path, content: &str, mode: u32) -> anyhow::Result<()> {
    let partial = path.with_extension("new");
    let write = || -> io::Result<()> {
        let _ = fs::remove_file(&partial); // Of a run that was cut off.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn explanation(dir: &Path, made: &[&str]) -> String {
    let dir = dir.display();
    let made = made.join(", ");
    format!(
        "Made {made} in {dir}.\n\
         Copy the directory to every machine, without ca.key, and set there, in conf/flott.yaml or with -D:\n  \
           security.dir: {dir}\n\
         From then on REST, links and data go over TLS, nodes join by the secret, and commands run there show the admin's token.\n\
         Elsewhere take ca.pem and a token along:\n  \
           flott list -D security.tls.ca=ca.pem --token-file read.token\n  \
           curl --cacert ca.pem -H \"Authorization: Bearer $(cat read.token)\" https://HOST:8088/ws/v1/cluster/info\n"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::rpc::{Tls, TlsFiles};

    fn tls(dir: &Path) -> Tls {
        let own = Some((dir.join(names::CERTIFICATE), dir.join(names::KEY)));
        Tls::load(TlsFiles { ca: dir.join(names::CA), own, name: MEMBER_NAME.to_owned() }).unwrap()
    }

    #[test]
    fn what_is_made_serves_and_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        init(dir.path(), &["flott.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        assert!(tls(dir.path()).has_certificate());
        for name in [names::CA_KEY, names::KEY, names::SECRET, names::ADMIN_TOKEN, names::READ_TOKEN] {
            assert_eq!(fs::metadata(at(name)).unwrap().permissions().mode() & 0o777, SECRET_MODE, "{name}");
        }
        let read = |name: &str| fs::read_to_string(at(name)).unwrap();
        let kept = [names::CA, names::CA_KEY, names::SECRET, names::ADMIN_TOKEN, names::READ_TOKEN];
        let (before, certificate) = (kept.map(read), read(names::CERTIFICATE));
        init(dir.path(), &[]).unwrap();
        assert_eq!(kept.map(read), before);
        assert_ne!(read(names::CERTIFICATE), certificate, "a new certificate of the same authority");
        assert!(tls(dir.path()).has_certificate());
    }

    #[test]
    fn without_its_key_an_authority_signs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path(), &[]).unwrap();
        fs::remove_file(dir.path().join(names::CA_KEY)).unwrap();
        assert!(init(dir.path(), &[]).unwrap_err().to_string().contains("is there without ca.key"));
        assert!(
            init(&dir.path().join("other"), &["https://x".to_owned()])
                .unwrap_err()
                .to_string()
                .contains("no name of a host")
        );
    }
}
