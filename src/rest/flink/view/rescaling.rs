//! Changes of a job's parallelism.

use serde_json::{Value, json};

use crate::jobmanager::job_master::{JobMaster, RescaleRecord};
use crate::time::Now;

/// The latest ones, oldest first. The keys are our own, but for the cause's.
pub(in crate::rest::flink) fn rescales(master: &JobMaster, now: Now) -> Value {
    let name = |id| master.graph().vertex_index(id).map(|at| master.graph().vertices[at].name.as_str());
    let record = |record: &RescaleRecord| {
        let vertices = record.before.iter().map(
            |(id, before)| json!({ "id": id, "name": name(*id), "before": before, "after": record.after.get(id) }),
        );
        let until = record.ended.unwrap_or(now);
        json!({
            "number": record.number,
            "triggerCause": "UPDATE_REQUIREMENT",
            "status": record.status,
            "requested": record.requested,
            "ended": record.ended,
            "duration": until.since(record.requested).as_millis() as u64,
            "downtime": record.stopped.map_or(0, |stopped| until.since(stopped).as_millis() as u64),
            "vertices": vertices.collect::<Value>(),
            "failure": record.failure,
        })
    };
    json!({ "rescales": master.rescales().map(record).collect::<Value>() })
}
