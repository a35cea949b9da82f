//! Finds accounts with a tiny transaction directly before a large one: the fraud detector of Flink's tutorial, with a keyed
//! process function, state and a timer.
//!
//! ```text
//! cargo run --release --example fraud_detection
//! cargo run --release --example fraud_detection -- --input transactions.csv    # lines such as 17,0.50
//! ```

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use flott::prelude::*;
use serde::{Deserialize, Serialize};

/// Raises an alert for each large transaction that directly follows a tiny one of the same account, within a minute.
#[derive(clap::Parser)]
struct Args {
    /// File of `account,amount` lines; without it, a few transactions of three accounts.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Directory to write part files of `account,amount` lines to; without it, alerts are printed.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Number of subtasks of each operator.
    #[arg(long, value_name = "N")]
    parallelism: Option<u32>,
    /// batch, streaming, or automatic.
    #[arg(long, value_name = "MODE", default_value = "streaming")]
    execution_mode: ExecutionMode,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Transaction {
    account: u64,
    amount: f64,
}

const SMALL_AMOUNT: f64 = 1.0;
const LARGE_AMOUNT: f64 = 500.0;
const ONE_MINUTE: Duration = Duration::from_secs(60);

/// Remembers of each account whether its last transaction was tiny, for a minute.
#[derive(Clone, Default)]
struct FraudDetector {
    /// When the memory of a tiny transaction ends; present while there is one.
    timer: ValueState<Now>,
}

impl KeyedProcessFunction<u64, Transaction, (u64, f64)> for FraudDetector {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.timer = ctx.value_state("timer");
        Ok(())
    }

    fn process_element(
        &mut self,
        transaction: Transaction,
        ctx: &mut KeyedContext<'_, u64>,
        out: &mut Collector<'_, (u64, f64)>,
    ) {
        // Whatever this transaction is, the one before it is not directly before the next.
        if let Some(timer) = self.timer.take(ctx) {
            ctx.timer_service().delete_processing_time_timer(timer);
            if transaction.amount > LARGE_AMOUNT {
                out.collect((transaction.account, transaction.amount));
            }
        }
        if transaction.amount < SMALL_AMOUNT {
            let timer = ctx.current_processing_time() + ONE_MINUTE;
            ctx.timer_service().register_processing_time_timer(timer);
            self.timer.update(ctx, timer);
        }
    }

    fn on_timer(&mut self, _timer: Timer, ctx: &mut KeyedContext<'_, u64>, _out: &mut Collector<'_, (u64, f64)>) {
        self.timer.clear(ctx);
    }
}

fn main() -> Result<(), flott::Error> {
    let args: Args = flott::parse();

    let env = StreamExecutionEnvironment::new();
    env.set_execution_mode(args.execution_mode);
    if let Some(parallelism) = args.parallelism {
        env.set_parallelism(parallelism);
    }
    let lines = match args.input {
        Some(path) => env.read_text_file(path),
        None => env.from_collection(
            ["1,0.50", "2,700", "1,900.00", "3,0.10", "2,0.99", "3,20", "3,600", "2,501"].map(Str::from),
        ),
    };
    let transactions = env.accumulator::<LongCounter>("transactions");
    let malformed = env.accumulator::<LongCounter>("malformed-lines");
    let alerts = lines
        .flat_map(move |line, out: &mut Collector<'_, Transaction>| match transaction(&line) {
            Some(transaction) => {
                transactions.add(1);
                out.collect(transaction);
            }
            None => malformed.add(1),
        })
        .key_by(|transaction| transaction.account)
        .process(FraudDetector::default())
        .name("fraud-detector");
    match args.output {
        Some(dir) => alerts.write_text(dir, |(account, amount), line| write!(line, "{account},{amount}")),
        None => alerts.print(), // (1,900.0) and (2,501.0)
    };
    env.execute("fraud detection")?;
    Ok(())
}

/// The transaction of an `account,amount` line, if it is one.
fn transaction(line: &str) -> Option<Transaction> {
    let (account, amount) = line.split_once(',')?;
    Some(Transaction { account: account.trim().parse().ok()?, amount: amount.trim().parse().ok()? })
}
