//! The ResourceManager's records in the metadata store.

use std::path::Path;

use tracing::warn;

use super::error::Error;
use super::record::{Cluster, PREFIX, Record};
use crate::rpc::token::SigningKey;
use crate::storage::meta::{LogStore, MetaStore};
use crate::time::Now;

/// Opens the store under `dir` and reads every record.
pub(super) fn open(dir: &Path) -> Result<(LogStore, Vec<Record>), Error> {
    let opened = LogStore::open(&dir.join("store"))?;
    if let Some(rebuilt) = &opened.rebuilt {
        warn!(cause = rebuilt.cause, records = rebuilt.records, set_aside = ?rebuilt.set_aside,
            "the store was damaged and has been rebuilt from what is readable; some of what changed last may be missing");
    }
    let records = opened.store.list(PREFIX)?.into_iter();
    let records = records.map(|(key, record)| {
        serde_json::from_slice(&record.value).map_err(|error| Error::Record { key, cause: error.to_string() })
    });
    Ok((opened.store, records.collect::<Result<_, _>>()?))
}

/// What a new cluster begins with.
pub(super) fn genesis(now: Now) -> Result<Cluster, Error> {
    let key = || SigningKey::generate().map(|key| key.to_hex()).map_err(Error::Randomness);
    Ok(Cluster { identity: now.as_millis(), epoch: 0, last_sequence: 0, token_key: key()?, master_key: key()? })
}
