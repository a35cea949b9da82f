//! The fields of a struct, or of a variant: their types, their names among the aliases, and which of them may be absent.
//!
//! ```text
//! Types ─► (more names than fields: Aliases: given all names, which are the same field?) ─► Needs: given none, what is missing? ─► Known
//! ```
//! One question a pass: a visitor can be asked once.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, MapAccess, Visitor};

use super::super::{Content, Field};
use super::access::{ContentOf, Parts};
use super::deserializer::Trace;
use super::registry::{Place, Registry};
use super::trouble::Trouble;

/// What is known of the fields at one place.
#[derive(Debug, Default)]
pub(in super::super) struct Probe {
    stage: Stage,
    /// Names that are the same field as the one they stand for.
    pub(in super::super) aliases: BTreeMap<&'static str, &'static str>,
    /// Fields that must be there.
    pub(in super::super) needed: BTreeSet<&'static str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Types,
    Aliases,
    Needs,
    Known,
}

impl Trace<'_> {
    /// Reads a struct's fields, or asks one more question about them.
    pub(super) fn fields<'de, V: Visitor<'de>>(
        self,
        place: Place,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<ContentOf<V::Value>, Trouble> {
        let Self { registry, fill } = self;
        let stage = registry.probe(place).stage;
        if !fill && stage == Stage::Aliases {
            return registry.ask_for_aliases(place, names, visitor);
        }
        if !fill && stage == Stage::Needs {
            return registry.ask_for_needs(place, visitor);
        }
        let mut parts = Parts::new(&mut *registry, fill, names.len());
        let value = visitor.visit_seq(&mut parts)?;
        let types = std::mem::take(&mut parts.types);
        if fill {
            return Ok((value, None));
        }
        let probe = registry.probe(place);
        if stage == Stage::Types {
            probe.stage = if types.len() == names.len() { Stage::Needs } else { Stage::Aliases };
            registry.note_progress();
            return Ok((value, None));
        }
        let names: Vec<_> = names.iter().filter(|name| !probe.aliases.contains_key(*name)).collect();
        if names.len() != types.len() {
            return Err(Trouble::Refused("its fields and their aliases cannot be told apart".to_owned()));
        }
        let field = |(name, ty): (&&'static str, _)| Field { name: (*name).to_owned(), ty };
        Ok((value, Some(Content::Struct(names.into_iter().zip(types).map(field).collect()))))
    }
}

impl Registry {
    /// Gives all names that are not known for aliases. The first one given for a field that was given before is one.
    fn ask_for_aliases<'de, V: Visitor<'de>>(
        &mut self,
        place: Place,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<ContentOf<V::Value>, Trouble> {
        let aliases = &self.probe(place).aliases;
        // Of the names of one field those that are not its own stand behind: only they can be dropped.
        let given: Vec<_> = names.iter().copied().filter(|name| !aliases.contains_key(name)).collect();
        let mut last = 0;
        let result = visitor.visit_map(Given { registry: self, names: &given, next: 0, last: &mut last });
        match result {
            Err(Trouble::Duplicate(field)) => {
                // Either this name, or the one before it, is the field's own.
                let alias = if given[last] == field { given[last - 1] } else { given[last] };
                self.probe(place).aliases.insert(alias, field);
            }
            Err(trouble @ (Trouble::Again | Trouble::DeadEnd)) => return Err(trouble),
            Ok(_) | Err(Trouble::Missing(_) | Trouble::Refused(_)) => self.probe(place).stage = Stage::Needs,
        }
        Err(self.again())
    }

    /// Gives the fields that are known to be needed. What is missing then is needed too.
    fn ask_for_needs<'de, V: Visitor<'de>>(
        &mut self,
        place: Place,
        visitor: V,
    ) -> Result<ContentOf<V::Value>, Trouble> {
        let given: Vec<_> = self.probe(place).needed.iter().copied().collect();
        let result = visitor.visit_map(Given { registry: self, names: &given, next: 0, last: &mut 0 });
        match result {
            Err(Trouble::Missing(field)) if self.probe(place).needed.insert(field) => {}
            Err(trouble @ (Trouble::Again | Trouble::DeadEnd)) => return Err(trouble),
            Ok(_) | Err(Trouble::Missing(_) | Trouble::Duplicate(_) | Trouble::Refused(_)) => {
                self.probe(place).stage = Stage::Known;
            }
        }
        Err(self.again())
    }
}

/// Fields by name, with the smallest values.
struct Given<'a> {
    registry: &'a mut Registry,
    names: &'a [&'static str],
    next: usize,
    /// Which name was given last.
    last: &'a mut usize,
}

impl<'de> MapAccess<'de> for Given<'_> {
    type Error = Trouble;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Trouble> {
        let Some(name) = self.names.get(self.next) else { return Ok(None) };
        *self.last = self.next;
        self.next += 1;
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Trouble> {
        seed.deserialize(Trace { registry: &mut *self.registry, fill: true })
    }
}
