//! What a type reads besides what it writes: absent fields that have a default, and other names.

use std::collections::{BTreeMap, BTreeSet};

use super::trace::Probe;

/// By the names of structs and enums.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    fields: BTreeMap<(String, Option<String>), ReadFields>,
    variants: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// The fields of a struct, or of a variant.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadFields {
    /// Fields by their aliases.
    aliases: BTreeMap<String, String>,
    needed: BTreeSet<String>,
}

impl ReadFields {
    /// Under which of the field's names, the aliases, something else may have been written.
    pub(super) fn aliases_of<'a>(&'a self, field: &'a str) -> impl Iterator<Item = &'a str> {
        self.aliases.iter().filter(move |(_, own)| *own == field).map(|(alias, _)| alias.as_str())
    }

    /// Whether the field must have been written.
    pub(super) fn is_needed(&self, field: &str) -> bool {
        self.needed.contains(field)
    }
}

impl Reads {
    pub(super) fn add_fields(&mut self, name: &str, variant: Option<String>, probe: &Probe) {
        let aliases = probe.aliases.iter().map(|(alias, field)| ((*alias).to_owned(), (*field).to_owned())).collect();
        let needed = probe.needed.iter().map(|field| (*field).to_owned()).collect();
        self.fields.insert((name.to_owned(), variant), ReadFields { aliases, needed });
    }

    /// `read` are all names that are read, each variant's together and in the variants' order; `written` the variants' own. A name
    /// between two variants' own is an alias of one of them.
    pub(super) fn add_variants(&mut self, name: &str, read: &[&str], written: &[&str]) {
        let own = |at: usize| written.contains(&read[at]);
        for at in (0..read.len()).filter(|at| !own(*at)) {
            let before = (0..at).rev().find(|at| own(*at));
            let behind = (at + 1..read.len()).find(|at| own(*at));
            let variants = before.into_iter().chain(behind).map(|at| read[at].to_owned()).collect();
            self.variants.entry(name.to_owned()).or_default().insert(read[at].to_owned(), variants);
        }
    }

    /// What is known of the fields of a struct, or of a variant.
    pub(super) fn fields(&self, name: &str, variant: Option<&str>) -> Option<&ReadFields> {
        self.fields.get(&(name.to_owned(), variant.map(str::to_owned)))
    }

    /// The variants of which `alias` may be another name.
    pub(super) fn variants(&self, name: &str, alias: &str) -> &[String] {
        self.variants.get(name).and_then(|aliases| aliases.get(alias)).map_or(&[], Vec::as_slice)
    }
}
