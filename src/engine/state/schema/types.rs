//! The vocabulary of schemas.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Structs and enums by the names that stand in [`Type::Named`].
pub(super) type Types = BTreeMap<String, Definition>;

/// The type of a value: serde's data model, with names for structs and enums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Type {
    Unit,
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    String,
    Bytes,
    Option(Box<Type>),
    Seq(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Tuple(Vec<Type>),
    Named(String),
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Definition {
    Struct(Content),
    Enum(Vec<Variant>),
}

/// What a struct or a variant holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Content {
    Unit,
    Newtype(Type),
    Tuple(Vec<Type>),
    Struct(Vec<Field>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Field {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) ty: Type,
}

/// A variant, in the order of the indices that values carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Variant {
    pub(super) name: String,
    pub(super) content: Content,
}

impl Type {
    /// How many bits an integer type has, and whether it is signed.
    pub(super) fn integer(&self) -> Option<(u32, bool)> {
        match self {
            Self::I8 => Some((8, true)),
            Self::I16 => Some((16, true)),
            Self::I32 => Some((32, true)),
            Self::I64 => Some((64, true)),
            Self::I128 => Some((128, true)),
            Self::U8 => Some((8, false)),
            Self::U16 => Some((16, false)),
            Self::U32 => Some((32, false)),
            Self::U64 => Some((64, false)),
            Self::U128 => Some((128, false)),
            Self::Unit | Self::Bool | Self::F32 | Self::F64 | Self::Char | Self::String | Self::Bytes => None,
            Self::Option(_) | Self::Seq(_) | Self::Map(..) | Self::Tuple(_) | Self::Named(_) => None,
        }
    }

    /// The types that it is made of, names not followed.
    pub(super) fn parts(&self) -> Vec<&Type> {
        match self {
            Self::Option(inner) | Self::Seq(inner) => vec![inner],
            Self::Map(key, value) => vec![key, value],
            Self::Tuple(types) => types.iter().collect(),
            Self::Unit | Self::Bool | Self::F32 | Self::F64 | Self::Char | Self::String | Self::Bytes => Vec::new(),
            Self::I8 | Self::I16 | Self::I32 | Self::I64 | Self::I128 | Self::Named(_) => Vec::new(),
            Self::U8 | Self::U16 | Self::U32 | Self::U64 | Self::U128 => Vec::new(),
        }
    }

    /// With each name replaced.
    pub(super) fn renamed(self, name: &impl Fn(String) -> String) -> Self {
        let all = |types: Vec<Type>| types.into_iter().map(|ty| ty.renamed(name)).collect();
        match self {
            Self::Named(old) => Self::Named(name(old)),
            Self::Option(inner) => Self::Option(Box::new(inner.renamed(name))),
            Self::Seq(element) => Self::Seq(Box::new(element.renamed(name))),
            Self::Map(key, value) => Self::Map(Box::new(key.renamed(name)), Box::new(value.renamed(name))),
            Self::Tuple(types) => Self::Tuple(all(types)),
            plain => plain,
        }
    }
}

impl Content {
    /// The types that it is made of.
    pub(super) fn parts(&self) -> Vec<&Type> {
        match self {
            Self::Unit => Vec::new(),
            Self::Newtype(ty) => vec![ty],
            Self::Tuple(types) => types.iter().collect(),
            Self::Struct(fields) => fields.iter().map(|field| &field.ty).collect(),
        }
    }

    /// With each name replaced.
    pub(super) fn renamed(self, name: &impl Fn(String) -> String) -> Self {
        match self {
            Self::Unit => Self::Unit,
            Self::Newtype(ty) => Self::Newtype(ty.renamed(name)),
            Self::Tuple(types) => Self::Tuple(types.into_iter().map(|ty| ty.renamed(name)).collect()),
            Self::Struct(fields) => {
                let field = |field: Field| Field { name: field.name, ty: field.ty.renamed(name) };
                Self::Struct(fields.into_iter().map(field).collect())
            }
        }
    }
}
