//! What functions remember: state per key, timers, and state that a broadcast stream writes.
//!
//! ```text
//! open:     ctx.value_state("name") ─► handle (a number and a type) ─┐
//! element:  handle.value(ctx) ─► KeyedStates ─► table of the state ──┴─► part of the key group ─► value of the current key
//! ```
//!
//! A state is reached through a *handle*, a small copyable value that a function obtains in `open` and keeps in a field, and the
//! *context* that each call gives the function: `self.count.update(ctx, 5)`. The handle says which state, the context brings the
//! store and the current key. So functions stay `Send` and need neither locks nor reference counts, the borrow checker rules out
//! a state that is read while it is written, and no access is possible where no key is current: that context does not exist.
//! (Handles that hold the store itself, `self.count.update(5)`, would need a shared cell behind each and a key set from afar.)
//! Handles name no backend, and reads borrow from the context; expiry, copying on write and the backend on [disk](StateBackend) change
//! neither: what lies there is brought into the tables before a function is called.
//!
//! Invariants: a state's entries lie apart by key group, so that a snapshot and a rescale take whole parts; a key is hashed before
//! it comes here, and a key that has no state takes no memory.

mod broadcast;
mod disk;
mod expiring;
mod folding;
mod handle;
mod keyed;
mod list;
mod map;
pub mod schema;
mod section;
mod snapshot;
mod tables;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod timers;
mod value;

pub use broadcast::{BroadcastRead, BroadcastState, BroadcastStates, BroadcastWrite};
pub(crate) use disk::{Codec, Disk, write_runs};
pub use disk::{DiskBackend, StateBackend, StateMemory};
pub use expiring::{StateTtlConfig, StateVisibility, UpdateType};
pub use folding::ReducingState;
pub use keyed::{KeyAt, KeyContext, KeyedState, KeyedStates};
pub use list::ListState;
pub use map::MapState;
pub use section::Section;
pub(crate) use section::{has_times, name_parts};
pub use snapshot::{Frozen, FrozenState, Redistribution, Restore, Sections, Snapshot, TakePart, TakeSection};
pub(crate) use snapshot::{is_union_state, union_state_name};
pub(crate) use tables::take_runs;
pub(crate) use timers::TimerQueue;
pub use value::ValueState;
