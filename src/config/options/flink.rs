//! Flink's keys that have their effect here.

use super::options;
use crate::config::Kind::{
    Count, Duration, Flag, Integer, List, Map, Memory, Number, OneOf, Port, Ports, ProcessMemory, Share, Text,
};

options! { honoured: true;
    // Addresses
    JOBMANAGER_RPC_ADDRESS: Text, "jobmanager.rpc.address" = "127.0.0.1",
        "Host of the standalone JobManager, for TaskManagers and clients.";
    JOBMANAGER_RPC_PORT: Port, "jobmanager.rpc.port" = "6123",
        "Port of the standalone JobManager's links.";
    JOBMANAGER_BIND_HOST: Text, "jobmanager.bind-host" = "127.0.0.1",
        "Interface the JobManager listens on; any but loopback demands cluster.secret.";
    TASKMANAGER_BIND_HOST: Text, "taskmanager.bind-host" = "127.0.0.1",
        "Interface the TaskManager and its workers listen on; any but loopback demands cluster.secret.";
    TASKMANAGER_HOST: Text, "taskmanager.host",
        "Host that others reach this TaskManager at; by default the interface it listens on.";
    TASKMANAGER_DATA_PORT: Ports, "taskmanager.data.port" = "0",
        "Ports of workers for data from other workers.";
    TASKMANAGER_RESOURCE_ID: Text, "taskmanager.resource-id",
        "Name of this TaskManager; by default host:port and a random word.";
    REST_ADDRESS: Text, "rest.address",
        "Where clients find the JobManager's REST API; by default jobmanager.rpc.address." aka ["jobmanager.web.address"];
    REST_PORT: Port, "rest.port" = "8081",
        "Port of the JobManager's REST API and web UI." aka ["web.port", "jobmanager.web.port"];
    REST_BIND_PORT: Ports, "rest.bind-port",
        "Ports the JobManager's REST API tries in turn; by default rest.port.";
    REST_BIND_ADDRESS: Text, "rest.bind-address",
        "Interface of the REST API; by default jobmanager.bind-host; any but loopback demands cluster.secret."
        aka ["web.address"];
    HEARTBEAT_INTERVAL: Duration, "heartbeat.interval" = "1 s",
        "A process that has sent nothing for so long shows that it lives.";
    HEARTBEAT_TIMEOUT: Duration, "heartbeat.timeout" = "5 s",
        "A process that has sent nothing for so long counts as frozen.";
    CLIENT_TIMEOUT: Duration, "client.timeout" = "60 s",
        "How long the command line waits for an answer.";

    // Resources
    TASKMANAGER_SLOTS: Count, "taskmanager.numberOfTaskSlots" = "1",
        "Slots of a TaskManager.";
    PARALLELISM_DEFAULT: Count, "parallelism.default" = "1",
        "Parallelism of jobs that do not say.";
    TASKMANAGER_MEMORY: ProcessMemory, "taskmanager.memory.process.size" = "1gb",
        "Memory of a TaskManager with its workers: the size of its container."
        aka ["taskmanager.memory.flink.size", "taskmanager.heap.size", "taskmanager.heap.mb"];
    MANAGED_MEMORY_SIZE: Memory, "taskmanager.memory.managed.size",
        "Of that, what the states of backend disk may have in memory; by default a share.";
    MANAGED_MEMORY_FRACTION: Share, "taskmanager.memory.managed.fraction" = "0.4",
        "The share, unless the size is set.";
    JOBMANAGER_MEMORY: ProcessMemory, "jobmanager.memory.process.size" = "256mb",
        "Memory of a JobManager: the size of its container."
        aka ["jobmanager.memory.flink.size", "jobmanager.heap.size", "jobmanager.heap.mb"];
    SLOTS_MAX: Count, "slotmanager.number-of-slots.max",
        "Most slots a JobManager asks for; by default as many as its jobs want.";
    TASKMANAGER_TIMEOUT: Duration, "resourcemanager.taskmanager-timeout" = "30 s",
        "A TaskManager without work for so long is given back." aka ["slotmanager.taskmanager-timeout"];
    REGISTRATION_TIMEOUT: Duration, "taskmanager.registration.timeout" = "5 min",
        "A TaskManager in a container whose JobManager is gone waits so long for the next one." aka ["taskmanager.maxRegistrationDuration"];
    PREVIOUS_WORKER_TIMEOUT: Duration, "resourcemanager.previous-worker.recovery.timeout" = "3 s",
        "A JobManager waits so long for the TaskManagers of the one before it, then asks for others.";
    JOBSTORE_MAX_CAPACITY: Count, "jobstore.max-capacity" = "1000",
        "Ended jobs that a JobManager remembers; older ones are forgotten.";
    SLOT_REQUEST_TIMEOUT: Duration, "slot.request.timeout" = "5 min",
        "A job that waits for slots for so long fails.";
    TMP_DIRS: List, "io.tmp.dirs",
        "Directories for temporary files; by default the system's, in a container the container's."
        aka ["taskmanager.tmp.dirs"];
    LOG_DIR: Text, "env.log.dir",
        "Where daemons started by scripts write their logs.";
    PID_DIR: Text, "env.pid.dir",
        "Where scripts keep the process ids of daemons.";

    // Jobs
    STATE_BACKEND: OneOf(&["hashmap", "disk", "rocksdb", "forst", "filesystem", "jobmanager"]), "state.backend.type" = "hashmap",
        "Where keyed state lives: hashmap in memory, disk (rocksdb and forst mean the same) also beyond it." aka ["state.backend"];
    EXECUTION_TARGET: Text, "execution.target",
        "Where flott run submits to: yarn-per-job, yarn-application, yarn-session, remote, local.";
    EXECUTION_ATTACHED: Flag, "execution.attached" = "false",
        "Whether the client waits for the job; flott run sets it unless -d is given.";
    EXECUTION_RUNTIME_MODE: OneOf(&["streaming", "batch", "automatic"]), "execution.runtime-mode",
        "Streaming, batch, or batch if every source is bounded; by default as the program says.";
    PIPELINE_NAME: Text, "pipeline.name",
        "Name of the job; by default as the program says.";
    PIPELINE_MAX_PARALLELISM: Integer, "pipeline.max-parallelism" = "-1",
        "Number of key groups, the limit of rescaling; -1 derives it.";
    PIPELINE_CHAINING: Flag, "pipeline.operator-chaining.enabled" = "true",
        "Whether operators that can be are run in one task." aka ["pipeline.operator-chaining"];
    PIPELINE_AUTO_WATERMARK_INTERVAL: Duration, "pipeline.auto-watermark-interval" = "200 ms",
        "How often watermarks are generated.";
    PIPELINE_GLOBAL_JOB_PARAMETERS: Map, "pipeline.global-job-parameters",
        "Parameters of the job, shown in the web UI.";
    EXECUTION_BUFFER_TIMEOUT: Duration, "execution.buffer-timeout.interval" = "5 ms",
        "A record leaves its task after so long at the latest; 0 at once, -1 when its batch is full."
        aka ["execution.buffer-timeout"];
    CHECKPOINTING_INTERVAL: Duration, "execution.checkpointing.interval",
        "How often checkpoints are taken; by default never.";
    CHECKPOINTING_TIMEOUT: Duration, "execution.checkpointing.timeout" = "10 min",
        "A checkpoint that takes longer is given up.";
    CHECKPOINTING_MIN_PAUSE: Duration, "execution.checkpointing.min-pause" = "0 ms",
        "Pause between two checkpoints, at least.";
    CHECKPOINTING_TOLERABLE: Integer, "execution.checkpointing.tolerable-failed-checkpoints",
        "Failed checkpoints in a row that a job survives; by default any number.";
    CHECKPOINTING_RETENTION: OneOf(&[
        "delete_on_cancellation", "retain_on_cancellation", "no_externalized_checkpoints",
    ]), "execution.checkpointing.externalized-checkpoint-retention" = "no_externalized_checkpoints",
        "Whether a job that is cancelled or fails leaves its checkpoints.";
    CHECKPOINTING_NUM_RETAINED: Count, "execution.checkpointing.num-retained" = "1",
        "Complete checkpoints that are kept; with more than one, a job whose latest is damaged goes back to the one before." aka ["state.checkpoints.num-retained"];
    CHECKPOINTING_DIR: Text, "execution.checkpointing.dir",
        "Where checkpoints go, a directory a job; every node must reach it. By default below flott.storage.dir."
        aka ["state.checkpoints.dir"];
    SAVEPOINT_DIR: Text, "execution.checkpointing.savepoint-dir",
        "Where savepoints go that name no directory." aka ["state.savepoints.dir"];
    RECOVERY_PATH: Text, "execution.state-recovery.path",
        "Checkpoint or savepoint that the job starts from." aka ["execution.savepoint.path"];
    RECOVERY_IGNORE_UNCLAIMED: Flag, "execution.state-recovery.ignore-unclaimed-state" = "false",
        "Whether state of operators that the job no longer has is dropped." aka ["execution.savepoint.ignore-unclaimed-state"];
    RECOVERY_CLAIM_MODE: OneOf(&["no_claim", "claim"]), "execution.state-recovery.claim-mode" = "no_claim",
        "Whether the checkpoint or savepoint that a job starts from becomes its own, to be removed as its other ones are."
        aka ["execution.savepoint-restore-mode"];
    TASK_CANCELLATION_TIMEOUT: Duration, "task.cancellation.timeout" = "3 min",
        "A worker whose tasks do not stop within so long is killed.";

    // Restarts
    RESTART_STRATEGY_TYPE: OneOf(&[
        "none", "off", "disable", "fixed-delay", "fixeddelay", "failure-rate", "failurerate", "exponential-delay",
        "exponentialdelay",
    ]), "restart-strategy.type",
        "What follows a failure; by default none without checkpoints, exponential-delay with." aka ["restart-strategy"];
    FIXED_DELAY_ATTEMPTS: Integer, "restart-strategy.fixed-delay.attempts" = "1",
        "Restarts until the job fails.";
    FIXED_DELAY_DELAY: Duration, "restart-strategy.fixed-delay.delay" = "1 s",
        "Pause before a restart.";
    FAILURE_RATE_MAX: Integer, "restart-strategy.failure-rate.max-failures-per-interval" = "1",
        "Failures within the interval that a job survives.";
    FAILURE_RATE_INTERVAL: Duration, "restart-strategy.failure-rate.failure-rate-interval" = "1 min",
        "The interval.";
    FAILURE_RATE_DELAY: Duration, "restart-strategy.failure-rate.delay" = "1 s",
        "Pause before a restart.";
    EXPONENTIAL_DELAY_INITIAL: Duration, "restart-strategy.exponential-delay.initial-backoff" = "1 s",
        "First pause before a restart.";
    EXPONENTIAL_DELAY_MAX: Duration, "restart-strategy.exponential-delay.max-backoff" = "1 min",
        "Longest pause before a restart.";
    EXPONENTIAL_DELAY_MULTIPLIER: Number, "restart-strategy.exponential-delay.backoff-multiplier" = "1.5",
        "By how much the pause grows with each failure.";
    EXPONENTIAL_DELAY_RESET: Duration, "restart-strategy.exponential-delay.reset-backoff-threshold" = "1 h",
        "After so long without failure the pause is the first one again.";
    EXPONENTIAL_DELAY_JITTER: Share, "restart-strategy.exponential-delay.jitter-factor" = "0.1",
        "Share of the pause that is random.";
    EXPONENTIAL_DELAY_ATTEMPTS: Text, "restart-strategy.exponential-delay.attempts-before-reset-backoff" = "infinite",
        "Restarts until the job fails, counted since the last reset; a number or infinite.";

    // Applications
    YARN_APPLICATION_ID: Text, "yarn.application.id",
        "The session that flott run -t yarn-session submits to.";
    YARN_APPLICATION_NAME: Text, "yarn.application.name",
        "Name of the application; by default the program's.";
    YARN_APPLICATION_QUEUE: Text, "yarn.application.queue" = "root.default",
        "Queue that the application is submitted to.";
    YARN_APPLICATION_ATTEMPTS: Count, "yarn.application-attempts",
        "How often the application's master is started at most; by default as the ResourceManager says.";
    YARN_CONTAINERS_VCORES: Integer, "yarn.containers.vcores" = "-1",
        "Virtual cores of a TaskManager's container; -1 takes one a slot.";
    YARN_SHIP_FILES: List, "yarn.ship-files",
        "Files to ship along with the program.";
    YARN_TAGS: List, "yarn.tags",
        "Tags of the application.";

    // Object stores
    S3_ENDPOINT: Text, "s3.endpoint",
        "Address of the object store behind s3:// places, http:// or https://; by default AWS_ENDPOINT_URL, else Amazon's of the region.";
    S3_REGION: Text, "s3.region",
        "Region of the buckets; by default AWS_REGION, else us-east-1." aka ["s3.endpoint.region"];
    S3_PATH_STYLE_ACCESS: Flag, "s3.path.style.access",
        "Whether a bucket's name stands in the path of requests rather than in the host; by default with s3.endpoint."
        aka ["s3.path-style-access"];
    S3_ACCESS_KEY: Text, "s3.access-key",
        "Access key for s3:// places, set on each machine and never by a job; by default AWS_ACCESS_KEY_ID, else the machine's role."
        aka ["s3.access.key"];
    S3_SECRET_KEY: Text, "s3.secret-key",
        "The access key's secret, set beside it." aka ["s3.secret.key"];

    // Web
    ARCHIVE_DIR: Text, "jobmanager.archive.fs.dir",
        "Where JobManagers of applications archive jobs that have ended and the ResourceManager finds them; by default history below flott.storage.dir." aka ["historyserver.archive.fs.dir"];
    LOG_AGGREGATION: Flag, "yarn.log-aggregation-enable" = "true",
        "Whether nodes collect what containers have written when they have ended, so that it outlives the node.";
    LOG_AGGREGATION_DIR: Text, "yarn.nodemanager.remote-app-log-dir",
        "Where nodes collect it and the ResourceManager finds it; by default logs below flott.storage.dir.";
    ENV_WHITELIST: Text, "yarn.nodemanager.env-whitelist" = "",
        "Variables of the NodeManager's own environment that its containers get, separated by commas, such as AWS_ACCESS_KEY_ID.";
    LOG_AGGREGATION_RETAIN_SECONDS: Integer, "yarn.log-aggregation.retain-seconds" = "604800",
        "How long collected logs of an application are kept; -1 keeps them for ever.";
    ARCHIVE_RETAINED_JOBS: Integer, "historyserver.archive.retained-jobs" = "1000",
        "Ended jobs whose archives the ResourceManager keeps, the newest; -1 keeps all.";
    ARCHIVE_RETAINED_TTL: Duration, "historyserver.archive.retained-ttl" = "7 d",
        "How long the ResourceManager keeps archives of ended jobs; 0 keeps them for ever.";
    WEB_REFRESH_INTERVAL: Duration, "web.refresh-interval" = "3 s",
        "How often the web UI asks for news.";
    WEB_EXCEPTION_HISTORY_SIZE: Integer, "web.exception-history-size" = "16",
        "Failures that are remembered per job.";
    WEB_SUBMIT_ENABLE: Flag, "web.submit.enable" = "true",
        "Whether programs may be uploaded and run over HTTP: by the web UI, and by flott run at a session or standalone cluster.";
    REST_MAX_CONTENT_LENGTH: Memory, "rest.server.max-content-length" = "2gb",
        "Largest program that a JobManager takes over HTTP.";
    WEB_UPLOAD_MAX_COUNT: Count, "web.upload.max-count" = "1000",
        "Uploaded programs that are kept; who brings one more is asked to delete one.";
    WEB_CANCEL_ENABLE: Flag, "web.cancel.enable" = "true",
        "Whether the web UI may cancel jobs.";
}
