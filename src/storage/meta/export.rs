//! A copy of all records beside the embedded store: JSON lines, the last one with a checksum of those before.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Error, Record, Version};
use crate::storage::files;

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Head {
    flott_meta_export: u32,
    /// The store's last version.
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    version: u64,
    /// Base64.
    value: String,
}

#[derive(Serialize, Deserialize)]
struct Tail {
    records: u64,
    crc32c: u32,
}

/// All records of a store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Export {
    pub(super) last: Version,
    pub(super) records: Vec<(String, Record)>,
}

impl Export {
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let mut text = String::new();
        push(&mut text, &Head { flott_meta_export: FORMAT, version: self.last.0 });
        for (key, record) in &self.records {
            let (key, value) = (key.clone(), STANDARD.encode(&record.value));
            push(&mut text, &Line { key, version: record.version.0, value });
        }
        let crc32c = crc32c::crc32c(text.as_bytes());
        push(&mut text, &Tail { records: self.records.len() as u64, crc32c });
        files::write_atomic(path, text.as_bytes())
    }

    /// `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let Some(bytes) = files::read(path)? else { return Ok(None) };
        let damaged = |cause: &str| Error::Damaged { path: path.to_owned(), cause: cause.to_owned() };
        let text = String::from_utf8(bytes).map_err(|_| damaged("not UTF-8"))?;
        Self::parse(&text).map(Some).map_err(|cause| damaged(&cause))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let ended = text.strip_suffix('\n').ok_or("the end is missing")?;
        let (body, tail) = ended.rsplit_once('\n').ok_or("too short")?;
        let tail: Tail = serde_json::from_str(tail).map_err(|error| format!("last line: {error}"))?;
        let covered = &text[..=body.len()];
        if crc32c::crc32c(covered.as_bytes()) != tail.crc32c {
            return Err("wrong checksum".to_owned());
        }
        let mut lines = body.lines();
        let head: Head = serde_json::from_str(lines.next().unwrap_or_default()).map_err(|error| error.to_string())?;
        if head.flott_meta_export != FORMAT {
            return Err(format!("format {} instead of {FORMAT}", head.flott_meta_export));
        }
        let records = lines.map(record).collect::<Result<Vec<_>, _>>()?;
        if records.len() as u64 != tail.records {
            return Err(format!("{} records instead of {}", records.len(), tail.records));
        }
        Ok(Self { last: Version(head.version), records })
    }
}

fn record(line: &str) -> Result<(String, Record), String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let value = STANDARD.decode(line.value).map_err(|error| error.to_string())?;
    Ok((line.key, Record { version: Version(line.version), value }))
}

fn push(text: &mut String, line: &impl Serialize) {
    text.push_str(&serde_json::to_string(line).expect("numbers and strings are JSON"));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_export_comes_back_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export");
        assert_eq!(Export::read(&path).unwrap(), None);
        let record = Record { version: Version(7), value: vec![0, 255, b'\n'] };
        let export = Export { last: Version(9), records: vec![("app/\n\"1".to_owned(), record)] };
        export.write(&path).unwrap();
        assert_eq!(Export::read(&path).unwrap(), Some(export));
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(Export::read(&path).is_err(), "cut at {cut}");
            let mut changed = whole.clone();
            changed[cut] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(Export::read(&path).is_err(), "changed at {cut}");
        }
    }
}
