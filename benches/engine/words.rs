//! Word count over pairs that the engine has columns for, and over a struct as a user would write it.

use std::path::PathBuf;

use flott::prelude::*;
use flott::text;
use serde::{Deserialize, Serialize};

use super::usage::Usage;

/// What is counted, and how.
#[derive(Clone, clap::Args)]
pub struct WordCount {
    #[arg(long)]
    input: PathBuf,
    #[arg(long, default_value_t = 2)]
    parallelism: u32,
    /// Records are `{ word: String, count: u64 }`, reduced.
    #[arg(long)]
    structs: bool,
    /// Every word crosses the exchange.
    #[arg(long)]
    streaming: bool,
}

#[derive(Clone, Serialize, Deserialize)]
struct Counted {
    word: String,
    count: u64,
}

impl WordCount {
    pub fn run(&self, env: &StreamExecutionEnvironment) -> Result<(), flott::Error> {
        env.set_parallelism(self.parallelism);
        env.set_execution_mode(if self.streaming { ExecutionMode::Streaming } else { ExecutionMode::Batch });
        let lines = env.read_text_file(&self.input);
        if self.structs {
            let words = lines.flat_map(|line, out: &mut Collector<'_, Counted>| {
                out.extend(text::words(&line).map(|word| Counted { word: word.to_owned(), count: 1 }));
            });
            let words = words.key_by(|counted| counted.word.clone()).emit(Emission::Final);
            let add = |one: Counted, more: Counted| Counted { word: one.word, count: one.count + more.count };
            words.local_aggregation(!self.streaming).reduce(add).discard();
        } else {
            let words =
                lines.flat_map(|line, out: &mut Collector<'_, Str>| out.extend(text::words(&line).map(Str::from)));
            let words = words.key_by(|word| word.clone()).emit(Emission::Final);
            words.local_aggregation(!self.streaming).sum(|_| 1u64).discard();
        }
        let result = env.execute("word count")?;
        let usage = Usage::of_this_process();
        println!(
            "word count of {}: {:.2} s, {:.2} CPU s, {:.0} MB at most",
            if self.structs { "structs" } else { "pairs" },
            result.duration.as_secs_f64(),
            usage.cpu.as_secs_f64(),
            usage.peak_mb,
        );
        Ok(())
    }
}
