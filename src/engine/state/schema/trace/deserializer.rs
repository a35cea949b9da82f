//! Answers a type's questions with samples.

use serde::de::{Deserializer, Error as _, Visitor};

use super::super::{Content, Type};
use super::access::{Answer, ContentOf, Parts};
use super::registry::{Identity, Mode, Place, Registry};
use super::trouble::Trouble;

/// Texts that types which parse them may take.
const TEXTS: [&str; 14] = [
    "a",
    "1",
    "",
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00",
    "1970-01-01",
    "00:00:00",
    "00000000-0000-4000-8000-000000000000",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "http://localhost/",
    "UTC",
    "P1D",
];

/// Lengths of byte strings that types which check them may take.
const BYTE_LENGTHS: [usize; 9] = [0, 16, 1, 4, 8, 12, 20, 24, 32];

/// One value's questions.
pub(super) struct Trace<'a> {
    pub(super) registry: &'a mut Registry,
    /// Whether the smallest value will do, since it is explored elsewhere.
    pub(super) fill: bool,
}

/// A primitive, with its samples.
macro_rules! primitive {
    ($($method:ident => $ty:ident, $visit:ident, [$($sample:expr),+];)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
            let samples = [$($sample),+];
            let result = visitor.$visit(samples[self.registry.refused::<V>().min(samples.len() - 1)]);
            let value = self.registry.retry::<V, _>(result, samples.len())?;
            self.registry.set_last(Type::$ty);
            Ok(value)
        })+
    };
}

/// What postcard cannot read either.
macro_rules! unanswerable {
    ($($method:ident: $what:literal;)+) => {
        $(fn $method<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Trouble> {
            Err(Trouble::custom(concat!("its Deserialize asks for ", $what)))
        })+
    };
}

impl<'de> Deserializer<'de> for Trace<'_> {
    type Error = Trouble;

    fn is_human_readable(&self) -> bool {
        false
    }

    primitive! {
        deserialize_bool => Bool, visit_bool, [false, true];
        deserialize_i8 => I8, visit_i8, [1, 0];
        deserialize_i16 => I16, visit_i16, [1, 0];
        deserialize_i32 => I32, visit_i32, [1, 0];
        deserialize_i64 => I64, visit_i64, [1, 0];
        deserialize_i128 => I128, visit_i128, [1, 0];
        deserialize_u8 => U8, visit_u8, [1, 0];
        deserialize_u16 => U16, visit_u16, [1, 0];
        deserialize_u32 => U32, visit_u32, [1, 0];
        deserialize_u64 => U64, visit_u64, [1, 0];
        deserialize_u128 => U128, visit_u128, [1, 0];
        deserialize_f32 => F32, visit_f32, [1.0, 0.0];
        deserialize_f64 => F64, visit_f64, [1.0, 0.0];
        deserialize_char => Char, visit_char, ['a', '1'];
    }

    unanswerable! {
        deserialize_any: "data that describes itself (an untagged or internally tagged enum, or flatten)";
        deserialize_identifier: "names of fields (flatten)";
        deserialize_ignored_any: "data that it does not know";
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let result = visitor.visit_str(TEXTS[self.registry.refused::<V>().min(TEXTS.len() - 1)]);
        let value = self.registry.retry::<V, _>(result, TEXTS.len())?;
        self.registry.set_last(Type::String);
        Ok(value)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let len = BYTE_LENGTHS[self.registry.refused::<V>().min(BYTE_LENGTHS.len() - 1)];
        let result = visitor.visit_bytes(&vec![0; len]);
        let value = self.registry.retry::<V, _>(result, BYTE_LENGTHS.len())?;
        self.registry.set_last(Type::Bytes);
        Ok(value)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        if self.fill {
            return visitor.visit_none();
        }
        let value = visitor.visit_some(Trace { registry: &mut *self.registry, fill: false })?;
        let held = self.registry.noted(false)?;
        self.registry.set_last(Type::Option(Box::new(held)));
        Ok(value)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let value = visitor.visit_unit()?;
        self.registry.set_last(Type::Unit);
        Ok(value)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        // A type that refuses to be empty, or to hold only one, is given one more.
        let left = self.registry.refused::<V>() + usize::from(!self.fill);
        let mut parts = Parts::new(&mut *self.registry, self.fill, left);
        let result = visitor.visit_seq(&mut parts);
        let element = parts.types.pop();
        let value = self.registry.retry::<V, _>(result, 3)?;
        if !self.fill {
            let element = element.ok_or_else(Trouble::nothing_read)?;
            self.registry.set_last(Type::Seq(Box::new(element)));
        }
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let left = self.registry.refused::<V>() + usize::from(!self.fill);
        let mut parts = Parts::new(&mut *self.registry, self.fill, 2 * left);
        let result = visitor.visit_map(&mut parts);
        let types = (parts.types.pop(), parts.types.pop());
        let value = self.registry.retry::<V, _>(result, 3)?;
        if !self.fill {
            let (Some(value_type), Some(key_type)) = types else { return Err(Trouble::nothing_read()) };
            self.registry.set_last(Type::Map(Box::new(key_type), Box::new(value_type)));
        }
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Trouble> {
        let mut parts = Parts::new(&mut *self.registry, self.fill, len);
        let value = visitor.visit_seq(&mut parts)?;
        let types = parts.all(len)?;
        self.registry.set_last(Type::Tuple(types));
        Ok(value)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Trouble> {
        self.read_struct(Identity::of::<V>(name, &[]), |_, _| Ok((visitor.visit_unit()?, Some(Content::Unit))))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Trouble> {
        self.read_struct(Identity::of::<V>(name, &[]), |_, Trace { registry, fill }| {
            let value = visitor.visit_newtype_struct(Trace { registry: &mut *registry, fill })?;
            Ok((value, Some(Content::Newtype(registry.noted(fill)?))))
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.read_struct(Identity::of::<V>(name, &[]), |_, trace| trace.tuple(len, visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.read_struct(Identity::of::<V>(name, fields), |place, trace| trace.fields(place, fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        let Self { registry, fill } = self;
        let (at, mode, variant) = registry.enter_enum(Identity::of::<V>(name, variants), fill)?;
        let mut content = None;
        let answer = Answer { registry: &mut *registry, fill: mode == Mode::Fill, at, variant, content: &mut content };
        let value = visitor.visit_enum(answer)?;
        registry.leave((at, Some(variant)), mode, content);
        Ok(value)
    }
}

impl Trace<'_> {
    /// Reads what a struct holds, and notes it.
    fn read_struct<T>(
        self,
        identity: Identity,
        read: impl FnOnce(Place, Trace<'_>) -> Result<ContentOf<T>, Trouble>,
    ) -> Result<T, Trouble> {
        let Self { registry, fill } = self;
        let (at, mode) = registry.enter_struct(identity, fill)?;
        let place = (at, None);
        let (value, content) = read(place, Trace { registry: &mut *registry, fill: mode == Mode::Fill })?;
        registry.leave(place, mode, content);
        Ok(value)
    }
}
