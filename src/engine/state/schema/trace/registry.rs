//! What is known so far of a type and of those it names.

use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet};

use super::super::{Content, Definition, Type, Types, Variant};
use super::trouble::Trouble;

/// How deep filled values may nest before their type counts as one that holds itself.
const FILL_DEPTH_MAX: usize = 64;

/// What is known so far.
#[derive(Default)]
pub(super) struct Registry {
    types: Vec<Named>,
    by_identity: BTreeMap<Identity, usize>,
    /// How many samples a visitor, by its type's name, has refused.
    refused: BTreeMap<&'static str, usize>,
    /// Variants that filling avoids, since they led back to themselves.
    avoided: BTreeSet<(usize, usize)>,
    /// The types that are being filled, outermost first, with the variants chosen.
    filling: Vec<(usize, Option<usize>)>,
    /// The type of the value that was read last.
    last: Option<Type>,
    learned: bool,
}

/// What tells types apart: serde's name alone is the same for `Pair<u8>` and `Pair<u16>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    name: &'static str,
    visitor: &'static str,
    members: &'static [&'static str],
}

impl Identity {
    /// Of the type that a visitor of type `V` builds.
    pub(super) fn of<V>(name: &'static str, members: &'static [&'static str]) -> Self {
        Self { name, visitor: type_name::<V>(), members }
    }
}

struct Named {
    name: &'static str,
    known: Known,
    /// It is being explored further out.
    open: bool,
    /// It was explored in this pass.
    explored: bool,
}

enum Known {
    Struct(Option<Content>),
    Enum(Vec<Option<Variant>>),
}

/// How a struct or enum is read where it occurs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Explore,
    Fill,
}

impl Registry {
    pub(super) fn begin_pass(&mut self) {
        self.filling.clear();
        self.last = None;
        self.learned = false;
        for named in &mut self.types {
            named.open = false;
            named.explored = false;
        }
    }

    /// Whether this pass found out anything.
    pub(super) fn has_learned(&self) -> bool {
        self.learned
    }

    pub(super) fn set_last(&mut self, ty: Type) {
        self.last = Some(ty);
    }

    pub(super) fn take_last(&mut self) -> Option<Type> {
        self.last.take()
    }

    /// The type of the value that was just read. Filled values have none that matters.
    pub(super) fn noted(&mut self, fill: bool) -> Result<Type, Trouble> {
        match self.last.take() {
            Some(ty) => Ok(ty),
            None if fill => Ok(Type::Unit),
            None => Err(Trouble::nothing_read()),
        }
    }

    /// How many samples visitors of type `V` have refused.
    pub(super) fn refused<V>(&self) -> usize {
        self.refused.get(type_name::<V>()).copied().unwrap_or(0)
    }

    /// Turns a refusal into another pass, if there is another sample for `V`.
    pub(super) fn retry<V, T>(&mut self, result: Result<T, Trouble>, samples: usize) -> Result<T, Trouble> {
        let refused = self.refused::<V>();
        match result {
            Err(Trouble::Refused(_)) if refused + 1 < samples => {
                self.refused.insert(type_name::<V>(), refused + 1);
                Err(self.again())
            }
            other => other,
        }
    }

    fn again(&mut self) -> Trouble {
        self.learned = true;
        Trouble::Again
    }

    fn intern(&mut self, identity: Identity, known: impl FnOnce() -> Known) -> usize {
        if let Some(at) = self.by_identity.get(&identity) {
            return *at;
        }
        let at = self.types.len();
        self.types.push(Named { name: identity.name, known: known(), open: false, explored: false });
        self.by_identity.insert(identity, at);
        at
    }

    fn mode(&mut self, at: usize, fill: bool) -> Mode {
        let named = &mut self.types[at];
        if fill || named.open || named.explored {
            return Mode::Fill;
        }
        named.open = true;
        named.explored = true;
        Mode::Explore
    }

    /// A struct occurs.
    pub(super) fn enter_struct(&mut self, identity: Identity, fill: bool) -> Result<(usize, Mode), Trouble> {
        let at = self.intern(identity, || Known::Struct(None));
        let mode = self.mode(at, fill);
        if mode == Mode::Fill {
            if self.filling.len() == FILL_DEPTH_MAX {
                return Err(Trouble::DeadEnd);
            }
            self.filling.push((at, None));
        }
        Ok((at, mode))
    }

    /// An enum occurs: which of its variants shall be read?
    pub(super) fn enter_enum(&mut self, identity: Identity, fill: bool) -> Result<(usize, Mode, usize), Trouble> {
        let count = identity.members.len();
        let at = self.intern(identity, || Known::Enum((0..count).map(|_| None).collect()));
        let mode = self.mode(at, fill);
        let wanted = if mode == Mode::Explore { self.unseen(at) } else { None };
        let variant = match wanted {
            Some(variant) => variant,
            None => self.shortest(at)?,
        };
        if mode == Mode::Fill {
            self.filling.push((at, Some(variant)));
        }
        Ok((at, mode, variant))
    }

