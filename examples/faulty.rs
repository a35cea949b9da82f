//! A program that misbehaves on request, to see what flott says about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
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
    /// `main` kills its own process
    AbortInMain,
    /// `main` returns an error with a cause
    ErrorInMain,
    /// `main` calls itself until the stack is full
    OverflowInMain,
    /// `main` prints for ever
    PrintInMain,
    /// `main` takes ever more memory
    LeakInMain,
    /// `main` exits with code 0 before `execute`
    #[value(name = "exit-0")]
    Exit0,
    /// `main` calls `execute` twice
    ExecuteTwice,
    /// The job has a source and nothing that takes its records
    NoSink,
    /// Two operators claim the same uid
    UidTwice,
    /// Each process of the program builds another graph
    OtherGraph,
    /// `main` exits with code 3
    #[value(name = "exit-3")]
    Exit3,
    /// `main` never reaches `execute`
    Hang,
    /// A function panics while the job runs
    PanicInMap,
    /// A function panics before the first record
    PanicInOpen,
    /// A function refuses to start, and says why
    ErrorInOpen,
    /// A function kills the process while the job runs
    AbortInMap,
    /// A function ends the process while the job runs, with code 0
    ExitInMap,
    /// A function calls itself until the stack is full
    OverflowInMap,
    /// A function prints for ever
    PrintInMap,
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
    before_execute(fault)?;
    match fault {
        Fault::NeverExecute => return Ok(()),
        Fault::PanicInOnePart => return run_two_parts(),
        _ => {}
    }
    let env = StreamExecutionEnvironment::new();
    let numbers = env.from_sequence(0, 9).process(Faulty { fault });
    match fault {
        Fault::UidTwice => drop(numbers.uid("twice").map(|number| number).uid("twice").discard()),
        Fault::OtherGraph => drop(numbers.uid(format!("of process {}", std::process::id())).discard()),
        Fault::NoSink => {}
        _ => drop(numbers.print()),
    }
    env.execute("faulty")?;
    env.execute("faulty, again")?;
    Ok(())
}

/// The faults of `main`.
fn before_execute(fault: Fault) -> anyhow::Result<()> {
    match fault {
        Fault::PanicInMain => panic!("the main function panics on request"),
        Fault::ErrorInMain => {
            std::fs::read("/no/such/prices.csv").context("cannot read the prices")?;
        }
        Fault::AbortInMain => std::process::abort(),
        Fault::OverflowInMain => drop(overflow(0)),
        Fault::PrintInMain => loop {
            println!("the main function prints on request");
        },
        Fault::LeakInMain => drop(leak()),
        Fault::Exit0 => std::process::exit(0),
        Fault::Exit3 => std::process::exit(3),
        Fault::Hang => loop {
            std::thread::park_timeout(Duration::from_secs(3600));
        },
        _ => {}
    }
    Ok(())
}

/// Hands numbers on, or does not.
#[derive(Clone)]
struct Faulty {
    fault: Fault,
}

impl ProcessFunction<u64, u64> for Faulty {
    fn open(&mut self, _ctx: &mut RuntimeContext<'_>) -> Result<(), Failure> {
        match self.fault {
            Fault::PanicInOpen => panic!("the function panics on request as it is opened"),
            Fault::ErrorInOpen => Err(Failure::permanent("the model is not there; put it beside the program")),
            _ => Ok(()),
        }
    }

    fn process_element(&mut self, number: u64, _ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, u64>) {
        out.collect(match self.fault {
            Fault::PanicInMap => panic!("the map function panics on request"),
            Fault::AbortInMap => std::process::abort(),
            Fault::ExitInMap => std::process::exit(0),
            Fault::OverflowInMap => overflow(number),
            Fault::PrintInMap => loop {
                println!("the map function prints on request");
            },
            Fault::LeakInMap => leak(),
            Fault::SpinInMap => spin(),
            _ => number,
        });
    }
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

/// Ends only when there is no stack left.
fn overflow(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if frame[0] == u64::MAX { depth } else { overflow(depth + 1).wrapping_add(frame[1]) }
}

fn spin() -> u64 {
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(3));
    }
}
