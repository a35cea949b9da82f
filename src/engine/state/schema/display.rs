//! Types in Rust's notation.

use std::fmt::{self, Display, Formatter};

use super::{Body, Content, Definition, Schema, Type};

impl Display for Schema {
    /// The type, with the fields or variants of its outermost struct or enum.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (root, types) = match &self.body {
            Body::Described { root, types } => (root, types),
            Body::Opaque { .. } => return write!(f, "{} (opaque)", self.type_name),
        };
        match root {
            Type::Named(name) => match types.get(name) {
                Some(definition) => write_definition(f, name, definition),
                None => f.write_str(name),
            },
            plain => plain.fmt(f),
        }
    }
}

impl Schema {
    /// The type, with structs and enums by their names alone; the type's Rust name if the schema is opaque.
    #[must_use]
    pub fn outline(&self) -> String {
        match &self.body {
            Body::Described { root, .. } => root.to_string(),
            Body::Opaque { .. } => self.type_name.clone(),
        }
    }

    /// The structs and enums of the type with what they hold, in Rust's notation, sorted by name.
    #[must_use]
    pub fn definitions(&self) -> Vec<String> {
        struct Shown<'a>(&'a str, &'a Definition);
        impl Display for Shown<'_> {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                write_definition(f, self.0, self.1)
            }
        }
        match &self.body {
            Body::Described { types, .. } => types.iter().map(|(name, held)| Shown(name, held).to_string()).collect(),
            Body::Opaque { .. } => Vec::new(),
        }
    }
}

fn write_definition(f: &mut Formatter<'_>, name: &str, definition: &Definition) -> fmt::Result {
    f.write_str(name)?;
    match definition {
        Definition::Struct(content) => content.fmt(f),
        Definition::Enum(variants) => {
            f.write_str(" = ")?;
            for (index, variant) in variants.iter().enumerate() {
                let bar = if index == 0 { "" } else { " | " };
                write!(f, "{bar}{}{}", variant.name, variant.content)?;
            }
            Ok(())
        }
    }
}

impl Content {
    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Unit => "a variant without content",
            Self::Newtype(_) => "a variant with one value",
            Self::Tuple(_) => "a tuple variant",
            Self::Struct(_) => "a variant with fields",
        }
    }
}

impl Display for Content {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit => Ok(()),
            Self::Newtype(ty) => write!(f, "({ty})"),
            Self::Tuple(types) => write_list(f, types),
            Self::Struct(fields) => {
                f.write_str(" {")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma} {}: {}", field.name, field.ty)?;
                }
                f.write_str(" }")
            }
        }
    }
}

fn write_list(f: &mut Formatter<'_>, types: &[Type]) -> fmt::Result {
    f.write_str("(")?;
    for (index, ty) in types.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{ty}")?;
    }
    f.write_str(")")
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unit => "()",
            Self::Bool => "bool",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::I128 => "i128",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::U128 => "u128",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Char => "char",
            Self::String => "String",
            Self::Bytes => "bytes",
            Self::Option(inner) => return write!(f, "Option<{inner}>"),
            Self::Seq(element) => return write!(f, "Vec<{element}>"),
            Self::Map(key, value) => return write!(f, "Map<{key}, {value}>"),
            // Arrays come as tuples.
            Self::Tuple(types) if types.len() > 4 && types.iter().all(|ty| *ty == types[0]) => {
                return write!(f, "[{}; {}]", types[0], types.len());
            }
            Self::Tuple(types) => return write_list(f, types),
            Self::Named(name) => name,
        })
    }
}
