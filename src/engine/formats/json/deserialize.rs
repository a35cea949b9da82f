//! serde's view of a [`Reader`]. Where it succeeds, serde_json would have called the same visitors with the same values.

use std::borrow::Cow;

use serde::de::value::{BorrowedStrDeserializer, StringDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::reader::{NotHere, Number, Reader};

/// Methods whose value must begin with one of some bytes; all that is allowed there is then read by `deserialize_any`. (A type that
/// would take a number where it asks for a string must not get it: serde_json does not give it either.)
macro_rules! deserialize_where {
    ($($first:pat => $($method:ident)+;)+) => {
        $($(
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotHere> {
                match self.peek()? {
                    $first => self.deserialize_any(visitor),
                    _ => Err(NotHere),
                }
            }
        )+)+
    };
}

/// Methods of what is too rare to be read here.
macro_rules! not_here {
    ($($method:ident)+) => {
        $(
            fn $method<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, NotHere> {
                Err(NotHere)
            }
        )+
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = NotHere;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotHere> {
        match self.peek()? {
            b'"' => match self.string()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_str(&text),
            },
            b'{' => self.deeper(|reader| {
                reader.step();
                let mut fields = Elements { reader, first: true };
                let value = visitor.visit_map(&mut fields)?;
                // The visitor has to have asked for all.
                if fields.reader.another(b'}', fields.first)? { Err(NotHere) } else { Ok(value) }
            }),
            b'[' => self.deeper(|reader| {
                reader.step();
                let mut elements = Elements { reader, first: true };
                let value = visitor.visit_seq(&mut elements)?;
                if elements.reader.another(b']', elements.first)? { Err(NotHere) } else { Ok(value) }
            }),
            b'n' => self.word("null").and_then(|()| visitor.visit_unit()),
            b't' => self.word("true").and_then(|()| visitor.visit_bool(true)),
            b'f' => self.word("false").and_then(|()| visitor.visit_bool(false)),
            _ => match self.number()? {
                Number::Natural(number) => visitor.visit_u64(number),
                Number::Negative(number) => visitor.visit_i64(number),
                // One way only to round a fraction.
                Number::Other(text) => {
                    serde_json::Deserializer::from_str(text).deserialize_any(visitor).map_err(|_| NotHere)
                }
            },
        }
    }

    deserialize_where! {
        b'"' => deserialize_str deserialize_string deserialize_char deserialize_identifier;
        b'-' | b'0'..=b'9' =>
            deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
            deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
            deserialize_f32 deserialize_f64;
        b't' | b'f' => deserialize_bool;
        b'n' => deserialize_unit;
        b'[' => deserialize_seq;
        b'{' => deserialize_map;
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotHere> {
        match self.peek()? {
            b'n' => self.word("null").and_then(|()| visitor.visit_none()),
            _ => visitor.visit_some(self),
        }
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotHere> {
        self.skip()?;
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, NotHere> {
        if is_private(name) { Err(NotHere) } else { visitor.visit_newtype_struct(self) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, NotHere> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, NotHere> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, NotHere> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NotHere> {
        match self.peek()? {
            b'{' | b'[' if !is_private(name) => self.deserialize_any(visitor),
            _ => Err(NotHere),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NotHere> {
        match self.peek()? {
            b'"' => match self.string()? {
                Cow::Borrowed(variant) => visitor.visit_enum(BorrowedStrDeserializer::new(variant)),
                Cow::Owned(variant) => visitor.visit_enum(IntoDeserializer::<NotHere>::into_deserializer(variant)),
            },
            b'{' => self.deeper(|reader| {
                reader.step();
                let value = visitor.visit_enum(Variant(reader))?;
                reader.expect(b'}')?;
                Ok(value)
            }),
            _ => Err(NotHere),
        }
    }

    not_here! { deserialize_i128 deserialize_u128 deserialize_bytes deserialize_byte_buf }
}

/// serde_json's own types ask for themselves by such names.
fn is_private(name: &str) -> bool {
    name.starts_with("$serde_json::")
}

/// The elements of a list, or the fields of an object.
struct Elements<'a, 'de> {
    reader: &'a mut Reader<'de>,
    first: bool,
}

impl<'de> SeqAccess<'de> for &mut Elements<'_, 'de> {
    type Error = NotHere;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, NotHere> {
        if self.reader.peek()? == b']' {
            return Ok(None);
        }
        self.reader.another(b']', std::mem::take(&mut self.first))?;
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> MapAccess<'de> for &mut Elements<'_, 'de> {
    type Error = NotHere;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, NotHere> {
        if self.reader.peek()? == b'}' {
            return Ok(None);
        }
        self.reader.another(b'}', std::mem::take(&mut self.first))?;
        seed.deserialize(Name(self.reader.string()?)).map(Some)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, NotHere> {
        self.reader.expect(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

/// A field's name.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserializer<'de> for Name<'de> {
    type Error = NotHere;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotHere> {
        match self.0 {
            Cow::Borrowed(name) => visitor.visit_borrowed_str(name),
            Cow::Owned(name) => visitor.visit_str(&name),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotHere> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, NotHere> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NotHere> {
        visitor.visit_enum(StringDeserializer::new(self.0.into_owned()))
    }

    // A name that stands for a number or a truth is read as such there; it is rare.
    not_here! {
        deserialize_bool deserialize_bytes deserialize_byte_buf
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    forward_to_deserialize_any! {
        char str string unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// An object with one field: a variant and what it holds.
struct Variant<'a, 'de>(&'a mut Reader<'de>);

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = NotHere;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), NotHere> {
        let variant = seed.deserialize(Name(self.0.string()?))?;
        self.0.expect(b':')?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = NotHere;

    fn unit_variant(self) -> Result<(), NotHere> {
        serde::Deserialize::deserialize(self.0)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, NotHere> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, NotHere> {
        self.0.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NotHere> {
        self.0.deserialize_struct("", &[], visitor)
    }
}
