//! Values in words, for people who have the state and not its program.

use serde_json::{Map, Number, Value};

use super::error::{Cause, Error};
use super::wire::{Step, Wire};
use super::{Content, Definition, Field, Schema, Type, Variant};

/// Reads one value of `bytes` as JSON, and returns what follows it.
///
/// Structs are objects, enums as serde_json writes them, byte strings hexadecimal; maps are objects if their keys are text or
/// numbers, else arrays of pairs; numbers that JSON has not (128 bits, not-a-number) are text.
///
/// # Errors
/// [`Error`] when the schema is opaque, or the bytes are not a value of it.
pub fn to_json<'de>(schema: &Schema, bytes: &'de [u8]) -> Result<(Value, &'de [u8]), Error> {
    let (root, types) = schema.described()?;
    let mut wire = Wire::new(types, bytes);
    match value(&mut wire, root) {
        Ok(json) => Ok((json, wire.bytes)),
        Err(cause) => Err(cause.at(&wire.path)),
    }
}

fn value<'s>(wire: &mut Wire<'s, '_>, ty: &'s Type) -> Result<Value, Cause> {
    wire.nested(|wire| nested_value(wire, ty))
}

fn nested_value<'s>(wire: &mut Wire<'s, '_>, ty: &'s Type) -> Result<Value, Cause> {
    Ok(match ty {
        Type::Unit => Value::Null,
        Type::Bool => wire.bool()?.into(),
        Type::I8 => wire.signed(8)?.into(),
        Type::I16 => wire.signed(16)?.into(),
        Type::I32 => wire.signed(32)?.into(),
        Type::I64 => wire.signed(64)?.into(),
        Type::I128 => {
            let number = wire.i128()?;
            i64::try_from(number).map_or_else(|_| number.to_string().into(), Value::from)
        }
        Type::U8 => wire.unsigned(8)?.into(),
        Type::U16 => wire.unsigned(16)?.into(),
        Type::U32 => wire.unsigned(32)?.into(),
        Type::U64 => wire.unsigned(64)?.into(),
        Type::U128 => {
            let number = wire.u128()?;
            u64::try_from(number).map_or_else(|_| number.to_string().into(), Value::from)
        }
        Type::F32 => {
            let number = wire.f32()?;
            // By its shortest text: 0.1 and not 0.10000000149011612.
            float(number.to_string().parse().unwrap_or_else(|_| f64::from(number)))
        }
        Type::F64 => float(wire.f64()?),
        Type::Char => wire.char()?.to_string().into(),
        Type::String => wire.str()?.into(),
        Type::Bytes => hexadecimal(wire.blob()?).into(),
        Type::Option(inner) => match wire.is_some()? {
            true => value(wire, inner)?,
            false => Value::Null,
        },
        Type::Seq(element) => {
            let mut elements = Vec::new();
            for index in 0..wire.len()? {
                elements.push(wire.within(Step::Index(index), |wire| wire.element(|wire| value(wire, element)))?);
            }
            Value::Array(elements)
        }
        Type::Map(key, held) => map(wire, key, held)?,
        Type::Tuple(types) => tuple(wire, types)?,
        Type::Named(name) => match wire.definition(name)? {
            Definition::Struct(held) => content(wire, held)?,
            Definition::Enum(variants) => {
                let variant = wire.variant(name, variants)?;
                variant_value(wire, variant)?
            }
        },
    })
}

fn variant_value<'s>(wire: &mut Wire<'s, '_>, variant: &'s Variant) -> Result<Value, Cause> {
    let held = wire.within(Step::Variant(&variant.name), |wire| content(wire, &variant.content))?;
    Ok(match variant.content {
        Content::Unit => variant.name.as_str().into(),
        Content::Newtype(_) | Content::Tuple(_) | Content::Struct(_) => {
            Map::from_iter([(variant.name.clone(), held)]).into()
        }
    })
}

fn content<'s>(wire: &mut Wire<'s, '_>, held: &'s Content) -> Result<Value, Cause> {
    match held {
        Content::Unit => Ok(Value::Null),
        Content::Newtype(ty) => value(wire, ty),
        Content::Tuple(types) => tuple(wire, types),
        Content::Struct(fields) => {
            let field = |field: &'s Field| {
                let json = wire.within(Step::Field(&field.name), |wire| value(wire, &field.ty))?;
                Ok((field.name.clone(), json))
            };
            fields.iter().map(field).collect::<Result<Map<_, _>, Cause>>().map(Value::Object)
        }
    }
}

fn tuple<'s>(wire: &mut Wire<'s, '_>, types: &'s [Type]) -> Result<Value, Cause> {
    let element = |(index, ty)| wire.within(Step::Index(index), |wire| value(wire, ty));
    types.iter().enumerate().map(element).collect()
}

fn map<'s>(wire: &mut Wire<'s, '_>, key: &'s Type, held: &'s Type) -> Result<Value, Cause> {
    let mut entries = Vec::new();
    for _ in 0..wire.len()? {
        entries.push(wire.element(|wire| {
            let key = wire.within(Step::Key, |wire| value(wire, key))?;
            let held = wire.within(Step::MapValue, |wire| value(wire, held))?;
            Ok((key, held))
        })?);
    }
    let is_name = |json: &Value| json.is_string() || json.is_number() || json.is_boolean();
    if entries.iter().all(|(key, _)| is_name(key)) {
        let name = |key: Value| match key {
            Value::String(text) => text,
            other => other.to_string(),
        };
        return Ok(entries.into_iter().map(|(key, held)| (name(key), held)).collect());
    }
    Ok(entries.into_iter().map(|(key, held)| Value::from(vec![key, held])).collect())
}

fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
