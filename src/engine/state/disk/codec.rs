//! How keys and states of a type lie in a run: as they do in a checkpoint.

use std::any::type_name;

use super::super::expiring::{Life, Timed};
use crate::engine::record::{Key, KeyRef, Record};
use crate::graph::task::Failure;
use crate::time::Now;

type Write<S> = fn(&S, Life, Vec<u8>) -> Result<(bool, Vec<u8>), postcard::Error>;
type Read<S> = fn(&[u8]) -> Result<S, String>;
/// Says of a state's bytes whether they are worth keeping.
pub(super) type Keeps = Box<dyn Fn(&[u8]) -> bool + Send>;
type IsAlive = fn(&[u8], Life) -> bool;

/// Writes and reads states of a type.
pub(crate) struct Codec<S> {
    life: Life,
    type_name: &'static str,
    write: Write<S>,
    read: Read<S>,
    /// Of states that expire.
    is_alive: Option<IsAlive>,
    /// What a state owns, beside as much as it has bytes.
    memory: fn(&S) -> usize,
}

impl<S: Record> Codec<S> {
    /// Of states that do not expire. `memory` says what one owns, beside as much as it has bytes.
    pub(crate) fn lasting(memory: fn(&S) -> usize) -> Self {
        Self {
            life: Life::endless(),
            type_name: type_name::<S>(),
            write: |state, _, bytes| Ok((true, postcard::to_extend(state, bytes)?)),
            read: |bytes| postcard::from_bytes(bytes).map_err(|error| error.to_string()),
            is_alive: None,
            memory,
        }
    }
}

impl<S: Timed> Codec<S> {
    /// Of states that expire.
    pub(in super::super) fn expiring(life: Life) -> Self {
        Self {
            life,
            type_name: type_name::<S::Plain>(),
            write: S::encode,
            read: read_timed::<S>,
            is_alive: Some(|bytes, life| read_timed::<S>(bytes).is_ok_and(|mut state| !state.expire(life))),
            memory: S::memory,
        }
    }
}

fn read_timed<S: Timed>(bytes: &[u8]) -> Result<S, String> {
    let (plain, times) = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
    S::touched_at(plain, times)
}

impl<S> Codec<S> {
    pub(super) fn set_now(&mut self, now: Now) {
        self.life = self.life.at(now);
    }

    /// Puts a state's bytes behind `bytes`. False: nothing of it is alive.
    pub(super) fn write(&self, state: &S, bytes: Vec<u8>) -> Result<(bool, Vec<u8>), Failure> {
        (self.write)(state, self.life, bytes).map_err(|error| {
            Failure::permanent(format!("{error}: a state of type {} cannot be written", self.type_name))
        })
    }

    pub(super) fn read(&self, bytes: &[u8]) -> Result<S, Failure> {
        (self.read)(bytes)
            .map_err(|error| Failure::permanent(format!("{error}: a state of type {} cannot be read", self.type_name)))
    }

    /// About what a state owns beside its table, of whose entry there are so many bytes.
    pub(super) fn memory(&self, state: &S, bytes: usize) -> usize {
        bytes + (self.memory)(state)
    }

    /// Whether a state's bytes are worth keeping.
    pub(super) fn keeps(&self, bytes: &[u8]) -> bool {
        self.is_alive.is_none_or(|is_alive| is_alive(bytes, self.life))
    }

    /// [`Codec::keeps`], as it is now.
    pub(super) fn keeper(&self) -> Keeps {
        let (is_alive, life) = (self.is_alive, self.life);
        Box::new(move |bytes| is_alive.is_none_or(|is_alive| is_alive(bytes, life)))
    }
}

/// A key's bytes, in `bytes`.
#[inline]
pub(super) fn key_bytes<K: Key>(key: KeyRef<'_, K>, mut bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    bytes.clear();
    let written = match key {
        KeyRef::Value(key) => postcard::to_extend(key, bytes),
        // A text is written as the Str or String that it is.
        KeyRef::Text(text) => postcard::to_extend(text, bytes),
    };
    written
        .map_err(|error| Failure::permanent(format!("{error}: a key of type {} cannot be written", type_name::<K>())))
}

pub(super) fn read_key<K: Key>(bytes: &[u8]) -> Result<K, Failure> {
    postcard::from_bytes(bytes)
        .map_err(|error| Failure::permanent(format!("{error}: a key of type {} cannot be read", type_name::<K>())))
}
