//! What programs a machine can run.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version of the GNU C library; ordered by number (2.9 before 2.36).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GlibcVersion {
    /// 2, for as long as anybody remembers.
    pub major: u32,
    /// Counts releases.
    pub minor: u32,
    /// Mostly 0.
    pub patch: u32,
}

impl fmt::Display for GlibcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 {
            write!(f, ".{}", self.patch)?;
        }
        Ok(())
    }
}

impl FromStr for GlibcVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let mut parts = text.splitn(3, '.').map(str::parse);
            let major = parts.next()?.ok()?;
            let minor = parts.next()?.ok()?;
            let patch = parts.next().unwrap_or(Ok(0)).ok()?;
            Some(Self { major, minor, patch })
        };
        parse().ok_or_else(|| format!("`{text}` is not a version of glibc; it looks like 2.36"))
    }
}

impl TryFrom<String> for GlibcVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<GlibcVersion> for String {
    fn from(version: GlibcVersion) -> Self {
        version.to_string()
    }
}

/// What a machine can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// As Rust calls it: `x86_64`, `aarch64`.
    pub architecture: String,
    /// Its C library's version; absent where that is not glibc, or unknown.
    pub glibc: Option<GlibcVersion>,
}

impl Platform {
    /// This machine's. Reads the C library's file once: some milliseconds.
    pub fn local() -> Self {
        let glibc = c_libraries().find_map(|path| version_of(&mut File::open(path).ok()?).ok()?);
        Self { architecture: std::env::consts::ARCH.to_owned(), glibc }
    }
}

/// Where the C library may be: first the one this very process is linked with.
fn c_libraries() -> impl Iterator<Item = PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mapped = maps.lines().find_map(|line| {
        let path = &line[line.find('/')?..];
        let name = path.rsplit('/').next()?;
        (name == "libc.so.6" || name.starts_with("libc-2.")).then(|| PathBuf::from(path))
    });
    let architecture = std::env::consts::ARCH;
    let usual = [
        format!("/lib/{architecture}-linux-gnu/libc.so.6"),
        "/lib64/libc.so.6".to_owned(),
        "/usr/lib64/libc.so.6".to_owned(),
        "/usr/lib/libc.so.6".to_owned(),
        "/lib/libc.so.6".to_owned(),
    ];
    mapped.into_iter().chain(usual.into_iter().map(PathBuf::from).filter(|path| Path::exists(path)))
}

const BANNER: &[u8] = b"GNU C Library ";
/// Read at once of a library.
const READ_BYTES: usize = 64 << 10;
/// No banner is longer.
const BANNER_BYTES_MAX: usize = 512;

/// The version that a library's banner names. Never holds more than a piece of the library: what a daemon takes at its start it keeps.
fn version_of(library: &mut impl Read) -> io::Result<Option<GlibcVersion>> {
    let mut piece = Vec::with_capacity(READ_BYTES + BANNER_BYTES_MAX);
    loop {
        let read = library.by_ref().take(READ_BYTES as u64).read_to_end(&mut piece)?;
        let banner = memchr::memmem::find(&piece, BANNER);
        if read == 0 || banner.is_some_and(|at| at + BANNER_BYTES_MAX <= piece.len()) {
            return Ok(version_in(&piece));
        }
        // It may lie across the end of the piece.
        piece.drain(..piece.len().saturating_sub(BANNER_BYTES_MAX));
    }
}

/// The library's banner: `GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.`
fn version_in(library: &[u8]) -> Option<GlibcVersion> {
    const RELEASE: &[u8] = b"release version ";
    let banner = memchr::memmem::find(library, BANNER)?;
    let line = library[banner..].split(|byte| *byte == b'\n').next()?;
    let version = &line[memchr::memmem::find(line, RELEASE)? + RELEASE.len()..];
    let length = version.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(version.len());
    std::str::from_utf8(&version[..length]).ok()?.trim_end_matches('.').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_by_number() {
        let version = |text: &str| text.parse::<GlibcVersion>().unwrap();
        assert!(version("2.9") < version("2.36"));
        assert!(version("2.2.5") > version("2.2"));
        assert_eq!(version("2.36").to_string(), "2.36");
        assert_eq!(version("2.2.5").to_string(), "2.2.5");
        assert!("2".parse::<GlibcVersion>().is_err());
    }

    #[test]
    fn the_banner_is_read() {
        let library = b"\0\x01GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\nCopyright";
        assert_eq!(version_in(library).unwrap().to_string(), "2.36");
        assert_eq!(version_in(b"musl libc (x86_64)"), None);
        for before in [0, READ_BYTES - 90, READ_BYTES - 20, READ_BYTES, 3 * READ_BYTES - 40] {
            let mut file = vec![1; before];
            file.extend_from_slice(library);
            file.resize(4 * READ_BYTES, 2);
            assert_eq!(version_of(&mut &file[..]).unwrap().unwrap().to_string(), "2.36", "{before}");
        }
        assert_eq!(version_of(&mut &[0; 1000][..]).unwrap(), None);
    }

    #[test]
    fn this_machine_has_an_architecture() {
        let platform = Platform::local();
        assert_eq!(platform.architecture, std::env::consts::ARCH);
        if cfg!(target_env = "gnu") {
            assert!(platform.glibc.unwrap() >= "2.17".parse().unwrap());
        }
    }
}
