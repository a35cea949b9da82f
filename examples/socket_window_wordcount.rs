//! Counts the words that a server sends, in windows.
//!
//! ```text
//! nc -lk 8888      # type lines here
//! cargo run --release --example socket_window_wordcount -- --port 8888
//! ```

use flott::prelude::*;
use flott::text;

/// Counts the words that a server sends, in windows of processing time.
#[derive(clap::Parser)]
struct Args {
    /// Host of the server.
    #[arg(long, default_value = "127.0.0.1")]
    hostname: String,
    /// Port of the server.
    #[arg(long)]
    port: u16,
    /// Length of the windows: 5s, 500ms, 1m.
    #[arg(long, default_value = "5s", value_name = "LENGTH")]
    window: TumblingProcessingTimeWindows,
    /// Number of subtasks of each operator but the source.
    #[arg(long, value_name = "N")]
    parallelism: Option<u32>,
}

fn main() -> Result<(), flott::Error> {
    let args: Args = flott::parse();

    let env = StreamExecutionEnvironment::new();
    if let Some(parallelism) = args.parallelism {
        env.set_parallelism(parallelism);
    }
    env.socket_text_stream(args.hostname, args.port)
        .flat_map(|line, out: &mut Collector<'_, Str>| out.extend(text::words(&line).map(Str::from)))
        .key_by(|word| word.clone())
        .window(args.window)
        .sum(|_| 1u64)
        .print();
    env.execute("socket window wordcount")?;
    Ok(())
}
