//! What an executable needs, read from its ELF headers: before it is launched, so that the refusal has a name.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{GlibcVersion, Platform};
use crate::rpc::{ErrorKind, io_cause};

/// What a file is, as far as running it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutableKind {
    /// A text whose first line names its interpreter.
    Script,
    /// Machine code.
    Elf {
        /// As Rust calls it.
        architecture: String,
        /// The newest version of glibc it needs; absent for static programs and other C libraries.
        glibc: Option<GlibcVersion>,
    },
    /// Neither.
    Other,
}

/// Why a program cannot run on a machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRunnable {
    /// It is no program.
    #[error(
        "{name} is not an executable; build the job with cargo build --release and give the file in target/release"
    )]
    NotExecutable {
        /// The file's name.
        name: String,
    },
    /// It is one of another machine.
    #[error("{name} is built for {built_for}, {host} is {architecture}; build for {architecture}")]
    Architecture {
        /// The file's name.
        name: String,
        /// What it is built for.
        built_for: String,
        /// The machine.
        host: String,
        /// What the machine is.
        architecture: String,
    },
    /// It needs a newer C library.
    #[error("{name} needs GLIBC_{needed}, {host} has {present}; build for musl")]
    Glibc {
        /// The file's name.
        name: String,
        /// What it needs.
        needed: GlibcVersion,
        /// The machine.
        host: String,
        /// What the machine has: a version, or `another C library`.
        present: String,
    },
    /// It could not be read.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// Where it is.
        path: String,
        /// In an operator's words.
        cause: String,
    },
}

impl NotRunnable {
    /// The same of a program that people know as `called`; its file may be named by its content.
    #[must_use]
    pub fn of(mut self, called: &str) -> Self {
        match &mut self {
            Self::NotExecutable { name } | Self::Architecture { name, .. } | Self::Glibc { name, .. } => {
                called.clone_into(name);
            }
            Self::Unreadable { .. } => {}
        }
        self
    }

    /// The user's, except for a file that cannot be read.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotExecutable { .. } | Self::Architecture { .. } | Self::Glibc { .. } => ErrorKind::User,
            Self::Unreadable { .. } => ErrorKind::Permanent,
        }
    }
}

/// Whether the program at `path` can run on the machine called `host`, which is a `platform`.
///
/// # Errors
/// [`NotRunnable`], with what to do about it.
pub fn check_runnable(path: &Path, platform: &Platform, host: &str) -> Result<(), NotRunnable> {
    let name = || path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let unreadable =
        |error: io::Error| NotRunnable::Unreadable { path: path.display().to_string(), cause: io_cause(&error) };
    match inspect(path).map_err(unreadable)? {
        ExecutableKind::Script => Ok(()),
        ExecutableKind::Other => Err(NotRunnable::NotExecutable { name: name() }),
        ExecutableKind::Elf { architecture, .. } if architecture != platform.architecture => {
            Err(NotRunnable::Architecture {
                name: name(),
                built_for: architecture,
                host: host.to_owned(),
                architecture: platform.architecture.clone(),
            })
        }
        ExecutableKind::Elf { glibc: Some(needed), .. } if platform.glibc.is_none_or(|present| present < needed) => {
            let present = platform.glibc.map_or_else(|| "another C library".to_owned(), |version| version.to_string());
            Err(NotRunnable::Glibc { name: name(), needed, host: host.to_owned(), present })
        }
        ExecutableKind::Elf { .. } => Ok(()),
    }
}

/// Reads what `path` is. Reads some pages of it, whatever its size.
///
/// # Errors
/// If it cannot be read. A damaged ELF file is [`ExecutableKind::Other`].
pub fn inspect(path: &Path) -> io::Result<ExecutableKind> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(ExecutableKind::Other);
    }
    let mut head = [0; HEADER_BYTES];
    let length = read_up_to(&file, &mut head)?;
    if head[..length].starts_with(b"#!") {
        return Ok(ExecutableKind::Script);
    }
    Ok(Elf::open(&file, &head[..length]).map_or(ExecutableKind::Other, |elf| ExecutableKind::Elf {
        architecture: elf.architecture.clone(),
        glibc: elf.needed_glibc(),
    }))
}

