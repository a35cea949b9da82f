//! A serde format: postcard bytes, told apart by the writer's schema instead of the reader's type.
//!
//! What differs from postcard is what evolution needs: struct fields and variants come by name, so that serde's derive fills in
//! `#[serde(default)]`, passes over what it does not know and honours `alias`; numbers come as what they were written, so that
//! wider types take them; a value stands where an option is wanted.

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::error::{Cause, Error};
use super::skip::skip;
use super::wire::{Step, Wire};
use super::{Content, Definition, Field, Schema, Type, Variant};

/// Reads one value of `bytes`, which the writer of `schema` wrote, as a `T`, and returns what follows it.
///
/// Works for any `T` that the writer's [compatibility](Schema::compatibility) with it allows; for the same type it gives what
/// postcard gives, some three times slower (300 ns for an entry of five fields; `benches/state.rs`).
///
/// # Errors
/// [`Error`] with the place in the value, when the schema is opaque, when the bytes are not a value of it, or `T` refuses it.
pub fn decode_with<'de, T: Deserialize<'de>>(schema: &Schema, bytes: &'de [u8]) -> Result<(T, &'de [u8]), Error> {
    let (root, types) = schema.described()?;
    let mut wire = Wire::new(types, bytes);
    match T::deserialize(Value { wire: &mut wire, ty: root }) {
        Ok(value) => Ok((value, wire.bytes)),
        Err(cause) => Err(cause.at(&wire.path)),
    }
}

/// A value that comes next on the wire.
struct Value<'a, 's, 'de> {
    wire: &'a mut Wire<'s, 'de>,
    ty: &'s Type,
}

/// A type behind its names; newtype structs, which have no bytes of their own, are what they hold.
enum Shape<'s> {
    Plain(&'s Type),
    Struct(&'s Content),
    Enum(&'s str, &'s [Variant]),
}

impl<'a, 's, 'de> Value<'a, 's, 'de> {
    fn shape(&self) -> Result<Shape<'s>, Cause> {
        let mut ty = self.ty;
        // A chain of newtypes that is longer than there are types holds itself, and has no values.
        for _ in 0..=self.wire.types.len() {
            let Type::Named(name) = ty else { return Ok(Shape::Plain(ty)) };
            match self.wire.definition(name)? {
                Definition::Struct(Content::Newtype(inner)) => ty = inner,
                Definition::Struct(content) => return Ok(Shape::Struct(content)),
                Definition::Enum(variants) => return Ok(Shape::Enum(name, variants)),
            }
        }
        Err("the schema names a type that holds nothing but itself".into())
    }

    fn visit_plain<V: Visitor<'de>>(self, ty: &'s Type, visitor: V) -> Result<V::Value, Cause> {
        let wire = self.wire;
        match ty {
            Type::Unit => visitor.visit_unit(),
            Type::Bool => visitor.visit_bool(wire.bool()?),
            Type::I8 => visitor.visit_i8(wire.signed(8)? as i8),
            Type::I16 => visitor.visit_i16(wire.signed(16)? as i16),
            Type::I32 => visitor.visit_i32(wire.signed(32)? as i32),
            Type::I64 => visitor.visit_i64(wire.signed(64)?),
            Type::I128 => visitor.visit_i128(wire.i128()?),
            Type::U8 => visitor.visit_u8(wire.unsigned(8)? as u8),
            Type::U16 => visitor.visit_u16(wire.unsigned(16)? as u16),
            Type::U32 => visitor.visit_u32(wire.unsigned(32)? as u32),
            Type::U64 => visitor.visit_u64(wire.unsigned(64)?),
            Type::U128 => visitor.visit_u128(wire.u128()?),
            Type::F32 => visitor.visit_f32(wire.f32()?),
            Type::F64 => visitor.visit_f64(wire.f64()?),
            Type::Char => visitor.visit_char(wire.char()?),
            Type::String => visitor.visit_borrowed_str(wire.str()?),
            Type::Bytes => visitor.visit_borrowed_bytes(wire.blob()?),
            Type::Option(inner) => match wire.is_some()? {
                true => wire.nested(|wire| visitor.visit_some(Value { wire, ty: inner })),
                false => visitor.visit_none(),
            },
            Type::Seq(element) => {
                let left = wire.len()?;
                wire.nested(|wire| visit_seq(visitor, Elements { wire, element, index: 0, left }))
            }
            Type::Map(key, value) => {
                let left = wire.len()?;
                wire.nested(|wire| visit_entries(visitor, Entries { wire, key, value, left }))
            }
            Type::Tuple(types) => visit_tuple(wire, types, visitor),
            Type::Named(_) => Err("a name was not followed".into()),
        }
    }
}

