//! What a program tells of itself in the describe role, so that clients can show it and ask for its arguments.

use serde::{Deserialize, Serialize};

/// A program. Empty where it does not use [`flott::parse`](crate::parse).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// What it is called.
    pub name: String,
    /// What it does.
    pub about: Option<String>,
    /// What it can be told.
    pub args: Vec<Argument>,
}

/// One argument of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Its id.
    pub name: String,
    /// Its option, without dashes; absent where its place says what it is.
    pub long: Option<String>,
    /// What it means.
    pub help: Option<String>,
    /// What it is unless told.
    pub default: Option<String>,
    /// Whether it must be told.
    pub required: bool,
    /// Whether it is followed by a value; a switch is not.
    pub takes_value: bool,
    /// The only values there are; empty where any will do.
    pub possible_values: Vec<String>,
}
