//! How long records take from where they are due to the sink, while they come at a steady rate.
//!
//! A record is stamped with the moment it is due, not the one it is sent: when the source falls behind, that is latency too.
//! The machine's clock is read at both ends, so both must be on one machine.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flott::AccumulatorValue;
use flott::engine::operators::{
    Boundedness, Discovery, NextDiscovery, OperatorContext, Output, Polled, Sink, SinkWriter, Source, SourceReader,
    SplitEnumerator, Waker,
};
use flott::engine::record::Rows;
use flott::graph::task::{Failure, Split};
use flott::prelude::*;

/// What is measured.
#[derive(Clone, clap::Args)]
pub struct Latency {
    /// Records a second, of all sources together. More than can be shows how many can be.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// How long they come.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Subtasks of each operator.
    #[arg(long, default_value_t = 2)]
    parallelism: u32,
    /// Keys of the state that the records change; by default each microsecond is one.
    #[arg(long, default_value_t = u64::MAX)]
    keys: u64,
    /// Milliseconds between checkpoints; 0: none.
    #[arg(long, default_value_t = 0)]
    checkpoints: u64,
}

impl Latency {
    pub fn run(&self, env: &StreamExecutionEnvironment) -> Result<(), flott::Error> {
        env.set_parallelism(self.parallelism);
        crate::with_checkpoints(env, self.checkpoints);
        let source = Paced {
            interval_ns: 1_000_000_000 * u64::from(self.parallelism) / self.rate,
            records: self.rate * self.seconds / u64::from(self.parallelism),
            readers: self.parallelism,
        };
        let due = env.from_source(source, "Paced");
        let keys = self.keys;
        let last = due.key_by(move |due| due / 1000 % keys).max(|due| *due);
        last.map(|(_, due)| due).sink_to(Stopwatches { all: env.accumulator("latency") });
        let result = env.execute("latency")?;
        if let Some(AccumulatorValue::Histogram(taken)) = result.accumulator("latency") {
            Taken(taken.clone()).print("latency");
        }
        let records = self.rate * self.seconds;
        println!("{:.2} M records/s", records as f64 / result.duration.as_secs_f64() / 1e6);
        Ok(())
    }
}

pub fn now_ns() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

/// Emits the moments its records are due, as they come.
#[derive(Clone)]
struct Paced {
    interval_ns: u64,
    records: u64,
    readers: u32,
}

impl Source for Paced {
    type Out = u64;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerator(&self, _context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        Ok(Box::new(OneEach(self.readers)))
    }

    fn reader(&self, _context: &OperatorContext, _waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(Pacer { source: self.clone(), next_due: 0, left: 0 }))
    }
}

struct OneEach(u32);

impl SplitEnumerator for OneEach {
    fn discover(&mut self) -> Result<Discovery, Failure> {
        let split = |reader| Split { id: format!("{reader}"), payload: serde_json::Value::Null, lane: None };
        Ok(Discovery { splits: (0..self.0).map(split).collect(), next: NextDiscovery::Complete })
    }
}

struct Pacer {
    source: Paced,
    next_due: u64,
    left: u64,
}

impl SourceReader for Pacer {
    fn assign(&mut self, _split: Split) -> Result<(), Failure> {
        (self.next_due, self.left) = (now_ns() + 100_000_000, self.source.records);
        Ok(())
    }

    fn position(&self) -> Result<serde_json::Value, Failure> {
        Ok(serde_json::Value::Null) // A benchmark takes no checkpoints.
    }

    fn poll(&mut self, out: &mut dyn Output) -> Result<Polled, Failure> {
        let now = now_ns();
        let mut due = Vec::new();
        while self.left > 0 && self.next_due <= now && due.len() < 1024 {
            due.push(self.next_due);
            self.next_due += self.source.interval_ns;
            self.left -= 1;
        }
        if !due.is_empty() {
            out.emit(Box::new(Rows::new(due)))?;
        }
        Ok(match self.left {
            0 => Polled::SplitFinished,
            _ if self.next_due <= now_ns() => Polled::More,
            _ => Polled::Waiting { until: Some(out.now() + Duration::from_millis(1)) },
        })
    }

    fn stop(&mut self, _out: &mut dyn Output) -> Result<(), Failure> {
        self.left = 0;
        Ok(())
    }
}

/// Notes how long each record took.
struct Stopwatches {
    all: AccumulatorHandle<Latencies>,
}

impl Sink for Stopwatches {
    type In = u64;

    fn writer(&self, _context: &OperatorContext) -> Result<Box<dyn SinkWriter<u64>>, Failure> {
        Ok(Box::new(Stopwatch { taken: Taken::default(), all: self.all.clone() }))
    }
}

struct Stopwatch {
    taken: Taken,
    all: AccumulatorHandle<Latencies>,
}

impl SinkWriter<u64> for Stopwatch {
    fn write(&mut self, batch: Rows<u64>) -> Result<(), Failure> {
        let now = now_ns();
        batch.0.into_iter().for_each(|due| self.taken.add(now.saturating_sub(due)));
        Ok(())
    }

    fn prepare_checkpoint(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        Ok(Vec::new())
    }

    fn prepare(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        self.all.add(std::mem::take(&mut self.taken));
        Ok(Vec::new())
    }
}

/// How often each time was taken, in nanoseconds, to seven significant bits.
#[derive(Default)]
pub struct Taken(BTreeMap<i64, u64>);

impl Taken {
    pub fn add(&mut self, ns: u64) {
        let shift = (64 - ns.leading_zeros()).saturating_sub(7);
        *self.0.entry((ns >> shift << shift) as i64).or_default() += 1;
    }

    /// Prints how often it took up to each power of two of microseconds.
    pub fn histogram(&self) {
        let mut times = BTreeMap::<u32, u64>::new();
        for (ns, taken) in &self.0 {
            let power = 64 - (ns.unsigned_abs() / 1000).leading_zeros();
            *times.entry(power).or_default() += taken;
        }
        let most = times.values().copied().max().unwrap_or(1);
        for (power, taken) in times {
            let bar = "#".repeat((taken * 40).div_ceil(most) as usize);
            println!("  up to {:>9.3} ms {taken:>10}  {bar}", f64::from(1_u32 << power) / 1e3);
        }
    }

    /// Prints percentiles in milliseconds.
    pub fn print(&self, what: &str) {
        let count: u64 = self.0.values().sum();
        let at = |share: f64| {
            let mut left = (count as f64 * share) as u64;
            let place = self.0.iter().find(|(_, times)| {
                let found = left < **times;
                left = left.saturating_sub(**times);
                found
            });
            place.or(self.0.iter().next_back()).map_or(0.0, |(ns, _)| *ns as f64 / 1e6)
        };
        let [p50, p99, p999, p9999, most] = [0.5, 0.99, 0.999, 0.9999, 1.0].map(at);
        println!(
            "{what} of {count} records: p50 {p50:.3} ms, p99 {p99:.3} ms, p99.9 {p999:.3} ms, p99.99 {p9999:.3} ms, most {most:.3} ms"
        );
    }
}

/// What all sinks have taken: told by `flott run` too, as a histogram.
#[derive(Default)]
struct Latencies(BTreeMap<i64, u64>);

impl Accumulator for Latencies {
    type Input = Taken;

    fn add(&mut self, taken: Taken) {
        taken.0.into_iter().for_each(|(ns, times)| *self.0.entry(ns).or_default() += times);
    }

    fn value(&self) -> AccumulatorValue {
        AccumulatorValue::Histogram(self.0.clone())
    }
}