fn visit_seq<'de, V: Visitor<'de>>(visitor: V, mut elements: Elements<'_, '_, 'de>) -> Result<V::Value, Cause> {
    let value = visitor.visit_seq(&mut elements)?;
    match elements.left {
        0 => Ok(value),
        left => Err(format!("has {} elements, and the type takes {}", elements.index + left, elements.index).into()),
    }
}

fn visit_entries<'de, V: Visitor<'de>>(visitor: V, mut entries: Entries<'_, '_, 'de>) -> Result<V::Value, Cause> {
    let value = visitor.visit_map(&mut entries)?;
    match entries.left {
        0 => Ok(value),
        left => Err(format!("has {left} entries more than the type takes").into()),
    }
}

fn visit_tuple<'s, 'de, V: Visitor<'de>>(
    wire: &mut Wire<'s, 'de>,
    types: &'s [Type],
    visitor: V,
) -> Result<V::Value, Cause> {
    wire.nested(|wire| {
        let mut parts = Parts { wire, types, index: 0 };
        let value = visitor.visit_seq(&mut parts)?;
        match parts.index == types.len() {
            true => Ok(value),
            false => Err(format!("has {} elements, and the type takes {}", types.len(), parts.index).into()),
        }
    })
}

fn visit_fields<'s, 'de, V: Visitor<'de>>(
    wire: &mut Wire<'s, 'de>,
    fields: &'s [Field],
    visitor: V,
) -> Result<V::Value, Cause> {
    wire.nested(|wire| visitor.visit_map(Fields { wire, fields, current: None }))
}

