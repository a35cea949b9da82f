//! The cluster and its TaskManagers.

use serde_json::{Value, json};

use crate::ids::TaskManagerId;
use crate::jobmanager::core::{Core, TaskManager};
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master::WorkerState;
use crate::protocol::job::JobStatus;
use crate::resource::MemorySize;
use crate::time::Now;

pub(in super::super) fn overview(core: &Core) -> Value {
    let (slots, free) = core.pool().totals();
    let count = |wanted: fn(JobStatus) -> bool| core.jobs().filter(|job| wanted(job.status())).count();
    json!({
        "taskmanagers": core.task_managers().len(),
        "slots-total": slots,
        "slots-available": free,
        "jobs-running": count(|status| !status.is_globally_terminal()),
        "jobs-finished": count(|status| status == JobStatus::Finished),
        "jobs-cancelled": count(|status| status == JobStatus::Canceled),
        "jobs-failed": count(|status| status == JobStatus::Failed),
    })
}

/// A share of a TaskManager. Its memory is one pool; Flink's names cut it up, so all of it goes under the tasks'.
fn resource(slots: u32, memory: MemorySize) -> Value {
    json!({
        "cpuCores": f64::from(slots),
        "taskHeapMemory": memory.mebibytes(),
        "taskOffHeapMemory": 0,
        "managedMemory": 0,
        "networkMemory": 0,
        "extendedResources": {},
    })
}

fn share(task_manager: &TaskManager, slots: u32) -> Value {
    let register = &task_manager.register;
    let bytes = register.memory.bytes() / u64::from(register.slots.max(1)) * u64::from(slots);
    resource(slots, MemorySize::from_bytes(bytes))
}

pub(in super::super) fn task_manager(core: &Core, id: &TaskManagerId, now: Now) -> Value {
    let (Some(task_manager), Some(offer)) = (core.task_managers().get(id), core.pool().offer(id)) else {
        return Value::Null;
    };
    let register = &task_manager.register;
    let seen = task_manager.away.as_ref().map_or(now, |(since, _)| *since);
    let total = register.memory.bytes();
    json!({
        "id": id,
        "path": format!("http://{}", register.http_address),
        "dataPort": data_port(core, id),
        "jmxPort": -1,
        "timeSinceLastHeartbeat": seen.as_millis(),
        "slotsNumber": offer.slots,
        "freeSlots": offer.free(),
        "totalResource": share(task_manager, offer.slots),
        "freeResource": share(task_manager, offer.free()),
        "hardware": {
            "cpuCores": register.cores,
            "physicalMemory": total,
            "freeMemory": total,
            "managedMemory": 0,
        },
        "memoryConfiguration": {
            "frameworkHeap": 0,
            "taskHeap": total,
            "frameworkOffHeap": 0,
            "taskOffHeap": 0,
            "networkMemory": 0,
            "managedMemory": 0,
            "jvmMetaspace": 0,
            "jvmOverhead": 0,
            "totalFlinkMemory": total,
            "totalProcessMemory": total,
        },
    })
}

/// Of the first job that has a worker there; -1 if none.
fn data_port(core: &Core, id: &TaskManagerId) -> i64 {
    let address = |job: &Job| {
        let (_, place) = job.master()?.workers().places().find(|(at, _)| *at == id)?;
        match &place.worker {
            WorkerState::Ready { data_address, .. } => data_address.rsplit_once(':')?.1.parse().ok(),
            WorkerState::Absent | WorkerState::Starting { .. } | WorkerState::Leaving { .. } => None,
        }
    };
    core.jobs().find_map(address).unwrap_or(-1)
}

pub(in super::super) fn task_manager_details(core: &Core, id: &TaskManagerId, now: Now) -> Value {
    let mut details = task_manager(core, id, now);
    let (Some(task_manager), Some(offer)) = (core.task_managers().get(id), core.pool().offer(id)) else {
        return details;
    };
    let slots = offer.granted.iter().flat_map(|(job, count)| {
        std::iter::repeat_n(json!({ "jobId": job, "resource": share(task_manager, 1) }), *count as usize)
    });
    details["allocatedSlots"] = slots.collect();
    details["metrics"] = metrics(task_manager);
    details
}

/// Names of the JVM's that the dashboard wants; nothing here is measured yet.
fn metrics(task_manager: &TaskManager) -> Value {
    let total = task_manager.register.memory.bytes();
    json!({
        "heapUsed": 0, "heapCommitted": total, "heapMax": total,
        "nonHeapUsed": 0, "nonHeapCommitted": 0, "nonHeapMax": -1,
        "directCount": 0, "directUsed": 0, "directMax": 0,
        "mappedCount": 0, "mappedUsed": 0, "mappedMax": 0,
        "memorySegmentsAvailable": 0, "memorySegmentsTotal": 0,
        "nettyShuffleMemorySegmentsAvailable": 0, "nettyShuffleMemorySegmentsUsed": 0,
        "nettyShuffleMemorySegmentsTotal": 0,
        "nettyShuffleMemoryAvailable": 0, "nettyShuffleMemoryUsed": 0, "nettyShuffleMemoryTotal": 0,
        "garbageCollectors": [{ "name": "All", "count": 0, "time": 0 }],
    })
}
