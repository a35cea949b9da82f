//! Counts the words of text files, batch or streaming.
//!
//! ```text
//! cargo run --release --example wordcount -- --input examples/data/austen.txt
//! ```

use std::fmt::Write as _;
use std::path::PathBuf;

use flott::prelude::*;
use flott::text;

/// Counts the words of text files. A word is a run of characters that are not white space.
#[derive(clap::Parser)]
struct Args {
    /// What to read: a file, a directory, or a glob pattern (in quotes).
    #[arg(long, value_name = "PATH|DIR|GLOB")]
    input: PathBuf,
    /// Directory to write part files of `word count` lines to; without it, counts are printed as `(word,count)`.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Number of subtasks of each operator.
    #[arg(long, value_name = "N")]
    parallelism: Option<u32>,
    /// batch, streaming, or automatic: batch unless --watch makes the input endless.
    #[arg(long, value_name = "MODE", default_value = "automatic")]
    execution_mode: ExecutionMode,
    /// Counts `Word` and `word` apart.
    #[arg(long)]
    keep_case: bool,
    /// In streaming mode: `updates`, a word's new count with each occurrence, or `final`, each word once, when the input
    /// ends or the job is stopped with drain. [default: updates when printing, final when writing files]
    #[arg(long, value_name = "updates|final")]
    emit: Option<Emission>,
    /// Sends every word to the subtask that counts it, instead of adding up equal words before.
    #[arg(long)]
    no_local_aggregation: bool,
    /// Keeps reading files that appear in the input directory, until the job is stopped.
    #[arg(long)]
    watch: bool,
}

fn main() -> Result<(), flott::Error> {
    let args: Args = flott::parse();
    let keep_case = args.keep_case;
    let emission = args.emit.unwrap_or(if args.output.is_some() { Emission::Final } else { Emission::Updates });

    let env = StreamExecutionEnvironment::new();
    env.set_execution_mode(args.execution_mode);
    if let Some(parallelism) = args.parallelism {
        env.set_parallelism(parallelism);
    }

    let lines = env.from_source(TextFileSource::new(&args.input).watch(args.watch), "Text Files");
    let words = lines.flat_map(move |line, out: &mut Collector<'_, Str>| {
        let line = if keep_case { line } else { text::lowercase(line) };
        out.extend(text::words(&line).map(Str::from));
    });
    let words = words.key_by(|word| word.clone()).emit(emission).local_aggregation(!args.no_local_aggregation);
    let counts = words.sum(|_| 1u64);
    match args.output {
        Some(dir) => counts.write_text(dir, |(word, count), line| write!(line, "{word} {count}")),
        None => counts.print(),
    };

    let result = env.execute("wordcount")?;
    if result.bad_records() > 0 {
        eprintln!("{} lines were not valid UTF-8; what was invalid was replaced by U+FFFD", result.bad_records());
    }
    Ok(())
}
