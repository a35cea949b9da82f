//! A table as serde sees it: a map.

use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::KeyedTable;
use crate::engine::record::{Key, Record, key_hash};

impl<K: Key, S: Record> Serialize for KeyedTable<K, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let mut map = serializer.serialize_map(Some(self.len))?;
        for (key, state) in self.iter() {
            map.serialize_entry(key, state)?;
        }
        map.end()
    }
}

impl<'de, K: Key, S: Record> Deserialize<'de> for KeyedTable<K, S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, S>(PhantomData<(K, S)>);

        impl<'de, K: Key, S: Record> Visitor<'de> for Entries<K, S> {
            type Value = KeyedTable<K, S>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut table = KeyedTable::new();
                while let Some((key, state)) = entries.next_entry::<K, S>()? {
                    table.put(key_hash(&key), key, state);
                }
                Ok(table)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}
