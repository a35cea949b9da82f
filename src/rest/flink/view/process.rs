//! What processes use, under the names that Flink has for a JVM: all memory counts as heap, and nothing is collected.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::metrics::{Figure, Metric};
use crate::telemetry::{ProcessUsage, Thread};

/// What a TaskManager answers to `/usage`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct TaskManagerUsage {
    process: ProcessUsage,
    workers_rss_bytes: u64,
}

impl TaskManagerUsage {
    fn memory_bytes(&self) -> u64 {
        self.process.rss_bytes + self.workers_rss_bytes
    }

    /// As metrics; its share of memory is `memory_max`.
    pub(in super::super) fn metrics(&self, memory_max: u64) -> Vec<Metric> {
        let mut metrics = status(&self.process, self.memory_bytes(), memory_max);
        let none = [
            "Status.Flink.Memory.Managed.Total",
            "Status.Flink.Memory.Managed.Used",
            "Status.Shuffle.Netty.TotalMemory",
            "Status.Shuffle.Netty.UsedMemory",
            "Status.Shuffle.Netty.AvailableMemory",
        ];
        metrics.extend(none.map(|name| Metric::of_process(name, Figure::Count(0))));
        metrics
    }

    /// Puts it into the details of a TaskManager.
    pub(in super::super) fn put_into(&self, details: &mut Value) {
        details["metrics"]["heapUsed"] = json!(self.memory_bytes());
        let total = details["hardware"]["physicalMemory"].as_u64().unwrap_or(0);
        details["hardware"]["freeMemory"] = json!(total.saturating_sub(self.memory_bytes()));
    }
}

/// Flink's `Status.JVM.*` of a process.
pub(in super::super) fn status(process: &ProcessUsage, memory_bytes: u64, memory_max: u64) -> Vec<Metric> {
    let count = |name: &'static str, value: u64| Metric::of_process(name, Figure::Count(value));
    let mut metrics = vec![
        count("Status.JVM.Memory.Heap.Used", memory_bytes),
        count("Status.JVM.Memory.Heap.Committed", memory_bytes),
        count("Status.JVM.Memory.Heap.Max", memory_max),
        Metric::of_process("Status.JVM.Memory.NonHeap.Max", Figure::Signed(-1)),
        Metric::of_process("Status.JVM.Memory.Metaspace.Max", Figure::Signed(-1)),
        count("Status.JVM.CPU.Time", process.cpu_ms.saturating_mul(1_000_000)),
        count("Status.JVM.Threads.Count", process.threads),
        count("Status.JVM.FileDescriptor.Open", process.open_files),
        count("Status.JVM.FileDescriptor.Max", process.open_files_max),
    ];
    let none = [
        "Status.JVM.Memory.NonHeap.Used",
        "Status.JVM.Memory.NonHeap.Committed",
        "Status.JVM.Memory.Metaspace.Used",
        "Status.JVM.Memory.Metaspace.Committed",
        "Status.JVM.Memory.Direct.Count",
        "Status.JVM.Memory.Direct.MemoryUsed",
        "Status.JVM.Memory.Direct.TotalCapacity",
        "Status.JVM.Memory.Mapped.Count",
        "Status.JVM.Memory.Mapped.MemoryUsed",
        "Status.JVM.Memory.Mapped.TotalCapacity",
        "Status.JVM.GarbageCollector.All.Count",
        "Status.JVM.GarbageCollector.All.Time",
        "Status.JVM.GarbageCollector.All.TimeMsPerSecond",
    ];
    metrics.extend(none.map(|name| count(name, 0)));
    metrics
}

/// Flink's `ThreadDumpInfo`. Stacks are not told: `gdb -p` or `perf` show them.
pub(in super::super) fn thread_dump(threads: &[Thread]) -> Value {
    let states = BTreeMap::from([('R', "running"), ('S', "sleeping"), ('D', "waiting for a disk")]);
    let entry = |thread: &Thread| {
        let state = states.get(&thread.state).copied().unwrap_or("in another state");
        let text = format!("\"{}\" Id={} {state}, {} ms of processor time\n", thread.name, thread.id, thread.cpu_ms);
        json!({ "threadName": thread.name, "stringifiedThreadInfo": text })
    };
    json!({ "threadInfos": threads.iter().map(entry).collect::<Value>() })
}
