//! A program on this machine's disk, about to be submitted.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::rpc::io_cause;

/// A file to be uploaded: its content is named by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalProgram {
    /// Where it lies.
    pub path: PathBuf,
    /// Its file name.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
}

/// Why a file cannot be submitted.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be read.
    #[error("cannot read {}: {}", path.display(), io_cause(source))]
    Read {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is a directory, a device, or has no name.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// It is no program.
    #[error("{} is not an executable: {why}; give the job's compiled program, e.g. target/release/examples/wordcount", path.display())]
    NotExecutable {
        /// Which.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
}

const READ_BYTES: usize = 1 << 20;

impl LocalProgram {
    /// Reads any file's size and hash.
    ///
    /// # Errors
    /// [`ProgramError`] when it cannot be read or is no file.
    pub fn file(path: &Path) -> Result<Self, ProgramError> {
        let failed = |source| ProgramError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let name = path.file_name().filter(|_| file.metadata().is_ok_and(|metadata| metadata.is_file()));
        let Some(name) = name else { return Err(ProgramError::NotAFile { path: path.to_owned() }) };
        let (mut digest, mut size, mut buffer) = (Sha256::new(), 0, vec![0; READ_BYTES]);
        loop {
            let read = file.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            digest.update(&buffer[..read]);
            size += read as u64;
        }
        let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path: path.to_owned(), name: name.to_string_lossy().into_owned(), size, sha256 })
    }

    /// Reads a program's size and hash, and checks that it is one at all. Whether a node can run it, the node says.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub fn executable(path: &Path) -> Result<Self, ProgramError> {
        let program = Self::file(path)?;
        let mut head = [0; 4];
        let mut file = File::open(path).map_err(|source| ProgramError::Read { path: path.to_owned(), source })?;
        let refuse = |why: &str| Err(ProgramError::NotExecutable { path: path.to_owned(), why: why.to_owned() });
        match file.read_exact(&mut head) {
            Err(_) => refuse("it is empty or nearly so"),
            Ok(()) if head == *b"\x7fELF" => Ok(program),
            Ok(()) if head.starts_with(b"#!") => refuse("it is a script"),
            Ok(()) if head == *b"PK\x03\x04" => refuse("it is a JVM archive, and jobs here are native programs"),
            Ok(()) => refuse("it has no ELF header"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executables_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let check = |content: &[u8], expected: &str| {
            let path = dir.path().join("program");
            std::fs::write(&path, content).unwrap();
            let error = LocalProgram::executable(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(b"", "is empty");
        check(b"#!/bin/sh\nexit 0\n", "is a script");
        check(b"PK\x03\x04....", "JVM archive");
        check(b"some text", "no ELF header");
        let error = LocalProgram::executable(&dir.path().join("absent")).unwrap_err().to_string();
        assert!(error.contains("absent: no such file") || error.contains("absent: entity not found"), "{error}");
        assert!(matches!(LocalProgram::file(dir.path()), Err(ProgramError::NotAFile { .. })));
    }

    #[test]
    fn a_file_is_named_by_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let file = LocalProgram::file(&path).unwrap();
        assert_eq!(file.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((file.size, file.name.as_str()), (3, "abc"));
    }
}
