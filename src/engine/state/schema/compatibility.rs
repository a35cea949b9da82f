//! Whether a type can take over what another one wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use super::reads::{ReadFields, Reads};
use super::{Body, Content, Definition, Field, Schema, Type, Types, Variant};

/// What a reader's schema makes of a writer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// The bytes mean the same to both: plain postcard reads them.
    Same,
    /// [`decode_with`](super::decode_with) reads them; each change in words. Where a change says that some values fail, the
    /// read of such a value is an error, never another value.
    Migrates(Vec<String>),
    /// They cannot be read; each reason in words.
    Incompatible(Vec<String>),
}

impl Display for Compatibility {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("same"),
            Self::Migrates(changes) => write!(f, "migrates: {}", changes.join("; ")),
            Self::Incompatible(reasons) => write!(f, "incompatible: {}", reasons.join("; ")),
        }
    }
}

impl Schema {
    /// Whether the type of `reader` can read what the type of this schema wrote. That is known exactly where `reader` is
    /// [`Schema::of`] the type; of a schema that was recorded, defaults and aliases are not known.
    #[must_use]
    pub fn compatibility(&self, reader: &Schema) -> Compatibility {
        let (Body::Described { root, types }, Body::Described { root: read_root, types: read_types }) =
            (&self.body, &reader.body)
        else {
            return self.compatibility_by_name(reader);
        };
        let mut comparison = Comparison {
            written: types,
            read: read_types,
            reads: reader.reads.as_ref(),
            path: vec!["value".to_owned()],
            compared: BTreeSet::new(),
            changes: Vec::new(),
            reasons: Vec::new(),
        };
        comparison.types(root, read_root);
        match (comparison.changes.is_empty(), comparison.reasons.is_empty()) {
            (true, true) => Compatibility::Same,
            (false, true) => Compatibility::Migrates(comparison.changes),
            (true | false, false) => Compatibility::Incompatible(comparison.reasons),
        }
    }

    fn compatibility_by_name(&self, reader: &Schema) -> Compatibility {
        if self.type_name == reader.type_name {
            return Compatibility::Same;
        }
        let because = self.opaque_because().or(reader.opaque_because()).unwrap_or_default();
        Compatibility::Incompatible(vec![format!(
            "value was written as {} and is read as {}, which cannot be compared: {because}",
            self.type_name, reader.type_name
        )])
    }
}

/// A type behind its names, with unit and tuple structs as what they are on the wire.
enum Shape<'s> {
    Plain(&'s Type),
    Unit,
    Tuple(&'s [Type]),
    /// With the struct's name; a variant's fields stand under the enum's.
    Fields(&'s str, &'s [Field]),
    Enum(&'s str, &'s [Variant]),
    /// A name without a definition, or one that holds itself: a damaged schema.
    Unknown,
}

fn shape<'s>(types: &'s Types, mut ty: &'s Type) -> Shape<'s> {
    for _ in 0..=types.len() {
        let name = match ty {
            Type::Unit => return Shape::Unit,
            Type::Tuple(parts) => return Shape::Tuple(parts),
            Type::Named(name) => name,
            plain => return Shape::Plain(plain),
        };
        match types.get(name) {
            Some(Definition::Struct(Content::Newtype(inner))) => ty = inner,
            Some(Definition::Struct(Content::Unit)) => return Shape::Unit,
            Some(Definition::Struct(Content::Tuple(parts))) => return Shape::Tuple(parts),
            Some(Definition::Struct(Content::Struct(fields))) => return Shape::Fields(name, fields),
            Some(Definition::Enum(variants)) => return Shape::Enum(name, variants),
            None => return Shape::Unknown,
        }
    }
    Shape::Unknown
}

struct Comparison<'s> {
    written: &'s Types,
    read: &'s Types,
    reads: Option<&'s Reads>,
    path: Vec<String>,
    /// Pairs of named types that were compared or are being compared: recursion ends here, and nothing is told twice.
    compared: BTreeSet<(&'s str, &'s str)>,
    changes: Vec<String>,
    reasons: Vec<String>,
}

