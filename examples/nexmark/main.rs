//! The queries of the Nexmark benchmark: people, auctions and bids of an auction site, as a seeded generator makes them.
//!
//! ```text
//! cargo run --release --example nexmark -- --generate 1000000 --out events.json
//! cargo run --release --example nexmark -- --query q5w --input events.json --output hottest
//! cargo run --release --example nexmark -- --query q4 --input generator:10000000 --output discard
//! ```

mod changelog;
mod generator;
mod job;
mod model;
mod queries;
mod timestamp;

use std::path::PathBuf;

use anyhow::Context;
use flott::prelude::*;

use crate::generator::Generator;
use crate::job::{Input, Job, Output};
use crate::queries::{QUERIES, Query};

/// Runs a query of the Nexmark benchmark, or makes events for it.
///
/// Events are people, auctions and bids, one a line of JSON. Answers are lines of JSON too; an answer that changes says what becomes of
/// a row in its column op: +I it is new, -U it was so before, +U it is so now.
#[derive(clap::Parser)]
#[command(after_help = queries())]
struct Args {
    /// The query to run.
    #[arg(long, value_name = "QUERY", required_unless_present = "generate", requires = "input", requires = "output")]
    query: Option<&'static Query>,
    /// What to read: a file, a directory, a glob pattern (in quotes), or so many events of the generator.
    #[arg(long, value_name = "FILE|DIR|GLOB|generator:N")]
    input: Option<Input>,
    /// Directory to write part files to, or `discard`.
    #[arg(long, value_name = "DIR|discard")]
    output: Option<Output>,
    /// Number of subtasks of each operator.
    #[arg(long, value_name = "P")]
    parallelism: Option<u32>,
    /// batch, streaming, or automatic: batch, since each input ends.
    #[arg(long, value_name = "MODE", default_value = "streaming")]
    execution_mode: ExecutionMode,
    /// Makes so many events instead of running a query.
    #[arg(long, value_name = "N", conflicts_with_all = ["query", "input", "output"], requires = "out")]
    generate: Option<u64>,
    /// Where to write made events: a file, or - for standard output.
    #[arg(long, value_name = "FILE", requires = "generate")]
    out: Option<PathBuf>,
    /// Of the generator: another one makes other events.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Of the generator: events a second of event time.
    #[arg(long, value_name = "R", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
}

fn queries() -> String {
    let lines = QUERIES.iter().map(|query| format!("\n  {:5} {}", query.name, query.meaning));
    format!("Queries:{}", lines.collect::<String>())
}

fn main() -> anyhow::Result<()> {
    let Args { query, input, output, parallelism, execution_mode, generate, out, seed, rate } = flott::parse();
    if let (Some(count), Some(out)) = (generate, out) {
        return job::generate(&Generator::new(seed, rate), count, &out)
            .with_context(|| format!("cannot write events to {}", out.display()));
    }
    let (Some(query), Some(input), Some(output)) = (query, input, output) else {
        anyhow::bail!("a query wants an input and an output; see --help");
    };
    let env = StreamExecutionEnvironment::new();
    env.set_execution_mode(execution_mode);
    if let Some(parallelism) = parallelism {
        env.set_parallelism(parallelism);
    }
    let job = Job { env, input, output, seed, rate, mode: execution_mode };
    (query.build)(&job);
    job.env.execute(&format!("nexmark {}", query.name))?;
    Ok(())
}