impl<'de> Deserializer<'de> for Value<'_, '_, 'de> {
    type Error = Cause;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Cause> {
        match self.shape()? {
            Shape::Plain(ty) => self.visit_plain(ty, visitor),
            Shape::Struct(Content::Unit) => visitor.visit_unit(),
            Shape::Struct(Content::Newtype(_)) => Err("a newtype was not opened".into()),
            Shape::Struct(Content::Tuple(types)) => visit_tuple(self.wire, types, visitor),
            Shape::Struct(Content::Struct(fields)) => visit_fields(self.wire, fields, visitor),
            Shape::Enum(name, variants) => {
                let variant = self.wire.variant(name, variants)?;
                self.wire.within(Step::Variant(&variant.name), |wire| {
                    wire.nested(|wire| visitor.visit_enum(Chosen { wire, variant }))
                })
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Cause> {
        match self.shape()? {
            Shape::Plain(ty @ (Type::Option(_) | Type::Unit)) => self.visit_plain(ty, visitor),
            Shape::Plain(_) | Shape::Struct(_) | Shape::Enum(..) => {
                let ty = self.ty;
                self.wire.nested(|wire| visitor.visit_some(Value { wire, ty }))
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Cause> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Cause> {
        match self.shape()? {
            // A struct that had no fields yet.
            Shape::Struct(Content::Unit) => visit_fields(self.wire, &[], visitor),
            Shape::Plain(_) | Shape::Struct(_) | Shape::Enum(..) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Cause> {
        self.deserialize_float(&Type::F32, visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Cause> {
        self.deserialize_float(&Type::F64, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Cause> {
        match self.shape()? {
            Shape::Plain(Type::Bytes) => {
                let left = self.wire.len()?;
                visit_seq(visitor, Elements { wire: self.wire, element: &Type::U8, index: 0, left })
            }
            Shape::Plain(_) | Shape::Struct(_) | Shape::Enum(..) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Cause> {
        match self.shape()? {
            Shape::Plain(Type::Seq(element)) if **element == Type::U8 => {
                visitor.visit_borrowed_bytes(self.wire.blob()?)
            }
            Shape::Plain(_) | Shape::Struct(_) | Shape::Enum(..) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Cause> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Cause> {
        skip(self.wire, self.ty)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str string unit unit_struct tuple tuple_struct map enum identifier
    }
}

impl<'de> Value<'_, '_, 'de> {
    /// Serde would round what does not fit; state is not rounded.
    fn deserialize_float<V: Visitor<'de>>(self, wanted: &Type, visitor: V) -> Result<V::Value, Cause> {
        match self.shape()? {
            Shape::Plain(ty) if !ty.widens_to(wanted) => Err(format!("{ty} does not fit into {wanted}").into()),
            Shape::Plain(_) | Shape::Struct(_) | Shape::Enum(..) => self.deserialize_any(visitor),
        }
    }
}

struct Elements<'a, 's, 'de> {
    wire: &'a mut Wire<'s, 'de>,
    element: &'s Type,
    index: usize,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_, 'de> {
    type Error = Cause;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Cause> {
        if self.left == 0 {
            return Ok(None);
        }
        let (ty, step) = (self.element, Step::Index(self.index));
        self.left -= 1;
        self.index += 1;
        self.wire.within(step, |wire| wire.element(|wire| seed.deserialize(Value { wire, ty }))).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        // The length is only believed as far as there are bytes.
        Some(self.left.min(self.wire.bytes.len()))
    }
}

struct Parts<'a, 's, 'de> {
    wire: &'a mut Wire<'s, 'de>,
    types: &'s [Type],
    index: usize,
}

impl<'de> SeqAccess<'de> for Parts<'_, '_, 'de> {
    type Error = Cause;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Cause> {
        let Some(ty) = self.types.get(self.index) else { return Ok(None) };
        let step = Step::Index(self.index);
        self.index += 1;
        self.wire.within(step, |wire| seed.deserialize(Value { wire, ty })).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.types.len() - self.index)
    }
}

struct Entries<'a, 's, 'de> {
    wire: &'a mut Wire<'s, 'de>,
    key: &'s Type,
    value: &'s Type,
    left: usize,
}

impl<'de> MapAccess<'de> for Entries<'_, '_, 'de> {
    type Error = Cause;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Cause> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let ty = self.key;
        self.wire.within(Step::Key, |wire| wire.element(|wire| seed.deserialize(Value { wire, ty }))).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Cause> {
        let ty = self.value;
        self.wire.within(Step::MapValue, |wire| seed.deserialize(Value { wire, ty }))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.wire.bytes.len()))
    }
}

struct Fields<'a, 's, 'de> {
    wire: &'a mut Wire<'s, 'de>,
    fields: &'s [Field],
    /// Whose name was given, and whose value comes next.
    current: Option<&'s Field>,
}

impl<'de> MapAccess<'de> for Fields<'_, '_, 'de> {
    type Error = Cause;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Cause> {
        let Some((field, rest)) = self.fields.split_first() else { return Ok(None) };
        self.fields = rest;
        self.current = Some(field);
        seed.deserialize(StrDeserializer::new(&field.name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Cause> {
        let field = self.current.take().ok_or("a value was asked for before its name")?;
        self.wire.within(Step::Field(&field.name), |wire| seed.deserialize(Value { wire, ty: &field.ty }))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

/// The variant of an enum's value.
struct Chosen<'a, 's, 'de> {
    wire: &'a mut Wire<'s, 'de>,
    variant: &'s Variant,
}

impl Chosen<'_, '_, '_> {
    fn differs<T>(&self, wanted: &str) -> Result<T, Cause> {
        Err(format!("was written as {}, and the type has {wanted}", self.variant.content.kind()).into())
    }
}

impl<'de> EnumAccess<'de> for Chosen<'_, '_, 'de> {
    type Error = Cause;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Cause> {
        let name = seed.deserialize(StrDeserializer::<Cause>::new(&self.variant.name))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Chosen<'_, '_, 'de> {
    type Error = Cause;

    fn unit_variant(self) -> Result<(), Cause> {
        match &self.variant.content {
            Content::Unit => Ok(()),
            Content::Newtype(_) | Content::Tuple(_) | Content::Struct(_) => self.differs("a variant without content"),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Cause> {
        match &self.variant.content {
            Content::Newtype(ty) => seed.deserialize(Value { wire: self.wire, ty }),
            Content::Unit | Content::Tuple(_) | Content::Struct(_) => self.differs("a variant with one value"),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Cause> {
        match &self.variant.content {
            Content::Tuple(types) => visit_tuple(self.wire, types, visitor),
            Content::Unit | Content::Newtype(_) | Content::Struct(_) => self.differs("a tuple variant"),
        }
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], visitor: V) -> Result<V::Value, Cause> {
        match &self.variant.content {
            Content::Struct(fields) => visit_fields(self.wire, fields, visitor),
            // A variant that had no fields yet.
            Content::Unit => visit_fields(self.wire, &[], visitor),
            Content::Newtype(_) | Content::Tuple(_) => self.differs("a variant with fields"),
        }
    }
}
