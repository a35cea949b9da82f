//! What a type is, told by the questions its `Deserialize` asks a format.
//!
//! ```text
//! pass: T::deserialize ─► Trace (answers each question with a sample, notes what was asked) ─► a value of T
//!       enums: one variant a pass, until all were seen             check: postcard bytes of each value ─► read by the schema
//! ```
//!
//! The technique is serde-reflection's (zefchain), with what state needs besides: two types of one name are told apart, recursion
//! ends by itself whichever variant comes first, and nothing is believed that the values do not confirm.
//!
//! In a pass each struct or enum is *explored* once, at its first occurrence; elsewhere, and inside itself, it is *filled* with
//! the smallest value there is: no option, no elements, a variant that does not lead back. A sample that a type refuses (zero for
//! a `NonZeroU32`) is replaced by another in the next pass. Structs are also read by names, as maps: what they say is missing or
//! given twice tells defaults from needs and aliases from names.

mod access;
mod deserializer;
mod fields;
mod registry;
mod trouble;
mod witness;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::deserializer::Trace;
pub(super) use self::fields::Probe;
use self::registry::Registry;
use self::trouble::Trouble;
use super::reads::Reads;
use super::skip::skip;
use super::wire::Wire;
use super::{Type, Types};

/// What was found out.
pub(super) struct Traced {
    pub(super) root: Type,
    pub(super) types: Types,
    pub(super) reads: Reads,
}

/// More than any enum has variants that a person wrote.
const PASSES_MAX: usize = 10_000;

/// The schema of `T`, or why there is none.
pub(super) fn trace<T: Serialize + DeserializeOwned>() -> Result<Traced, String> {
    let mut registry = Registry::default();
    let mut written = Vec::new();
    for _ in 0..PASSES_MAX {
        registry.begin_pass();
        match pass::<T>(&mut registry) {
            Ok(value) => {
                let root = registry.take_last().ok_or("it reads nothing")?;
                written.push(postcard::to_allocvec(&value).map_err(|error| error.to_string())?);
                witness::note_variants(&value, &mut registry);
                if registry.is_complete() {
                    let traced = registry.finish(root)?;
                    return confirm(&traced.root, &traced.types, &written).map(|()| traced);
                }
            }
            Err(Trouble::Again) => {}
            Err(Trouble::DeadEnd) => registry.leave_dead_end()?,
            Err(trouble @ (Trouble::Missing(_) | Trouble::Duplicate(_) | Trouble::Refused(_))) => {
                return Err(trouble.to_string());
            }
        }
        if !registry.has_learned() {
            return Err("it asks for something else each time".to_owned());
        }
    }
    Err(format!("it was not understood within {PASSES_MAX} attempts"))
}

/// A type whose code panics over a sample is none of ours to mend, and no reason for a job to fail.
fn pass<T: DeserializeOwned>(registry: &mut Registry) -> Result<T, Trouble> {
    let attempt = std::panic::AssertUnwindSafe(|| T::deserialize(Trace { registry, fill: false }));
    std::panic::catch_unwind(attempt)
        .unwrap_or_else(|_| Err(Trouble::Refused("its Deserialize panicked over a sample value".to_owned())))
}

/// What the values were written as must be what the schema reads.
fn confirm(root: &Type, types: &Types, written: &[Vec<u8>]) -> Result<(), String> {
    for bytes in written {
        let mut wire = Wire::new(types, bytes);
        let differs = |how: String| format!("its Serialize writes something else than its Deserialize reads: {how}");
        match skip(&mut wire, root) {
            Ok(()) if wire.bytes.is_empty() => {}
            Ok(()) => return Err(differs(format!("{} bytes more", wire.bytes.len()))),
            Err(cause) => return Err(differs(cause.at(&wire.path).to_string())),
        }
    }
    Ok(())
}