impl<'s> Comparison<'s> {
    fn types(&mut self, written: &'s Type, read: &'s Type) {
        if let (Type::Named(written), Type::Named(read)) = (written, read)
            && !self.compared.insert((written, read))
        {
            return;
        }
        match (shape(self.written, written), shape(self.read, read)) {
            (Shape::Unit, Shape::Unit) => {}
            (Shape::Tuple(written_parts), Shape::Tuple(read_parts)) => {
                self.tuples(written_parts, read_parts, written, read);
            }
            (Shape::Fields(_, written), Shape::Fields(name, read)) => self.fields(written, (name, None), read),
            (Shape::Unit, Shape::Fields(name, read)) => self.fields(&[], (name, None), read),
            (Shape::Enum(_, written), Shape::Enum(name, read)) => self.variants(written, name, read),
            (Shape::Plain(Type::Option(written)), Shape::Plain(Type::Option(read))) => self.types(written, read),
            (Shape::Unit, Shape::Plain(Type::Option(_))) => self.change(format!("{written} became {read}")),
            (_, Shape::Plain(Type::Option(held))) => {
                self.change(format!("{written} became optional"));
                self.types(written, held);
            }
            (Shape::Plain(Type::Option(_)), _) => {
                self.refuse(format!(
                    "was optional and is {read}: keep the Option, and give it a default where it is used"
                ));
            }
            (Shape::Plain(Type::Seq(written)), Shape::Plain(Type::Seq(read))) => {
                self.within("[]".to_owned(), |this| this.types(written, read));
            }
            (Shape::Tuple(parts), Shape::Plain(Type::Seq(element))) => {
                self.change(format!("{written} became {read}"));
                parts.iter().for_each(|part| self.types(part, element));
            }
            (Shape::Plain(Type::Map(key, value)), Shape::Plain(Type::Map(read_key, read_value))) => {
                self.within("[key]".to_owned(), |this| this.types(key, read_key));
                self.within("[value]".to_owned(), |this| this.types(value, read_value));
            }
            (Shape::Plain(written), Shape::Plain(read)) => self.plain(written, read),
            _ => self.refuse(format!("was {written} and is {read}")),
        }
    }

    fn plain(&mut self, written: &Type, read: &Type) {
        let bytes = |ty: &Type| *ty == Type::Bytes || matches!(ty, Type::Seq(element) if **element == Type::U8);
        if written == read || (bytes(written) && bytes(read)) {
            return;
        }
        if written.widens_to(read) {
            self.change(format!("{written} became {read}"));
        } else if let (Some((bits, _)), Some((read_bits, _))) = (written.integer(), read.integer())
            && bits <= 64
            && read_bits <= 64
        {
            self.change(format!("{written} became {read} (a value that does not fit fails)"));
        } else {
            self.refuse(format!("was {written} and is {read}"));
        }
    }

    fn tuples(&mut self, written: &'s [Type], read: &'s [Type], whole: &Type, read_whole: &Type) {
        if written.len() != read.len() {
            let (had, has) = (written.len(), read.len());
            return self.refuse(format!("was {whole} of {had} elements and is {read_whole} of {has}"));
        }
        for (index, (written, read)) in written.iter().zip(read).enumerate() {
            self.within(format!("[{index}]"), |this| this.types(written, read));
        }
    }

    /// `place` names the struct, or the enum and variant, that reads.
    fn fields(&mut self, written: &'s [Field], place: (&str, Option<&str>), read: &'s [Field]) {
        let accepted = self.reads.and_then(|reads| reads.fields(place.0, place.1));
        let at: BTreeMap<&str, usize> = written.iter().zip(0..).map(|(field, at)| (field.name.as_str(), at)).collect();
        let mut order = Vec::new();
        for field in read {
            let mut alias = accepted.into_iter().flat_map(|accepted| accepted.aliases_of(&field.name));
            let found = at.get(field.name.as_str()).or_else(|| alias.find_map(|alias| at.get(alias)));
            let Some(at) = found.copied() else {
                self.new_field(field, accepted);
                continue;
            };
            order.push(at);
            if written[at].name != field.name {
                self.change(format!("field `{}` is called `{}`", written[at].name, field.name));
            }
            self.within(format!(".{}", field.name), |this| this.types(&written[at].ty, &field.ty));
        }
        if !order.is_sorted() {
            self.change("fields have another order".to_owned());
        }
        order.sort_unstable();
        for (index, field) in written.iter().enumerate() {
            if order.binary_search(&index).is_err() {
                self.change(format!("field `{}` is dropped", field.name));
            }
        }
    }

