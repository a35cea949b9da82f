//! What state looks like in a checkpoint: the schema of its writer, recorded once a state, beside entries in postcard bytes.
//!
//! ```text
//! writer:   type ─► Schema::of (traces its Deserialize) ─► stands in the state's file        values ─► postcard bytes
//! reader:   its own Schema ─► compatibility ─┬─ Same ────────► plain postcard
//!                                            ├─ Migrates ────► decode_with: struct fields and variants by name, serde's defaults
//!                                            └─ Incompatible ► the restore is refused, with the reason
//! no reader at hand:                            to_json: entries in words, for `flott savepoint inspect`
//! ```
//!
//! Users write nothing for this: a schema is what `#[derive(Deserialize)]` asks a format for. Types that insist on values which
//! no trace can guess, or on data that describes itself, have an *opaque* schema: only the same type reads them again.
//!
//! Invariants: a schema is only given for a type after what the type writes was read by it; bytes from outside never make this
//! code panic, recurse without bound or allocate more than in proportion to them; nothing here knows of files or checkpoints.

mod compatibility;
mod decode;
mod display;
mod error;
mod json;
mod reads;
mod skip;
#[cfg(test)]
mod tests;
mod trace;
mod types;
mod wire;

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rapidhash::v3::rapidhash_v3;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use compatibility::Compatibility;
pub use decode::decode_with;
pub use error::Error;
pub use json::to_json;
use reads::Reads;
use trace::Traced;
use types::{Content, Definition, Field, Type, Types, Variant};

/// How the values of a type lie in postcard bytes, in names and types: enough to read them without the type.
///
/// ```
/// use flott::engine::state::schema::{Schema, decode_with, to_json};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Visits {
///     count: u32,
///     page: String,
/// }
///
/// let written_by = Schema::of::<Visits>();
/// assert_eq!(written_by.to_string(), "Visits { count: u32, page: String }");
/// let bytes = postcard::to_allocvec(&Visits { count: 3, page: "/".into() })?;
///
/// // The same state in a later program: a wider count, a field more, another order.
/// #[derive(Deserialize)]
/// struct LaterVisits {
///     page: String,
///     count: u64,
///     #[serde(default)]
///     bytes: u64,
/// }
///
/// let (visits, rest) = decode_with::<LaterVisits>(&written_by, &bytes)?;
/// assert_eq!((visits.count, visits.bytes, rest.len()), (3, 0, 0));
///
/// // And without any program.
/// assert_eq!(to_json(&written_by, &bytes)?.0.to_string(), r#"{"count":3,"page":"/"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Schema {
    type_name: String,
    body: Body,
    /// Known where the type itself is; not needed to read what it wrote, and therefore not recorded.
    #[serde(skip)]
    reads: Option<Reads>,
}

impl PartialEq for Schema {
    /// Whether both say the same of what is written.
    fn eq(&self, other: &Self) -> bool {
        self.type_name == other.type_name && self.body == other.body
    }
}

impl Eq for Schema {}

/// What is known of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Body {
    /// Everything.
    Described {
        /// Of the values themselves.
        root: Type,
        /// The structs and enums that `root` names, and those that they name.
        types: Types,
    },
    /// Only its Rust name.
    Opaque { because: String },
}

impl Schema {
    /// The schema of what `T` writes and reads in postcard. Opaque where `T`'s `Deserialize` does not show it.
    ///
    /// Runs `T`'s `Deserialize` once for each variant of its largest enum or so: call it once a state, not once an entry.
    #[must_use]
    pub fn of<T: Serialize + DeserializeOwned>() -> Self {
        let type_name = std::any::type_name::<T>().to_owned();
        match trace::trace::<T>() {
            Ok(Traced { root, types, reads }) => {
                Self { type_name, body: Body::Described { root, types }, reads: Some(reads) }
            }
            Err(because) => Self { type_name, body: Body::Opaque { because }, reads: None },
        }
    }

    /// The schema of `T`, found out once a process.
    #[must_use]
    pub fn shared<T: Serialize + DeserializeOwned + 'static>() -> Arc<Self> {
        static KNOWN: Mutex<BTreeMap<TypeId, Arc<Schema>>> = Mutex::new(BTreeMap::new());
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(&TypeId::of::<T>()).cloned();
        // Traced without the lock: a type's Deserialize is its author's.
        found.unwrap_or_else(|| {
            Arc::clone(known().entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(Self::of::<T>())))
        })
    }

    /// The Rust name of the type, for people.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// Why this schema says no more than the type's name; `None` if it does.
    #[must_use]
    pub fn opaque_because(&self) -> Option<&str> {
        match &self.body {
            Body::Described { .. } => None,
            Body::Opaque { because } => Some(because),
        }
    }

    /// The schema of a tuple without its last part; of anything else, itself.
    pub(crate) fn without_last_part(&self) -> Self {
        let mut shorter = self.clone();
        if let Body::Described { root: Type::Tuple(parts), .. } = &mut shorter.body {
            parts.pop();
        }
        shorter
    }

    /// A hash that is equal for equal schemas: then bytes mean the same. The type's Rust path, which changes when a program's
    /// modules are renamed, has no part in it unless the schema is opaque.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let bytes = match &self.body {
            Body::Described { root, types } => postcard::to_allocvec(&(root, types)),
            Body::Opaque { .. } => postcard::to_allocvec(&self.type_name),
        };
        rapidhash_v3(&bytes.expect("names and types can be written"))
    }

    /// Whether bytes mean the same under both for certain. That they do not is for [`Schema::compatibility`] to find out.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        match (&self.body, &other.body) {
            (Body::Opaque { .. }, Body::Opaque { .. }) => self.type_name == other.type_name,
            (Body::Described { .. }, Body::Described { .. }) => self.body == other.body,
            (Body::Opaque { .. }, Body::Described { .. }) | (Body::Described { .. }, Body::Opaque { .. }) => false,
        }
    }

    /// The root and the definitions, for readers of bytes.
    fn described(&self) -> Result<(&Type, &Types), Error> {
        match &self.body {
            Body::Described { root, types } => Ok((root, types)),
            Body::Opaque { because } => {
                Err(Error::Opaque { type_name: self.type_name.clone(), because: because.clone() })
            }
        }
    }
}
