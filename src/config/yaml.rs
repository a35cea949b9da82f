//! Reading YAML into flat keys with line numbers.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Options, Spanned};

/// One value of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) line: u64,
}

/// Reads nested or flat YAML; nested keys are joined with dots, lists with semicolons, and the maps at `map_keys` stay one value
/// (`k:v,k2:v2`). Empty values are left out.
pub(super) fn entries(text: &str, is_map_key: impl Fn(&str) -> bool) -> Result<Vec<Entry>, String> {
    let mut options = options();
    // YAML 1.2: `off` is a word (a restart strategy's, for example), not false.
    options.strict_booleans = true;
    let root: Option<Spanned<Node>> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| explain(&error))?;
    let mut entries = Vec::new();
    match root.map(|root| root.value) {
        None | Some(Node::Empty) => {}
        Some(Node::Map(map)) => flatten("", map, &is_map_key, &mut entries)?,
        Some(Node::Scalar(_) | Node::List(_)) => return Err("the file must be a map of keys to values".to_owned()),
    }
    Ok(entries)
}

/// Maps and lists in one another, at most: whoever reads them recurses, on the stack of a thread that may be small.
const DEPTH_MAX: usize = 32;

pub(super) fn options() -> Options {
    serde_saphyr::options! { budget: serde_saphyr::budget! { max_depth: DEPTH_MAX } }
}

/// What is wrong with a YAML file and where, for who has written it: the parser's own words are for who calls it.
pub(super) fn explain(error: &serde_saphyr::Error) -> String {
    let options = serde_saphyr::render_options! {
        formatter: &serde_saphyr::UserMessageFormatter,
        snippets: serde_saphyr::SnippetMode::Off,
    };
    let text = error.render_with_options(options);
    let ours = match error.without_snippet() {
        serde_saphyr::Error::MultipleDocuments { .. } => Some("there is more than one document (---)"),
        _ if text.contains("breached") => Some("it is nested too deeply, or too large with its aliases"),
        _ => None,
    };
    match (ours, error.location()) {
        (Some(ours), Some(at)) => format!("{ours} at line {}, column {}", at.line(), at.column()),
        (Some(ours), None) => ours.to_owned(),
        (None, _) => text.strip_prefix("error: ").unwrap_or(&text).to_owned(),
    }
}

fn flatten(
    prefix: &str,
    map: Vec<(String, Spanned<Node>)>,
    is_map_key: &impl Fn(&str) -> bool,
    entries: &mut Vec<Entry>,
) -> Result<(), String> {
    for (name, node) in map {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        let line = node.referenced.line();
        match node.value {
            Node::Empty => {}
            Node::Map(map) if !is_map_key(&key) => flatten(&key, map, is_map_key, entries)?,
            node => entries.push(Entry {
                value: node.into_text().map_err(|error| format!("line {line}: {key} {error}"))?,
                key,
                line,
            }),
        }
    }
    Ok(())
}

#[derive(Debug)]
enum Node {
    Empty,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Spanned<Node>)>),
}

impl Node {
    /// As it would be written in one line.
    fn into_text(self) -> Result<String, &'static str> {
        let scalar = |node| match node {
            Node::Empty => Ok(String::new()),
            Node::Scalar(text) => Ok(text),
            Node::List(_) | Node::Map(_) => Err("is nested too deeply"),
        };
        match self {
            Self::Empty => Ok(String::new()),
            Self::Scalar(text) => Ok(text),
            Self::List(items) => Ok(items.into_iter().map(scalar).collect::<Result<Vec<_>, _>>()?.join(";")),
            Self::Map(map) => {
                let pair = |(key, node): (String, Spanned<Self>)| Ok(format!("{key}:{}", scalar(node.value)?));
                Ok(map.into_iter().map(pair).collect::<Result<Vec<_>, &str>>()?.join(","))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Empty)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Empty)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            map.push(pair);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fuzz::{corpus, fuzz};

    fn flat(text: &str) -> Vec<(String, String, u64)> {
        let entries = entries(text, |key| key == "labels").unwrap();
        entries.into_iter().map(|entry| (entry.key, entry.value, entry.line)).collect()
    }

    #[test]
    fn nested_and_flat_keys_come_out_the_same() {
        let text = "# comment\nrestart-strategy:\n  type: off\n  fixed-delay: {attempts: 3}\nrest.port: 8081\n\
            dirs: [a, b]\nlabels: {x: 1, y: z}\nempty:\nflag: true\nratio: 0.5\n";
        let expected = [
            ("restart-strategy.type", "off", 3),
            ("restart-strategy.fixed-delay.attempts", "3", 4),
            ("rest.port", "8081", 5),
            ("dirs", "a;b", 6),
            ("labels", "x:1,y:z", 7),
            ("flag", "true", 9),
            ("ratio", "0.5", 10),
        ];
        assert_eq!(flat(text), expected.map(|(key, value, line)| (key.to_owned(), value.to_owned(), line)));
        assert_eq!(flat(""), []);
        assert_eq!(flat("# nothing\n"), []);
    }

    #[test]
    fn what_is_no_map_is_refused() {
        assert!(entries("- a\n- b\n", |_| false).is_err());
        assert!(entries("a: [b\n", |_| false).is_err());
        assert!(entries("a: 1\na: 2\n", |_| false).is_err(), "a key twice");
    }

    #[test]
    fn fuzz_configuration() {
        fuzz("configuration", &corpus("configuration"), |bytes| {
            let Ok(text) = str::from_utf8(bytes) else { return };
            let _ = entries(text, |_| false);
            let _ = crate::config::QueuesConfig::parse(text);
            let _ = crate::config::Configuration::load(None, Some(text), &[]);
        });
    }
}
