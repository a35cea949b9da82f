//! Why bytes cannot be read by a schema.

use std::fmt::{self, Display};

use super::wire::Step;

/// Why a value cannot be read by its writer's schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The schema says no more than the type's name.
    #[error("values of {type_name} can only be read by that type: {because}")]
    Opaque {
        /// The writer's type.
        type_name: String,
        /// Why its schema says no more.
        because: String,
    },
    /// The bytes, or what the reader wants of them, are wrong at one place.
    #[error("{path}: {cause}")]
    Value {
        /// The place, as `value.visits[3].page`.
        path: String,
        /// What is wrong there.
        cause: String,
    },
}

/// A cause, before its place is known.
#[derive(Debug)]
pub(super) struct Cause(pub(super) Box<str>);

impl Cause {
    /// With the place where the reader stopped.
    pub(super) fn at(self, steps: &[Step<'_>]) -> Error {
        let mut path = String::from("value");
        for step in steps {
            match step {
                Step::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Variant(name) => {
                    path.push_str("::");
                    path.push_str(name);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Key => path.push_str("[key]"),
                Step::MapValue => path.push_str("[value]"),
            }
        }
        Error::Value { path, cause: self.0.into() }
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

impl serde::de::Error for Cause {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string().into())
    }
}
