//! One bad input, as a file lists it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::Deserialize;

use crate::processes::example;

/// `run`: words behind `flott`; `program`: an example with its words; `http`: a request. In all texts `$DIR` and other names of the
/// site are replaced.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What it is, where the words alone do not say.
    name: Option<String>,
    /// Files to make in the case's directory; `+` before a name: one that may be executed. A text that begins with `@` names a content.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// What is done to `$SAVEPOINT`.
    pub(super) damage: Option<Damage>,
    pub(super) run: Option<String>,
    pub(super) program: Option<String>,
    pub(super) http: Option<String>,
    pub(super) body: Option<String>,
    /// Of an answer.
    pub(super) status: Option<u16>,
    /// It is no failure, and only said.
    #[serde(default)]
    pub(super) succeeds: bool,
    /// What is said, in this order.
    pub(super) says: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Damage {
    None,
    TruncateManifest,
    FlipManifest,
    DeleteManifest,
    AppendManifest,
    NewerManifest,
    TruncateState,
    FlipState,
    DeleteState,
}

impl Case {
    pub(super) fn title(&self) -> String {
        let words = [&self.name, &self.run, &self.program, &self.http].into_iter().flatten().next();
        let details = [self.body.clone(), self.damage.map(|damage| format!("{damage:?}"))];
        details
            .into_iter()
            .flatten()
            .fold(words.cloned().unwrap_or_default(), |title, detail| format!("{title} + {detail}"))
    }

    /// Makes its files.
    pub(super) fn lay_out(&self, dir: &Path) {
        for (name, text) in &self.files {
            let path = dir.join(name.trim_start_matches('+'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content(text)).unwrap();
            if name.starts_with('+') {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
}

/// What a text stands for.
pub(super) fn content(text: &str) -> Vec<u8> {
    let packed = || {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all("a b c\n".repeat(1000).as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    match text {
        "@bytes" => (0..1024_u32).map(|at| (at % 256) as u8).collect(),
        "@brackets" => vec![b'['; 100_000],
        "@deep" => format!("a: {}", "{b: ".repeat(10_000)).into_bytes(),
        "@elf" => fs::read(example("wordcount")).unwrap()[..4096].to_vec(),
        "@flink" => [&[0x49, 0x60, 0x67, 0x2d, 0, 0, 0, 5][..], &[0; 64]].concat(),
        "@gzip-cut" => {
            let whole = packed();
            whole[..whole.len() - 12].to_vec()
        }
        "@gzip-flipped" => {
            let mut bytes = packed();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        }
        text => text.as_bytes().to_vec(),
    }
}

impl Damage {
    /// Does it to a savepoint.
    pub(super) fn strike(self, savepoint: &Path) {
        let manifest = savepoint.join("_metadata");
        let mut states: Vec<_> = fs::read_dir(savepoint).unwrap().map(|entry| entry.unwrap().path()).collect();
        states.retain(|path| *path != manifest);
        states.sort();
        let state = &states[0];
        let truncate = |path: &Path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        };
        let flip = |path: &Path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        };
        match self {
            Self::None => {}
            Self::TruncateManifest => truncate(&manifest),
            Self::FlipManifest => flip(&manifest),
            Self::DeleteManifest => fs::remove_file(&manifest).unwrap(),
            Self::AppendManifest => {
                fs::write(&manifest, [fs::read(&manifest).unwrap(), b"more".to_vec()].concat()).unwrap()
            }
            Self::NewerManifest => {
                let text = fs::read_to_string(&manifest).unwrap();
                let (_, behind) = text.strip_prefix("flott-checkpoint ").unwrap().split_once(' ').unwrap();
                fs::write(&manifest, format!("flott-checkpoint 99 {behind}")).unwrap();
            }
            Self::TruncateState => truncate(state),
            Self::FlipState => flip(state),
            Self::DeleteState => fs::remove_file(state).unwrap(),
        }
    }
}

/// Splits into words as a shell does: blanks separate, quotes hold together.
pub(super) fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote, mut word) = (Vec::new(), None, None::<String>);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}
