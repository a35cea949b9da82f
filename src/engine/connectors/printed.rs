//! How records look when printed: any type that serde can write, without quotes, as Flink prints tuples.
//!
//! | type | printed |
//! |---|---|
//! | number, text, character, bool | as it is: `3`, `word`; floats always with a point or exponent |
//! | tuple, array | `(word,3)` |
//! | sequence, set, bytes | `[1,2]` |
//! | map | `{a=1,b=2}` |
//! | struct | `Bid{auction=1,price=2}`; a tuple struct `Point(1,2)`; a newtype as what it wraps |
//! | enum | the variant's name, with what it holds as above: `Red`, `Circle(3)`, `Square{side=2}` |
//! | `None`, `Some(x)` | `null`, `x` |
//! | `()` | `()` |

use std::fmt::{self, Display, Write as _};

use serde::Serialize;
use serde::ser::{
    self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};

/// Appends a record's printed form to `line`.
///
/// # Errors
/// When the record's `Serialize` refuses; `line` then ends anywhere.
pub(super) fn append_printed<T: Serialize>(record: &T, line: &mut String) -> Result<(), NotPrintable> {
    record.serialize(Printer { line })
}

/// Why a record could not be printed, in its own words.
#[derive(Debug)]
pub(super) struct NotPrintable(String);

impl Display for NotPrintable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotPrintable {}

impl ser::Error for NotPrintable {
    fn custom<T: Display>(cause: T) -> Self {
        Self(cause.to_string())
    }
}

impl From<fmt::Error> for NotPrintable {
    fn from(error: fmt::Error) -> Self {
        Self(error.to_string())
    }
}

struct Printer<'a> {
    line: &'a mut String,
}

/// Something with parts: knows whether a comma is due, and what closes it.
struct Parts<'a> {
    line: &'a mut String,
    first: bool,
    close: char,
}

impl<'a> Printer<'a> {
    fn open(self, name: &str, open: char, close: char) -> Parts<'a> {
        self.line.push_str(name);
        self.line.push(open);
        Parts { line: self.line, first: true, close }
    }
}

impl Parts<'_> {
    fn separate(&mut self) {
        if !std::mem::replace(&mut self.first, false) {
            self.line.push(',');
        }
    }

    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotPrintable> {
        self.separate();
        value.serialize(Printer { line: self.line })
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), NotPrintable> {
        self.separate();
        self.line.push_str(name);
        self.line.push('=');
        value.serialize(Printer { line: self.line })
    }

    fn close(self) {
        self.line.push(self.close);
    }
}

macro_rules! displayed {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<(), NotPrintable> {
            Ok(write!(self.line, "{value}")?)
        })*
    };
}

impl<'a> Serializer for Printer<'a> {
    type Ok = ();
    type Error = NotPrintable;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    displayed!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_char: char
    );

    fn serialize_f32(self, value: f32) -> Result<(), NotPrintable> {
        Ok(write!(self.line, "{value:?}")?)
    }

    fn serialize_f64(self, value: f64) -> Result<(), NotPrintable> {
        Ok(write!(self.line, "{value:?}")?)
    }

    fn serialize_str(self, value: &str) -> Result<(), NotPrintable> {
        self.line.push_str(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), NotPrintable> {
        let mut parts = self.open("", '[', ']');
        value.iter().try_for_each(|byte| parts.part(byte))?;
        parts.close();
        Ok(())
    }

    fn serialize_none(self) -> Result<(), NotPrintable> {
        self.serialize_str("null")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), NotPrintable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), NotPrintable> {
        self.serialize_str("()")
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), NotPrintable> {
        self.serialize_str(name)
    }

    fn serialize_unit_variant(self, _name: &'static str, _i: u32, variant: &'static str) -> Result<(), NotPrintable> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), NotPrintable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), NotPrintable> {
        let mut parts = self.open(variant, '(', ')');
        parts.part(value)?;
        parts.close();
        Ok(())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Parts<'a>, NotPrintable> {
        Ok(self.open("", '[', ']'))
    }

    fn serialize_tuple(self, _len: usize) -> Result<Parts<'a>, NotPrintable> {
        Ok(self.open("", '(', ')'))
    }

    fn serialize_tuple_struct(self, name: &'static str, _len: usize) -> Result<Parts<'a>, NotPrintable> {
        Ok(self.open(name, '(', ')'))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Parts<'a>, NotPrintable> {
        Ok(self.open(variant, '(', ')'))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Parts<'a>, NotPrintable> {
        Ok(self.open("", '{', '}'))
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Parts<'a>, NotPrintable> {
        Ok(self.open(name, '{', '}'))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Parts<'a>, NotPrintable> {
        Ok(self.open(variant, '{', '}'))
    }
}

macro_rules! parts {
    ($($trait:ident::$method:ident),*) => {
        $(impl $trait for Parts<'_> {
            type Ok = ();
            type Error = NotPrintable;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotPrintable> {
                self.part(value)
            }

            fn end(self) -> Result<(), NotPrintable> {
                self.close();
                Ok(())
            }
        })*
    };
}

parts!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! fields {
    ($($trait:ident),*) => {
        $(impl $trait for Parts<'_> {
            type Ok = ();
            type Error = NotPrintable;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), NotPrintable> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), NotPrintable> {
                self.close();
                Ok(())
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = NotPrintable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NotPrintable> {
        self.part(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotPrintable> {
        self.line.push('=');
        value.serialize(Printer { line: self.line })
    }

    fn end(self) -> Result<(), NotPrintable> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::record::Str;

    fn check(record: impl Serialize, expected: &str) {
        let mut line = String::new();
        append_printed(&record, &mut line).unwrap();
        assert_eq!(line, expected);
    }

    #[derive(Serialize)]
    struct Bid {
        auction: u64,
        price: f64,
    }

    #[derive(Serialize)]
    struct Celsius(f32);

    #[derive(Serialize)]
    enum Shape {
        Point,
        Circle(u32),
        Line(u32, u32),
        Square { side: u32 },
    }

    #[test]
    fn tuples_look_as_in_flink() {
        check((Str::from("word"), 3u64), "(word,3)");
        check(("a, b", (-1, true, 'c')), "(a, b,(-1,true,c))");
        check([1, 2], "(1,2)");
    }

    #[test]
    fn every_kind_of_type_has_a_form() {
        check(vec![1, 2], "[1,2]");
        check(Vec::<u8>::new(), "[]");
        check(BTreeMap::from([("a", 1), ("b", 2)]), "{a=1,b=2}");
        check(Bid { auction: 7, price: 1.0 }, "Bid{auction=7,price=1.0}");
        check(Celsius(36.6), "36.6");
        check((Some(1), None::<u8>, ()), "(1,null,())");
        check([Shape::Point, Shape::Circle(3)], "(Point,Circle(3))");
        check([Shape::Line(1, 2), Shape::Square { side: 2 }], "(Line(1,2),Square{side=2})");
    }
}
