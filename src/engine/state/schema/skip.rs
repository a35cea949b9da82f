//! Passing over a value.

use super::error::Cause;
use super::wire::{Step, Wire};
use super::{Content, Definition, Type};

/// Reads a value and forgets it.
pub(super) fn skip<'s>(wire: &mut Wire<'s, '_>, ty: &'s Type) -> Result<(), Cause> {
    wire.nested(|wire| skip_nested(wire, ty))
}

fn skip_nested<'s>(wire: &mut Wire<'s, '_>, ty: &'s Type) -> Result<(), Cause> {
    match ty {
        Type::Unit => Ok(()),
        Type::Bool => wire.bool().map(drop),
        Type::I8 | Type::U8 => wire.byte().map(drop),
        Type::I16 | Type::U16 => wire.unsigned(16).map(drop),
        Type::I32 | Type::U32 => wire.unsigned(32).map(drop),
        Type::I64 | Type::U64 => wire.unsigned(64).map(drop),
        Type::I128 | Type::U128 => wire.u128().map(drop),
        Type::F32 => wire.take(4).map(drop),
        Type::F64 => wire.take(8).map(drop),
        Type::Char => wire.char().map(drop),
        Type::String => wire.str().map(drop),
        Type::Bytes => wire.blob().map(drop),
        Type::Option(inner) => match wire.is_some()? {
            true => skip(wire, inner),
            false => Ok(()),
        },
        Type::Seq(element) => {
            for index in 0..wire.len()? {
                wire.within(Step::Index(index), |wire| wire.element(|wire| skip(wire, element)))?;
            }
            Ok(())
        }
        Type::Map(key, value) => {
            for _ in 0..wire.len()? {
                wire.element(|wire| {
                    wire.within(Step::Key, |wire| skip(wire, key))?;
                    wire.within(Step::MapValue, |wire| skip(wire, value))
                })?;
            }
            Ok(())
        }
        Type::Tuple(types) => skip_tuple(wire, types),
        Type::Named(name) => match wire.definition(name)? {
            Definition::Struct(content) => skip_content(wire, content),
            Definition::Enum(variants) => {
                let variant = wire.variant(name, variants)?;
                wire.within(Step::Variant(&variant.name), |wire| skip_content(wire, &variant.content))
            }
        },
    }
}

fn skip_content<'s>(wire: &mut Wire<'s, '_>, content: &'s Content) -> Result<(), Cause> {
    match content {
        Content::Unit => Ok(()),
        Content::Newtype(ty) => skip(wire, ty),
        Content::Tuple(types) => skip_tuple(wire, types),
        Content::Struct(fields) => {
            fields.iter().try_for_each(|field| wire.within(Step::Field(&field.name), |wire| skip(wire, &field.ty)))
        }
    }
}

fn skip_tuple<'s>(wire: &mut Wire<'s, '_>, types: &'s [Type]) -> Result<(), Cause> {
    types.iter().enumerate().try_for_each(|(index, ty)| wire.within(Step::Index(index), |wire| skip(wire, ty)))
}
