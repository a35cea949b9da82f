//! Flink's keys that are taken, checked and not read yet. A key moves to `flink.rs` with the code that reads it.

use super::options;
use crate::config::Kind::{Duration, Flag, Integer, List, Map, Memory, OneOf, Ports, Share, Text};

options! { honoured: false;
    REST_URL_PREFIX: Text, "rest.url-prefix" = "/", "Prefix of the REST API's paths.";
    REST_RETRY_MAX_ATTEMPTS: Integer, "rest.retry.max-attempts" = "20", "Tries of a client's request.";
    REST_RETRY_DELAY: Duration, "rest.retry.delay" = "3 s", "Pause between tries.";
    REST_ASYNC_STORE_DURATION: Duration, "rest.async.store-duration" = "5 min", "How long results of savepoints can be asked for.";
    TASKMANAGER_RPC_PORT: Ports, "taskmanager.rpc.port" = "0", "Port of the TaskManager.";
    NETWORK_MEMORY_FRACTION: Share, "taskmanager.memory.network.fraction" = "0.1", "Share of network buffers."
        aka ["taskmanager.network.memory.fraction"];
    NETWORK_MEMORY_MIN: Memory, "taskmanager.memory.network.min" = "64mb", "Least memory of network buffers."
        aka ["taskmanager.network.memory.min"];
    NETWORK_MEMORY_MAX: Memory, "taskmanager.memory.network.max", "Most memory of network buffers."
        aka ["taskmanager.network.memory.max"];
    SLOT_IDLE_TIMEOUT: Duration, "slot.idle.timeout" = "50 s",
        "A slot that its job does not use for so long goes back.";
    SLOTS_MIN: Integer, "slotmanager.number-of-slots.min" = "0", "Slots that are kept even if idle.";
    LOAD_BALANCE_MODE: OneOf(&["none", "slots", "tasks"]), "taskmanager.load-balance.mode" = "none", "How tasks are spread.";
    EXTERNAL_RESOURCES: List, "external-resources", "Names of further resources.";
    PROCESS_WORKING_DIR: Text, "process.working-dir", "Working directory that survives restarts.";
    PIPELINE_OBJECT_REUSE: Flag, "pipeline.object-reuse" = "false", "Needless here: records move, they are not copied.";
    PIPELINE_JARS: List, "pipeline.jars", "Programs are executables here.";
    PIPELINE_CLASSPATHS: List, "pipeline.classpaths", "Programs are executables here.";
    PARALLELISM_OVERRIDES: Map, "pipeline.jobvertex-parallelism-overrides", "Parallelism by vertex.";
    UNALIGNED_SOURCE_SPLITS: Flag, "pipeline.watermark-alignment.allow-unaligned-source-splits" = "false",
        "Alignment of splits.";
    BATCH_SHUFFLE_MODE: Text, "execution.batch-shuffle-mode" = "ALL_EXCHANGES_BLOCKING", "Exchanges of batch jobs.";
    SCHEDULER: OneOf(&["default", "adaptive", "adaptivebatch"]), "jobmanager.scheduler" = "default", "Scheduler of tasks.";
    SCHEDULER_MODE: Text, "scheduler-mode", "REACTIVE rescales with the cluster.";
    FAILOVER_STRATEGY: OneOf(&["region", "full"]), "jobmanager.execution.failover-strategy" = "region",
        "What is restarted after a failure.";
    CHECKPOINTING_MODE: OneOf(&["exactly_once", "at_least_once"]), "execution.checkpointing.mode" = "exactly_once",
        "What a restore guarantees.";
    CHECKPOINTING_CONCURRENT: Integer, "execution.checkpointing.max-concurrent-checkpoints" = "1", "Checkpoints in flight.";
    CHECKPOINTING_STORAGE: Text, "execution.checkpointing.storage", "Kind of checkpoint storage."
        aka ["state.checkpoint-storage"];
    CHECKPOINTING_INCREMENTAL: Flag, "execution.checkpointing.incremental" = "false", "Only what changed."
        aka ["state.backend.incremental"];
    CHECKPOINTING_INLINE: Memory, "execution.checkpointing.data-inline-threshold" = "20kb", "Smaller state goes into the manifest."
        aka ["state.storage.fs.memory-threshold"];
    CHECKPOINTING_UNALIGNED: Flag, "execution.checkpointing.unaligned.enabled" = "false", "Barriers overtake records."
        aka ["execution.checkpointing.unaligned"];
    CHECKPOINTING_ALIGNED_TIMEOUT: Duration, "execution.checkpointing.aligned-checkpoint-timeout" = "0 ms",
        "Aligned at first, then unaligned." aka ["execution.checkpointing.alignment-timeout"];
    RECOVERY_FROM_LOCAL: Flag, "execution.state-recovery.from-local" = "false", "Restore from the node's own copy."
        aka ["state.backend.local-recovery"];
    CANCELLATION_INTERVAL: Duration, "task.cancellation.interval" = "30 s", "Pause between reminders to stop.";
    HIGH_AVAILABILITY: Text, "high-availability.type" = "NONE", "Service for leader election."
        aka ["high-availability", "recovery.mode"];
    CLUSTER_ID: Text, "cluster.id", "Name of the cluster.";
    EVENLY_SPREAD: Flag, "cluster.evenly-spread-out-slots" = "false", "Replaced by taskmanager.load-balance.mode.";
    FINE_GRAINED: Flag, "cluster.fine-grained-resource-management.enabled" = "false", "Slot profiles per operator.";
    YARN_NODE_LABEL: Text, "yarn.application.node-label", "Only nodes with this label.";
    YARN_PROVIDED_LIB_DIRS: List, "yarn.provided.lib.dirs", "Needless here: programs are whole.";
    WEB_RESCALE_ENABLE: Flag, "web.rescale.enable" = "true", "Whether the web UI may rescale jobs.";
    WEB_CHECKPOINTS_HISTORY: Integer, "web.checkpoints.history" = "10", "Checkpoints that are remembered per job.";
    WEB_UPLOAD_DIR: Text, "web.upload.dir", "Where uploaded programs go.";
    WEB_ALLOW_ORIGIN: Text, "web.access-control-allow-origin" = "*", "Other sites that may read.";
    WEB_TIMEOUT: Duration, "web.timeout" = "10 min", "How long the web UI waits.";
    METRICS_LATENCY_INTERVAL: Duration, "metrics.latency.interval" = "0 ms", "How often latency is measured; 0 never.";
    METRICS_FETCHER_INTERVAL: Duration, "metrics.fetcher.update-interval" = "10 s", "Freshness of metrics.";
    METRICS_REPORTERS: List, "metrics.reporters", "Names of the reporters to start.";
}
