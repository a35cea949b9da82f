//! Slots, and the workers that fill them.
mod core;
mod error;
mod worker;
pub use self::core::{Core, Effect, Event, Home, Policy};
pub use self::error::{Error, Illegal};