    fn new_field(&mut self, field: &Field, accepted: Option<&ReadFields>) {
        let name = &field.name;
        match accepted {
            Some(accepted) if accepted.is_needed(name) => {
                self.refuse(format!("field `{name}` is new and has no default: give it #[serde(default)]"));
            }
            Some(_) => self.change(format!("field `{name}` is new, and takes its default")),
            None => self.change(format!("field `{name}` is new (without #[serde(default)] every value fails)")),
        }
    }

    fn variants(&mut self, written: &'s [Variant], name: &'s str, read: &'s [Variant]) {
        let at: BTreeMap<&str, usize> = read.iter().zip(0..).map(|(variant, at)| (variant.name.as_str(), at)).collect();
        for (index, variant) in written.iter().enumerate() {
            if let Some(at) = at.get(variant.name.as_str()) {
                if *at != index {
                    self.change(format!("variant `{}` has another place", variant.name));
                }
                self.variant(variant, name, &read[*at]);
                continue;
            }
            let aliased = self.reads.map_or(&[][..], |reads| reads.variants(name, &variant.name));
            let aliased: Vec<_> = aliased.iter().filter_map(|own| at.get(own.as_str())).collect();
            match aliased[..] {
                [] => self.change(format!("variant `{}` is gone (a value of it fails)", variant.name)),
                [first, ..] => {
                    self.change(format!("variant `{}` is read under another name", variant.name));
                    // Of which of both it is an alias cannot be told; only the right one is known to read it.
                    let fits = |at: &&&usize| variant.content.kind() == read[***at].content.kind();
                    let own = aliased.iter().find(fits).copied().unwrap_or(first);
                    self.variant(variant, name, &read[*own]);
                }
            }
        }
    }

    fn variant(&mut self, written: &'s Variant, name: &'s str, read: &'s Variant) {
        let place = (name, Some(read.name.as_str()));
        self.within(format!("::{}", written.name), |this| this.contents(&written.content, place, &read.content));
    }

    fn contents(&mut self, written: &'s Content, place: (&str, Option<&str>), read: &'s Content) {
        match (written, read) {
            (Content::Unit, Content::Unit) => {}
            (Content::Newtype(written), Content::Newtype(read)) => self.types(written, read),
            (Content::Tuple(written), Content::Tuple(read)) if written.len() == read.len() => {
                for (index, (written, read)) in written.iter().zip(read).enumerate() {
                    self.within(format!("[{index}]"), |this| this.types(written, read));
                }
            }
            (Content::Struct(written), Content::Struct(read)) => self.fields(written, place, read),
            (Content::Unit, Content::Struct(read)) => self.fields(&[], place, read),
            _ => self.refuse(format!("was {} `{written}` and is {} `{read}`", written.kind(), read.kind())),
        }
    }

    fn within(&mut self, step: String, compare: impl FnOnce(&mut Self)) {
        self.path.push(step);
        compare(self);
        self.path.pop();
    }

    fn change(&mut self, change: String) {
        self.changes.push(format!("{}: {change}", self.path.concat()));
    }

    fn refuse(&mut self, reason: String) {
        self.reasons.push(format!("{}: {reason}", self.path.concat()));
    }
}

impl Type {
    /// Whether every value of this type is a value of `wanted`, unchanged.
    pub(super) fn widens_to(&self, wanted: &Type) -> bool {
        match (self.integer(), wanted.integer()) {
            (Some((bits, signed)), Some((wanted_bits, wanted_signed))) => match (signed, wanted_signed) {
                (true, false) => false,
                (false, true) => bits < wanted_bits,
                (true, true) | (false, false) => bits <= wanted_bits,
            },
            (Some((bits, _)), None) => match wanted {
                Type::F32 => bits <= 16,
                Type::F64 => bits <= 32,
                _ => false,
            },
            (None, _) => {
                self == wanted || matches!((self, wanted), (Type::F32, Type::F64) | (Type::Char, Type::String))
            }
        }
    }
}
