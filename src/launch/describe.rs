//! `flott::parse`: the program's arguments, for itself and for clients that want to show them.

use std::path::PathBuf;

use clap::{ArgAction, Command, Parser};

use crate::protocol::description::{Argument, Description};
use crate::protocol::roles;

/// The program's arguments. Like `clap`'s own `A::parse()`, but in the describe role it prints a description of the arguments
/// as JSON and exits instead, so that clients and the Web UI can show a form.
pub fn parse<A: Parser>() -> A {
    if std::env::var_os(roles::ROLE).is_some_and(|role| role == roles::ROLE_DESCRIBE) {
        let mut description = description(&A::command());
        // What clap takes for the name is that of the package, which an executable may share with others.
        description.name = program_name().unwrap_or(description.name);
        exit_described(&description);
    }
    A::parse()
}

/// A program that gets to `execute` in the describe role does not use [`parse`]: it has no description, and must not run.
pub(super) fn exit_undescribed() -> ! {
    exit_described(&Description { name: program_name().unwrap_or_default(), about: None, args: Vec::new() })
}

fn exit_described(description: &Description) -> ! {
    println!("{}", serde_json::to_string(description).expect("a description has a JSON form"));
    std::process::exit(0)
}

/// As it was called: the file behind may be named by its hash.
fn program_name() -> Option<String> {
    let program = PathBuf::from(std::env::args_os().next()?);
    Some(program.file_stem()?.to_string_lossy().into_owned())
}

fn description(command: &Command) -> Description {
    let about = command.get_long_about().or_else(|| command.get_about());
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set()).map(|arg| {
        let takes_value = match arg.get_action() {
            ArgAction::Set | ArgAction::Append => true,
            // Flags, counters, help and version; clap may add more kinds that take nothing.
            _ => false,
        };
        let default = arg.get_default_values().first().map(|value| value.to_string_lossy().into_owned());
        let possible = if takes_value { arg.get_possible_values() } else { Vec::new() };
        Argument {
            name: arg.get_id().to_string(),
            long: arg.get_long().map(str::to_owned),
            help: arg.get_help().map(ToString::to_string),
            default: default.filter(|_| takes_value),
            required: arg.is_required_set(),
            takes_value,
            possible_values: possible.iter().map(|value| value.get_name().to_owned()).collect(),
        }
    });
    Description {
        name: command.get_name().to_owned(),
        about: about.map(ToString::to_string),
        args: args.filter(|arg| !matches!(arg.name.as_str(), "help" | "version")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Counts words.
    #[derive(Parser)]
    #[command(name = "wordcount")]
    struct Args {
        /// What to read.
        #[arg(long)]
        input: String,
        /// How.
        #[arg(long, default_value = "automatic", value_parser = ["batch", "streaming", "automatic"])]
        execution_mode: String,
        /// Keeps the case.
        #[arg(long)]
        keep_case: bool,
    }

    #[test]
    fn arguments_are_described_as_clap_knows_them() {
        let description = serde_json::to_value(description(&Args::command())).unwrap();
        assert_eq!(description["name"], "wordcount");
        assert_eq!(description["about"], "Counts words");
        assert_eq!(
            description["args"],
            serde_json::json!([
                {"name": "input", "long": "input", "help": "What to read", "default": null, "required": true,
                 "takes_value": true, "possible_values": []},
                {"name": "execution_mode", "long": "execution-mode", "help": "How", "default": "automatic",
                 "required": false, "takes_value": true, "possible_values": ["batch", "streaming", "automatic"]},
                {"name": "keep_case", "long": "keep-case", "help": "Keeps the case", "default": null, "required": false,
                 "takes_value": false, "possible_values": []},
            ])
        );
    }
}