fn read_up_to(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const TYPE_EXECUTABLE: u16 = 2;
const TYPE_SHARED: u16 = 3;
const SEGMENT_LOAD: u32 = 1;
const SEGMENT_DYNAMIC: u32 = 2;
const DYNAMIC_STRINGS: u64 = 5;
const DYNAMIC_VERSIONS_NEEDED: u64 = 0x6fff_fffe;
const DYNAMIC_VERSIONS_NEEDED_COUNT: u64 = 0x6fff_ffff;
const VERSION_WEAK: u16 = 2;
/// More of anything than a sound file has; keeps a hostile one from keeping us busy.
const ENTRIES_MAX: u64 = 4096;

/// The parts of an ELF file that the loader looks at: program headers and what they point to. Section headers may be stripped.
struct Elf<'a> {
    file: &'a File,
    architecture: String,
    /// 64 bits, least significant byte first; others are known by architecture only.
    segments: Vec<Segment>,
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    file_bytes: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl<'a> Elf<'a> {
    fn open(file: &'a File, head: &[u8]) -> Option<Self> {
        if !head.starts_with(b"\x7fELF") {
            return None;
        }
        let (class, order) = (*head.get(4)?, *head.get(5)?);
        let little = order == 1;
        let kind = u16_at(head, 16)?;
        let machine = u16_at(head, 18)?;
        let (kind, machine) = if little { (kind, machine) } else { (kind.swap_bytes(), machine.swap_bytes()) };
        if !matches!(kind, TYPE_EXECUTABLE | TYPE_SHARED) {
            return None;
        }
        let mut elf = Self { file, architecture: architecture(machine, class == 2, little), segments: Vec::new() };
        if class == 2 && little {
            elf.segments = elf.read_segments(head)?;
        }
        Some(elf)
    }

    fn read_segments(&self, head: &[u8]) -> Option<Vec<Segment>> {
        let offset = u64_at(head, 32)?;
        let size = usize::from(u16_at(head, 54)?);
        let count = usize::from(u16_at(head, 56)?);
        if size < PROGRAM_HEADER_BYTES {
            return None;
        }
        let table = self.read(offset, size * count)?;
        let segment = |header: &[u8]| {
            Some(Segment {
                kind: u32_at(header, 0)?,
                offset: u64_at(header, 8)?,
                address: u64_at(header, 16)?,
                file_bytes: u64_at(header, 32)?,
            })
        };
        table.chunks_exact(size).map(segment).collect()
    }

    fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        const READ_MAX: usize = 1 << 20;
        let mut bytes = vec![0; length.min(READ_MAX)];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }

    /// Where the loader's address lies in the file.
    fn offset_of(&self, address: u64) -> Option<u64> {
        let holds = |segment: &&Segment| {
            segment.kind == SEGMENT_LOAD
                && address.checked_sub(segment.address).is_some_and(|into| into < segment.file_bytes)
        };
        let segment = self.segments.iter().find(holds)?;
        segment.offset.checked_add(address - segment.address)
    }

    fn needed_glibc(&self) -> Option<GlibcVersion> {
        let dynamic = self.segments.iter().find(|segment| segment.kind == SEGMENT_DYNAMIC)?;
        let entries = self.read(dynamic.offset, usize::try_from(dynamic.file_bytes.min(ENTRIES_MAX * 16)).ok()?)?;
        let value = |wanted: u64| {
            let mut pairs = entries.chunks_exact(16).filter_map(|pair| Some((u64_at(pair, 0)?, u64_at(pair, 8)?)));
            pairs.find(|(tag, _)| *tag == wanted).map(|(_, value)| value)
        };
        let strings = self.offset_of(value(DYNAMIC_STRINGS)?)?;
        let mut library = self.offset_of(value(DYNAMIC_VERSIONS_NEEDED)?)?;
        let libraries = value(DYNAMIC_VERSIONS_NEEDED_COUNT)?;
        let mut newest = None;
        for _ in 0..libraries.min(ENTRIES_MAX) {
            let need = self.read(library, 16)?;
            let mut version = library.checked_add(u64::from(u32_at(&need, 8)?))?;
            for _ in 0..u16_at(&need, 2)? {
                let entry = self.read(version, 16)?;
                // A weak need is one the loader does without.
                if u16_at(&entry, 4)? & VERSION_WEAK == 0 {
                    let name = self.string(strings.checked_add(u64::from(u32_at(&entry, 8)?))?)?;
                    let number = name.strip_prefix("GLIBC_").and_then(|number| number.parse().ok());
                    newest = newest.max(number);
                }
                version = version.checked_add(u64::from(u32_at(&entry, 12)?))?;
            }
            library = library.checked_add(u64::from(u32_at(&need, 12)?))?;
        }
        newest
    }

    fn string(&self, offset: u64) -> Option<String> {
        const NAME_MAX: usize = 64;
        let mut bytes = [0; NAME_MAX];
        let length = self.file.read_at(&mut bytes, offset).ok()?;
        let name = bytes[..length].split(|byte| *byte == 0).next()?;
        std::str::from_utf8(name).ok().map(str::to_owned)
    }
}

