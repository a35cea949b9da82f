//! A program that misbehaves on request, to see what flott says about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use flott::connectors::DataGeneratorSource;
use flott::prelude::*;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// `main` panics before `execute`
    PanicInMain,
    /// `main` ends without `execute`
    NeverExecute,
    /// `main` calls `execute` twice
    ExecuteTwice,
    /// `main` exits with code 3
    #[value(name = "exit-3")]
    Exit3,
    /// `main` never reaches `execute`
    Hang,
    /// A function panics while the job runs
    PanicInMap,
    /// A function kills the process while the job runs
    AbortInMap,
    /// A function takes ever more memory
    LeakInMap,
    /// A function computes for ever and gives nothing back
    SpinInMap,
    /// A function of one of two independent parts panics once in each process; both run until the job is cancelled
    PanicInOnePart,
}

/// Misbehaves on request.
#[derive(Parser)]
struct Arguments {
    /// What goes wrong
    #[arg(value_enum)]
    fault: Fault,
}

fn main() -> anyhow::Result<()> {
    let Arguments { fault } = flott::parse::<Arguments>();
    match fault {
        Fault::PanicInMain => panic!("the main function panics on request"),
        Fault::NeverExecute => return Ok(()),
        Fault::Exit3 => std::process::exit(3),
        Fault::Hang => loop {
            std::thread::park_timeout(Duration::from_secs(3600));
        },
        Fault::PanicInOnePart => return run_two_parts(),
        Fault::ExecuteTwice | Fault::PanicInMap | Fault::AbortInMap | Fault::LeakInMap | Fault::SpinInMap => {}
    }
    let env = StreamExecutionEnvironment::new();
    let numbers = env.from_sequence(0, 9).map(move |number| match fault {
        Fault::PanicInMap => panic!("the map function panics on request"),
        Fault::AbortInMap => std::process::abort(),
        Fault::LeakInMap => leak(),
        Fault::SpinInMap => spin(),
        Fault::PanicInMain
        | Fault::NeverExecute
        | Fault::Exit3
        | Fault::Hang
        | Fault::ExecuteTwice
        | Fault::PanicInOnePart => number,
    });
    numbers.print();
    env.execute("faulty")?;
    env.execute("faulty, again")?;
    Ok(())
}

fn run_two_parts() -> anyhow::Result<()> {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let env = StreamExecutionEnvironment::new();
    let numbers = || DataGeneratorSource::stamped(None, 100.0, |index, _| index);
    env.from_source(numbers(), "sound").discard();
    let flawed = env.from_source(numbers(), "flawed").map(|number| {
        assert!(number < 20 || PANICKED.swap(true, Ordering::Relaxed), "the map function panics once, on request");
        number
    });
    flawed.discard();
    env.execute("two parts")?;
    Ok(())
}

/// Each piece is written to, so that it is memory and not only addresses.
fn leak() -> u64 {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    loop {
        pieces.push(vec![1; 1 << 20]);
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn spin() -> u64 {
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(3));
    }
}
