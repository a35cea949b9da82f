//! The smallest job: one element, printed. What is measured with it is starting and ending.

use flott::prelude::*;

/// Prints one element.
#[derive(clap::Parser)]
struct Args {
    /// Prints nothing.
    #[arg(long)]
    discard: bool,
}

fn main() -> Result<(), flott::Error> {
    let args: Args = flott::parse();
    let env = StreamExecutionEnvironment::new();
    env.set_parallelism(1);
    let element = env.from_collection([1u64]);
    if args.discard {
        element.discard()
    } else {
        element.print()
    };
    env.execute("one element")?;
    Ok(())
}
