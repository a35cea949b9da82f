//! Flink's single-dash words, which clap would read as bundles of letters: `-jm` becomes `--jobManagerMemory`.

use std::ffi::OsString;

/// Words and what they stand for, as in Flink's command line.
const WORDS: [(&str, &str); 9] = [
    ("-jm", "--jobManagerMemory"),
    ("-tm", "--taskManagerMemory"),
    ("-sae", "--shutdownOnAttachedExit"),
    ("-cm", "--claimMode"),
    ("-rm", "--restoreMode"),
    ("-type", "--type"),
    ("-detached", "--detached"),
    ("-full", "--full"),
    ("-yid", "--applicationId"),
];

/// Options of `run` and `info` whose value is the next word; needed to find where the program's own arguments begin.
const WITH_VALUE: [&str; 25] = [
    "-s",
    "--fromSavepoint",
    "--from-savepoint",
    "-t",
    "--target",
    "--executor",
    "-D",
    "-m",
    "--jobmanager",
    "--job-manager",
    "-p",
    "--parallelism",
    "--files",
    "--env",
    "--name",
    "-q",
    "--queue",
    "--output",
    "--conf-dir",
    "--claimMode",
    "--claim-mode",
    "--restoreMode",
    "--jobManagerMemory",
    "--taskManagerMemory",
    "--session",
];

/// Rewrites the words in front of a program; what stands behind it belongs to the program and stays as it is.
pub(super) fn rewrite(arguments: Vec<OsString>) -> Vec<OsString> {
    let takes_program = arguments.get(1).is_some_and(|verb| verb == "run" || verb == "info");
    let mut rewritten = Vec::with_capacity(arguments.len());
    let (mut own, mut value_follows) = (false, false);
    for (index, argument) in arguments.into_iter().enumerate() {
        if own || index < 2 {
            rewritten.push(argument);
            continue;
        }
        let word = WORDS.iter().find(|(word, _)| argument == *word).map(|(_, long)| OsString::from(long));
        let argument = match word {
            Some(long) if !value_follows => long,
            Some(_) | None => argument,
        };
        let is_option = argument.to_string_lossy().starts_with('-');
        own = takes_program && !value_follows && !is_option;
        value_follows = !value_follows && WITH_VALUE.iter().any(|option| argument == *option);
        rewritten.push(argument);
    }
    rewritten
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(rewrite(words(line)), words(expected));
    }

    #[test]
    fn words_are_rewritten_only_in_front_of_the_program() {
        check("flott stop -type native 5e", "flott stop --type native 5e");
        check("flott run -D a=b -cm claim x -cm y", "flott run -D a=b --claimMode claim x -cm y");
        check("flott run -p 2 prog -tm 3", "flott run -p 2 prog -tm 3");
        check("flott run -D -jm prog", "flott run -D -jm prog");
    }
}
