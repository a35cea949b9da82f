//! Why a pass ended without a value.

use std::fmt::{self, Display};

/// Why a pass ended without a value.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Something was learned on the way: the next pass will come further.
    Again,
    /// The variants chosen for filling lead back to themselves.
    DeadEnd,
    /// A field that was not given has no default.
    Missing(&'static str),
    /// A field was given twice, under its name or an alias.
    Duplicate(&'static str),
    /// The type does not take what it was given, or asks for what postcard has not.
    Refused(String),
}

impl Trouble {
    pub(super) fn nothing_read() -> Self {
        Self::Refused("its Deserialize does not read what it asks for".to_owned())
    }
}

impl Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Again => f.write_str("another pass is needed"),
            Self::DeadEnd => f.write_str("a type holds itself"),
            Self::Missing(field) => write!(f, "it misses its field `{field}`"),
            Self::Duplicate(field) => write!(f, "it was given its field `{field}` twice"),
            Self::Refused(cause) => f.write_str(cause),
        }
    }
}

impl std::error::Error for Trouble {}

impl serde::de::Error for Trouble {
    fn custom<T: Display>(message: T) -> Self {
        Self::Refused(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::Duplicate(field)
    }
}
