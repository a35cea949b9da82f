//! What is known so far of a type and of those it names.

use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet};

use super::super::reads::Reads;
use super::super::{Content, Definition, Type, Types, Variant};
use super::Traced;
use super::fields::Probe;
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
    /// What is known of the names of fields: of structs, and of variants.
    probes: BTreeMap<Place, Probe>,
    /// The names of variants as they are written, by the enum's name and their index.
    written: BTreeMap<(&'static str, u32), BTreeSet<&'static str>>,
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

/// A struct, or a variant of an enum.
pub(super) type Place = (usize, Option<usize>);

struct Named {
    name: &'static str,
    members: &'static [&'static str],
    known: Known,
    /// It is being explored further out.
    open: bool,
    /// It was explored in this pass.
    explored: bool,
}

enum Known {
    Struct(Option<Content>),
    Enum(Vec<Option<Content>>),
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

    pub(super) fn note_progress(&mut self) {
        self.learned = true;
    }

    /// Something was found out: the next pass will go on from there.
    pub(super) fn again(&mut self) -> Trouble {
        self.learned = true;
        Trouble::Again
    }

    fn intern(&mut self, identity: Identity, known: impl FnOnce() -> Known) -> usize {
        if let Some(at) = self.by_identity.get(&identity) {
            return *at;
        }
        let at = self.types.len();
        let Identity { name, members, .. } = identity;
        self.types.push(Named { name, members, known: known(), open: false, explored: false });
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

    /// The struct, or the enum's variant, was read; `content` is what it holds, if that is known.
    pub(super) fn leave(&mut self, (at, variant): Place, mode: Mode, content: Option<Content>) {
        self.last = Some(Type::Named(at.to_string()));
        if mode == Mode::Fill {
            self.filling.pop();
            return;
        }
        self.types[at].open = false;
        let Some(content) = content else { return };
        match (&mut self.types[at].known, variant) {
            (Known::Struct(known @ None), _) => *known = Some(content),
            (Known::Enum(variants), Some(variant)) if variants[variant].is_none() => {
                variants[variant] = Some(content);
            }
            (Known::Struct(Some(_)) | Known::Enum(_), _) => return,
        }
        self.learned = true;
    }

    /// An enum has fewer variants than names, since some are aliases.
    pub(super) fn has_only(&mut self, at: usize, count: usize) -> Trouble {
        if let Known::Enum(variants) = &mut self.types[at].known {
            variants.truncate(count);
        }
        self.again()
    }

    /// A variant was written under this name.
    pub(super) fn note_written(&mut self, name: &'static str, index: u32, variant: &'static str) {
        self.written.entry((name, index)).or_default().insert(variant);
    }

    pub(super) fn probe(&mut self, place: Place) -> &mut Probe {
        self.probes.entry(place).or_default()
    }

    /// A variant of `at` that was not read yet, or that leads to a type which is not known.
    fn unseen(&self, at: usize) -> Option<usize> {
        let Known::Enum(variants) = &self.types[at].known else { return None };
        let leads_on = |variant: &Option<Content>| match variant {
            None => true,
            Some(content) => self.reaches_unknown(content),
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
                        let Some(content) = variant else { return true };
                        queue.extend(named_in(content));
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

    /// The types under names that are unique, and what they read besides.
    pub(super) fn finish(self, root: Type) -> Result<Traced, String> {
        let names = self.unique_names();
        let rename = |old: String| place(&old).and_then(|at| names.get(at)).cloned().unwrap_or(old);
        let (mut types, mut reads) = (Types::new(), Reads::default());
        for ((at, named), name) in self.types.iter().enumerate().zip(&names) {
            let definition = match &named.known {
                Known::Struct(content) => {
                    let content = content.clone().unwrap_or(Content::Unit);
                    Definition::Struct(content.renamed(&rename))
                }
                Known::Enum(contents) => {
                    let written = self.variant_names(named, contents.len())?;
                    reads.add_variants(name, named.members, &written);
                    let variant = |(name, content): (&&str, &Option<Content>)| Variant {
                        name: (*name).to_owned(),
                        content: content.clone().unwrap_or(Content::Unit).renamed(&rename),
                    };
                    Definition::Enum(written.iter().zip(contents).map(variant).collect())
                }
            };
            for (probed, probe) in self.probes.range((at, None)..=(at, Some(usize::MAX))) {
                let variant = match (&definition, probed.1) {
                    (Definition::Enum(variants), Some(variant)) => Some(variants[variant].name.clone()),
                    (Definition::Enum(_) | Definition::Struct(_), _) => None,
                };
                reads.add_fields(name, variant, probe);
            }
            types.insert(name.clone(), definition);
        }
        Ok(Traced { root: root.renamed(&rename), types, reads })
    }

    fn unique_names(&self) -> Vec<String> {
        let mut count = BTreeMap::<&str, usize>::new();
        let name = |named: &Named| {
            let count = count.entry(named.name).or_default();
            *count += 1;
            if *count == 1 { named.name.to_owned() } else { format!("{}#{count}", named.name) }
        };
        self.types.iter().map(name).collect()
    }

    /// The names of an enum's variants by index: all that it reads, or where it reads more, those that were written.
    fn variant_names(&self, named: &Named, count: usize) -> Result<Vec<&'static str>, String> {
        if count == named.members.len() {
            return Ok(named.members.to_vec());
        }
        let written = |index: usize| {
            let names = self.written.get(&(named.name, u32::try_from(index).ok()?))?;
            let mut names = names.iter().filter(|name| named.members.contains(name));
            names.next().filter(|_| names.next().is_none()).copied()
        };
        let names: Option<Vec<_>> = (0..count).map(written).collect();
        names.ok_or_else(|| format!("the variants of {} and their aliases cannot be told apart", named.name))
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
