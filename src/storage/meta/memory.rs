//! Records in memory, for tests, local runs and the simulator.

use std::collections::BTreeMap;

use super::{Error, MetaStore, Operation, Record, Version};

/// Records in memory. A clone is a copy, as a simulated disk is after a crash.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    records: BTreeMap<String, Record>,
    last: Version,
}

impl MetaStore for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        Ok(self.records.get(key).cloned())
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Record)>, Error> {
        let from_prefix = self.records.range(prefix.to_owned()..);
        let with_prefix = from_prefix.take_while(|(key, _)| key.starts_with(prefix));
        Ok(with_prefix.map(|(key, record)| (key.clone(), record.clone())).collect())
    }

    fn apply(&mut self, batch: &[Operation]) -> Result<Version, Error> {
        for operation in batch {
            operation.check(self.records.get(operation.key()).map(|record| record.version))?;
        }
        self.last.0 += 1;
        for operation in batch {
            match operation {
                Operation::Put { key, value, .. } => {
                    self.records.insert(key.clone(), Record { version: self.last, value: value.clone() });
                }
                Operation::Delete { key, .. } => {
                    self.records.remove(key);
                }
            }
        }
        Ok(self.last)
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
