//! The `flott` binary: every daemon and the client. All of it is in [`flott::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    flott::cli::main(std::env::args_os().collect())
}
