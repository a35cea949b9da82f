//! A serializer that writes nothing and listens how variants are called.

use serde::ser::{self, Serialize, Serializer};

use super::registry::Registry;
use super::trouble::Trouble;

/// Notes the names under which the variants in `value` are written. Errors of its `Serialize` come up where it is written.
pub(super) fn note_variants<T: Serialize>(value: &T, registry: &mut Registry) {
    let _ = value.serialize(Witness(registry));
}

struct Witness<'a>(&'a mut Registry);

impl Witness<'_> {
    fn listen<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Trouble> {
        value.serialize(Witness(&mut *self.0))
    }
}

impl ser::Error for Trouble {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Refused(message.to_string())
    }
}

macro_rules! silent {
    ($($method:ident: $ty:ty),+ $(,)?) => {
        $(fn $method(self, _value: $ty) -> Result<(), Trouble> {
            Ok(())
        })+
    };
}

impl Serializer for Witness<'_> {
    type Ok = ();
    type Error = Trouble;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    silent! {
        serialize_bool: bool, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_f32: f32, serialize_f64: f64, serialize_unit_struct: &'static str,
    }

    fn serialize_none(self) -> Result<(), Trouble> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<(), Trouble> {
        self.listen(value)
    }

    fn serialize_unit(self) -> Result<(), Trouble> {
        Ok(())
    }

    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<(), Trouble> {
        self.0.note_written(name, index, variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        mut self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Trouble> {
        self.listen(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Trouble> {
        self.0.note_written(name, index, variant);
        self.listen(value)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Self, Trouble> {
        Ok(self)
    }

    fn serialize_tuple(self, _len: usize) -> Result<Self, Trouble> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Self, Trouble> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Self, Trouble> {
        self.0.note_written(name, index, variant);
        Ok(self)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Self, Trouble> {
        Ok(self)
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Self, Trouble> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Self, Trouble> {
        self.0.note_written(name, index, variant);
        Ok(self)
    }
}

macro_rules! compound {
    ($($trait:ident::$method:ident($($key:ident: $key_type:ty)?)),+ $(,)?) => {
        $(impl ser::$trait for Witness<'_> {
            type Ok = ();
            type Error = Trouble;

            fn $method<T: Serialize + ?Sized>(&mut self, $($key: $key_type,)? value: &T) -> Result<(), Trouble> {
                self.listen(value)
            }

            fn end(self) -> Result<(), Trouble> {
                Ok(())
            }
        })+
    };
}

compound! {
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(_name: &'static str),
    SerializeStructVariant::serialize_field(_name: &'static str),
}

impl ser::SerializeMap for Witness<'_> {
    type Ok = ();
    type Error = Trouble;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Trouble> {
        self.listen(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Trouble> {
        self.listen(value)
    }

    fn end(self) -> Result<(), Trouble> {
        Ok(())
    }
}