fn architecture(machine: u16, wide: bool, little: bool) -> String {
    let name = match (machine, wide, little) {
        (3, ..) => "x86",
        (62, true, _) => "x86_64",
        (62, false, _) => "x32",
        (40, ..) => "arm",
        (183, ..) => "aarch64",
        (243, true, _) => "riscv64",
        (243, false, _) => "riscv32",
        (21, _, true) => "powerpc64le",
        (21, _, false) => "powerpc64",
        (22, ..) => "s390x",
        (258, ..) => "loongarch64",
        (machine, ..) => return format!("machine type {machine}"),
    };
    // As Rust's target architecture has it.
    if name == "powerpc64le" { "powerpc64".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(glibc: Option<&str>) -> Platform {
        let glibc = glibc.map(|text| text.parse().unwrap());
        Platform { architecture: std::env::consts::ARCH.to_owned(), glibc }
    }

    #[test]
    fn the_own_executable_runs_here_and_not_on_an_older_library() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(check_runnable(&own, &Platform::local(), "n2"), Ok(()));
        let ExecutableKind::Elf { architecture, glibc } = inspect(&own).unwrap() else {
            panic!("the test program is an ELF file");
        };
        assert_eq!(architecture, std::env::consts::ARCH);
        if cfg!(target_env = "gnu") {
            let needed = glibc.unwrap();
            assert!(needed >= "2.14".parse().unwrap(), "{needed}");
            let refusal = check_runnable(&own, &host(Some("2.5")), "n2").unwrap_err().to_string();
            assert!(refusal.ends_with(&format!("needs GLIBC_{needed}, n2 has 2.5; build for musl")), "{refusal}");
            assert!(check_runnable(&own, &host(None), "n2").unwrap_err().to_string().contains("another C library"));
        }
    }

    #[test]
    fn another_architecture_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let own = std::env::current_exe().unwrap();
        let mut bytes = std::fs::read(own).unwrap();
        bytes.truncate(1 << 16);
        bytes[18..20].copy_from_slice(&[22, 0]);
        let path = directory.path().join("job");
        std::fs::write(&path, &bytes).unwrap();
        let refusal = check_runnable(&path, &host(Some("2.36")), "n2").unwrap_err();
        let own = std::env::consts::ARCH;
        assert_eq!(refusal.to_string(), format!("job is built for s390x, n2 is {own}; build for {own}"));
    }

    #[test]
    fn what_is_no_program_is_refused_and_scripts_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let check = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            check_runnable(&path, &host(Some("2.36")), "n2").map_err(|refusal| refusal.to_string())
        };
        assert_eq!(check("run.sh", b"#!/bin/sh\n"), Ok(()));
        for content in [b"".as_slice(), b"hello", b"\x7fELF", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\x3e\0"] {
            let refusal = check("notes.txt", content).unwrap_err();
            assert!(refusal.starts_with("notes.txt is not an executable"), "{refusal}");
        }
        let absent = check_runnable(&directory.path().join("absent"), &host(None), "n2").unwrap_err();
        assert!(absent.to_string().ends_with("absent: no such file or directory"), "{absent}");
        assert_eq!(inspect(directory.path()).unwrap(), ExecutableKind::Other);
    }

    #[test]
    fn damaged_files_are_survived() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("job");
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let mut bytes = own[..random.usize(..4096)].to_vec();
            for _ in 0..random.usize(..8) {
                if let Some(byte) = bytes.get_mut(random.usize(4..1024)) {
                    *byte = random.u8(..);
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            inspect(&path).unwrap();
        }
    }
}