    /// The struct or enum was read; `content` is what it, or the variant, holds.
    pub(super) fn leave(&mut self, at: usize, mode: Mode, seen: Option<(Option<usize>, Content, &'static str)>) {
        self.last = Some(Type::Named(at.to_string()));
        if mode == Mode::Fill {
            self.filling.pop();
            return;
        }
        self.types[at].open = false;
        let Some((variant, content, name)) = seen else { return };
        match (&mut self.types[at].known, variant) {
            (Known::Struct(known @ None), _) => *known = Some(content),
            (Known::Enum(variants), Some(variant)) if variants[variant].is_none() => {
                variants[variant] = Some(Variant { name: name.to_owned(), content });
            }
            (Known::Struct(Some(_)) | Known::Enum(_), _) => return,
        }
        self.learned = true;
    }

    /// A variant of `at` that was not read yet, or that leads to a type which is not known.
    fn unseen(&self, at: usize) -> Option<usize> {
        let Known::Enum(variants) = &self.types[at].known else { return None };
        let leads_on = |variant: &Option<Variant>| match variant {
            None => true,
            Some(variant) => self.reaches_unknown(&variant.content),
        };
        variants.iter().position(Option::is_none).or_else(|| variants.iter().position(leads_on))
    }

    fn reaches_unknown(&self, content: &Content) -> bool {
        let mut queue = named_in(content);
        // What was explored in this pass would only be filled: nothing is found out through it.
        let mut seen: BTreeSet<usize> = (0..self.types.len()).filter(|at| self.types[*at].explored).collect();
        while let Some(at) = queue.pop() {
            if !seen.insert(at) {
                continue;
            }
            match &self.types[at].known {
                Known::Struct(None) => return true,
                Known::Struct(Some(content)) => queue.extend(named_in(content)),
                Known::Enum(variants) => {
                    for variant in variants {
                        let Some(variant) = variant else { return true };
                        queue.extend(named_in(&variant.content));
                    }
                }
            }
        }
        false
    }

    /// A variant for filling: the first that is not being filled further out and is not avoided.
    fn shortest(&self, at: usize) -> Result<usize, Trouble> {
        let Known::Enum(variants) = &self.types[at].known else { return Err(Trouble::DeadEnd) };
        let free =
            |variant: &usize| !self.avoided.contains(&(at, *variant)) && !self.filling.contains(&(at, Some(*variant)));
        (0..variants.len()).find(free).ok_or(Trouble::DeadEnd)
    }

    /// Avoids the latest choice of a variant that had an alternative.
    pub(super) fn leave_dead_end(&mut self) -> Result<(), String> {
        let choice = self.filling.iter().rev().find_map(|(at, variant)| {
            let Known::Enum(variants) = &self.types[*at].known else { return None };
            let avoided = self.avoided.iter().filter(|(of, _)| of == at).count();
            (avoided + 1 < variants.len()).then_some((*at, (*variant)?))
        });
        let choice = choice.ok_or("it holds itself without an end")?;
        self.learned |= self.avoided.insert(choice);
        Ok(())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.types.iter().all(|named| match &named.known {
            Known::Struct(content) => content.is_some(),
            Known::Enum(variants) => variants.iter().all(Option::is_some),
        })
    }

    /// The types under names that are unique.
    pub(super) fn finish(self, root: Type) -> (Type, Types) {
        let mut count = BTreeMap::<&str, usize>::new();
        let mut names = Vec::new();
        for named in &self.types {
            let count = count.entry(named.name).or_default();
            *count += 1;
            names.push(if *count == 1 { named.name.to_owned() } else { format!("{}#{count}", named.name) });
        }
        let rename = |old: String| place(&old).and_then(|at| names.get(at)).cloned().unwrap_or(old);
        let definition = |known: Known| match known {
            Known::Struct(content) => Definition::Struct(content.unwrap_or(Content::Unit).renamed(&rename)),
            Known::Enum(variants) => {
                let variant = |variant: Variant| Variant { content: variant.content.renamed(&rename), ..variant };
                Definition::Enum(variants.into_iter().flatten().map(variant).collect())
            }
        };
        let types =
            self.types.into_iter().zip(&names).map(|(named, name)| (name.clone(), definition(named.known))).collect();
        (root.renamed(&rename), types)
    }
}

/// Until the end, a type's name is its place in the registry.
fn place(name: &str) -> Option<usize> {
    name.parse().ok()
}

fn named_in(content: &Content) -> Vec<usize> {
    fn collect(ty: &Type, named: &mut Vec<usize>) {
        match ty {
            Type::Named(name) => named.extend(place(name)),
            other => other.parts().into_iter().for_each(|ty| collect(ty, named)),
        }
    }
    let mut named = Vec::new();
    content.parts().into_iter().for_each(|ty| collect(ty, &mut named));
    named
}
