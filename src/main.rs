//! The `flott` binary: every daemon and the client.

fn main() {}
