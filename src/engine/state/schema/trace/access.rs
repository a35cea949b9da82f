//! Elements, fields and variants of a traced value.

use serde::de::{
    DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::super::{Content, Type};
use super::deserializer::Trace;
use super::registry::{Place, Registry};
use super::trouble::Trouble;

/// A value, and what its struct or variant holds, if that is known.
pub(super) type ContentOf<T> = (T, Option<Content>);

/// So many values in a row, whose types are noted.
pub(super) struct Parts<'a> {
    registry: &'a mut Registry,
    fill: bool,
    left: usize,
    pub(super) types: Vec<Type>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(registry: &'a mut Registry, fill: bool, left: usize) -> Self {
        Self { registry, fill, left, types: Vec::new() }
    }

    /// The types of all `len` values.
    pub(super) fn all(self, len: usize) -> Result<Vec<Type>, Trouble> {
        if self.types.len() == len { Ok(self.types) } else { Err(Trouble::nothing_read()) }
    }

    fn next<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Trouble> {
        self.left -= 1;
        let value = seed.deserialize(Trace { registry: &mut *self.registry, fill: self.fill })?;
        self.types.push(self.registry.noted(self.fill)?);
        Ok(value)
    }
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = Trouble;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Trouble> {
        if self.left == 0 { Ok(None) } else { self.next(seed).map(Some) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Parts<'_> {
    type Error = Trouble;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Trouble> {
        if self.left == 0 { Ok(None) } else { self.next(seed).map(Some) }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Trouble> {
        if self.left == 0 { Err(Trouble::nothing_read()) } else { self.next(seed) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left / 2)
    }
}

impl Trace<'_> {
    /// Reads a tuple's elements.
    pub(super) fn tuple<'de, V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<ContentOf<V::Value>, Trouble> {
        let mut parts = Parts::new(self.registry, self.fill, len);
        let value = visitor.visit_seq(&mut parts)?;
        Ok((value, Some(Content::Tuple(parts.all(len)?))))
    }
}

/// An enum's value of the variant that was chosen.
pub(super) struct Answer<'a> {
    pub(super) registry: &'a mut Registry,
    pub(super) fill: bool,
    pub(super) at: usize,
    pub(super) variant: usize,
    /// Takes what the variant holds.
    pub(super) content: &'a mut Option<Content>,
}

impl<'a> Answer<'a> {
    fn open(self) -> (Trace<'a>, Place, &'a mut Option<Content>) {
        (Trace { registry: self.registry, fill: self.fill }, (self.at, Some(self.variant)), self.content)
    }
}

impl<'de> EnumAccess<'de> for Answer<'_> {
    type Error = Trouble;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Trouble> {
        let index = u32::try_from(self.variant).map_err(Trouble::custom)?;
        match seed.deserialize(IntoDeserializer::<Trouble>::into_deserializer(index)) {
            Ok(name) => Ok((name, self)),
            // Aliases make the names more than the variants.
            Err(Trouble::Refused(_)) if index > 0 => Err(self.registry.has_only(self.at, self.variant)),
            Err(trouble) => Err(trouble),
        }
    }
}

impl<'de> VariantAccess<'de> for Answer<'_> {
    type Error = Trouble;

    fn unit_variant(self) -> Result<(), Trouble> {
        *self.content = Some(Content::Unit);
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Trouble> {
        let value = seed.deserialize(Trace { registry: &mut *self.registry, fill: self.fill })?;
        *self.content = Some(Content::Newtype(self.registry.noted(self.fill)?));
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Trouble> {
        let (trace, _, noted) = self.open();
        let (value, content) = trace.tuple(len, visitor)?;
        *noted = content;
        Ok(value)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Trouble> {
        let (trace, place, noted) = self.open();
        let (value, content) = trace.fields(place, fields, visitor)?;
        *noted = content;
        Ok(value)
    }
}
