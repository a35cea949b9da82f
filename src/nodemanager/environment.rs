//! A container's environment and command, as its launch context means them. Pure.

use std::collections::BTreeMap;

use crate::protocol::roles::PREFIX;

/// What `<LOG_DIR>` and `<CPS>` stand for.
const LOG_DIR: &str = "<LOG_DIR>";
const CLASS_PATH_SEPARATOR: &str = "<CPS>";

/// The whole environment: `inherited` from the node, overruled by what the context `given`s, overruled by what the node `set`s.
///
/// In given values `<LOG_DIR>`, `<CPS>` and `{{NAME}}` are replaced; a name refers to the variable's final value, whatever the order,
/// and a variable that refers to itself to the value it would have had. Values whose names begin with `FLOTT_INTERNAL_` are
/// taken as they are: they carry JSON. What nobody knows is empty.
pub(super) fn compose(
    inherited: &BTreeMap<String, String>,
    given: &BTreeMap<String, String>,
    set: &BTreeMap<String, String>,
    log_dir: &str,
) -> BTreeMap<String, String> {
    let mut fixed = inherited.clone();
    fixed.extend(set.iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut expansion = Expansion { given, set, fixed: &fixed, log_dir, done: BTreeMap::new(), open: Vec::new() };
    for name in given.keys() {
        expansion.value(name);
    }
    let mut environment = inherited.clone();
    environment.extend(expansion.done);
    environment.extend(set.iter().map(|(name, value)| (name.clone(), value.clone())));
    environment
}

struct Expansion<'a> {
    given: &'a BTreeMap<String, String>,
    set: &'a BTreeMap<String, String>,
    fixed: &'a BTreeMap<String, String>,
    log_dir: &'a str,
    done: BTreeMap<String, String>,
    /// Names being expanded; one that comes up again refers to itself.
    open: Vec<String>,
}

impl Expansion<'_> {
    fn value(&mut self, name: &str) -> String {
        if let Some(done) = self.done.get(name) {
            return done.clone();
        }
        let fixed = || self.fixed.get(name).cloned().unwrap_or_default();
        let Some(text) = self.given.get(name).filter(|_| !self.set.contains_key(name)) else {
            return fixed();
        };
        if self.open.iter().any(|open| open == name) {
            return fixed();
        }
        let value = if name.starts_with(PREFIX) {
            text.clone()
        } else {
            self.open.push(name.to_owned());
            let text = text.replace(LOG_DIR, self.log_dir).replace(CLASS_PATH_SEPARATOR, ":");
            let value = replace_names(&text, |inner| self.value(inner));
            self.open.pop();
            value
        };
        self.done.insert(name.to_owned(), value.clone());
        value
    }
}

/// What a shell is to run: the commands joined by spaces, `{{NAME}}` left to the shell as `${NAME}`.
pub(super) fn command(commands: &[String], log_dir: &str) -> String {
    let joined = commands.join(" ").replace(LOG_DIR, log_dir).replace(CLASS_PATH_SEPARATOR, ":");
    replace_names(&joined, |name| format!("${{{name}}}"))
}

/// Replaces each `{{NAME}}`; other braces stay.
fn replace_names(text: &str, mut replacement: impl FnMut(&str) -> String) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let (before, from) = rest.split_at(open);
        result.push_str(before);
        let inner = from[2..].split_once("}}");
        match inner.filter(|(name, _)| super::admission::is_variable(name)) {
            Some((name, after)) => {
                result.push_str(&replacement(name));
                rest = after;
            }
            None => {
                result.push('{');
                rest = &from[1..];
            }
        }
    }
    result.push_str(rest);
    result
}

/// `text` as one word of a shell.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn names_refer_to_final_values_in_any_order() {
        let inherited = map(&[("PATH", "/bin"), ("LANG", "C")]);
        let set = map(&[("PWD", "/work"), ("CONTAINER_ID", "c1")]);
        let given = map(&[
            ("A", "{{B}}/a"),
            ("B", "{{PWD}}/b"),
            ("PATH", "{{PWD}}/bin<CPS>{{PATH}}"),
            ("LOOP", "x{{POOL}}"),
            ("POOL", "y{{LOOP}}"),
            ("OUT", "<LOG_DIR>/out {{NOBODY}}!"),
            ("CONTAINER_ID", "forged"),
            ("JSON", r#"{"a":{"b":"{{x y}}"}}"#),
            ("FLOTT_INTERNAL_X", "{{A}} <LOG_DIR>"),
        ]);
        let composed = compose(&inherited, &given, &set, "/logs/c1");
        let expected = map(&[
            ("A", "/work/b/a"),
            ("B", "/work/b"),
            ("CONTAINER_ID", "c1"),
            ("FLOTT_INTERNAL_X", "{{A}} <LOG_DIR>"),
            ("JSON", r#"{"a":{"b":"{{x y}}"}}"#),
            ("LANG", "C"),
            ("LOOP", "xy"),
            ("OUT", "/logs/c1/out !"),
            ("PATH", "/work/bin:/bin"),
            ("POOL", "y"),
            ("PWD", "/work"),
        ]);
        assert_eq!(composed, expected);
    }

    #[test]
    fn commands_are_joined_and_names_are_left_to_the_shell() {
        let commands = ["{{FLOTT_BIN}} jobmanager".to_owned(), "1><LOG_DIR>/out".to_owned()];
        assert_eq!(command(&commands, "/l"), "${FLOTT_BIN} jobmanager 1>/l/out");
        assert_eq!(command(&["awk '{{print $1}}' {{{A}}}".to_owned()], "/l"), "awk '{{print $1}}' {${A}}");
    }

    #[test]
    fn quoting_survives_quotes() {
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }
}
