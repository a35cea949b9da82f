//! Keys of our own: the ResourceManager, the NodeManager, the cluster, the program.

use super::options;
use crate::config::Kind::{Count, Duration, Flag, Map, Memory, Port, Share, Text};

options! { honoured: true;
    RESOURCEMANAGER_ADDRESS: Text, "resourcemanager.address" = "127.0.0.1",
        "Host of the ResourceManager, for nodes, application masters and clients.";
    RESOURCEMANAGER_PORT: Port, "resourcemanager.port" = "8088",
        "Port of the ResourceManager: links, REST API and web UI; 0 takes a free one.";
    RESOURCEMANAGER_BIND_HOST: Text, "resourcemanager.bind-host" = "127.0.0.1",
        "Interface the ResourceManager listens on; any but loopback demands protection (security.dir).";
    RESOURCEMANAGER_STATE_DIR: Text, "resourcemanager.state-dir",
        "Where the ResourceManager keeps applications and uploads over restarts; by default below the temporary directory.";
    RESOURCEMANAGER_MINIMUM_ALLOCATION_MEMORY: Memory, "resourcemanager.scheduler.minimum-allocation.memory" = "64mb",
        "Smallest container; requests are rounded up to multiples of it.";
    RESOURCEMANAGER_QUEUES_FILE: Text, "resourcemanager.scheduler.queues-file",
        "The tree of queues, as conf/queues.yaml; without one there is one queue, root.default. `flott queue apply` replaces it at run time.";
    NODEMANAGER_RACK: Text, "nodemanager.rack",
        "Rack of the node, /name; by default all nodes are in one rack.";
    NODEMANAGER_LABEL: Text, "nodemanager.label",
        "Label of the node: it belongs to the part of the cluster that has it.";
    RESOURCEMANAGER_NODE_EXPIRY: Duration, "resourcemanager.node-expiry" = "15 s",
        "A node not heard of for so long is lost, and its containers with it.";
    RESOURCEMANAGER_AM_EXPIRY: Duration, "resourcemanager.am-expiry" = "15 s",
        "An application master not heard of for so long is dead; its next attempt starts.";
    RESOURCEMANAGER_AM_MAX_ATTEMPTS: Count, "resourcemanager.am.max-attempts" = "2",
        "How often an application's master is started at most.";
    RESOURCEMANAGER_AM_SHARE: Share, "resourcemanager.am.share" = "0.5",
        "Share of a queue that application masters may take together.";
    RESOURCEMANAGER_UPLOADS_ENABLED: Flag, "resourcemanager.uploads.enabled" = "true",
        "Whether programs may be uploaded to the ResourceManager.";
    RESOURCEMANAGER_UPLOADS_RETENTION: Duration, "resourcemanager.uploads.retention" = "24 h",
        "An upload that no running application names is deleted when it has not been used for so long.";
    RESOURCEMANAGER_UPLOADS_MAX_SIZE: Memory, "resourcemanager.uploads.max-size" = "32gb",
        "All uploads together; those that no running application names go earlier when they take most of it.";
    NODEMANAGER_HOST: Text, "nodemanager.host",
        "Host that others reach this node at; by default the interface it listens on.";
    NODEMANAGER_PORT: Port, "nodemanager.port" = "8042",
        "Port of the NodeManager; 0 takes a free one.";
    NODEMANAGER_BIND_HOST: Text, "nodemanager.bind-host" = "127.0.0.1",
        "Interface the NodeManager listens on; any but loopback demands protection (security.dir).";
    NODEMANAGER_DIR: Text, "nodemanager.dir",
        "Where the NodeManager keeps its cache, its containers' directories and logs; by default below the temporary directory.";
    NODEMANAGER_CACHE_TARGET_SIZE: Memory, "nodemanager.localizer.cache.target-size" = "10gb",
        "The NodeManager deletes what nobody uses, and nobody has for longest, while its shared cache is larger.";
    NODEMANAGER_MEMORY: Memory, "nodemanager.memory",
        "Memory the node offers; by default all it has.";
    NODEMANAGER_VCORES: Count, "nodemanager.vcores",
        "Virtual cores the node offers; by default its cores, at least 8.";
    NODEMANAGER_RESOURCES: Map, "nodemanager.resources",
        "Other countable resources the node offers, e.g. yarn.io/gpu:2,licence:5.";
    CLUSTER_SECRET: Text, "cluster.secret",
        "Who knows it may join as a node or TaskManager; the same on all machines.";
    CLUSTER_SECRET_FILE: Text, "cluster.secret.file",
        "File that holds cluster.secret.";
    SECURITY_DIR: Text, "security.dir",
        "Directory of `flott security init`: TLS, the cluster's secret and tokens in one; the keys below and cluster.secret go before it.";
    SECURITY_TLS_ENABLED: Flag, "security.tls.enabled",
        "Whether REST, links and data go over TLS; by default where security.tls.ca is set or ca.pem lies in security.dir.";
    SECURITY_TLS_CA: Text, "security.tls.ca",
        "PEM file of the authority that signs the certificates of the cluster's members.";
    SECURITY_TLS_CERTIFICATE: Text, "security.tls.certificate",
        "PEM file of this machine's certificate, for its daemons and what they start.";
    SECURITY_TLS_KEY: Text, "security.tls.key",
        "PEM file of the certificate's key.";
    SECURITY_TLS_NAME: Text, "security.tls.name" = "flott.cluster",
        "DNS name that every member's certificate carries; who shows another is none.";
    SECURITY_TOKEN_ADMIN_FILE: Text, "security.token.admin.file",
        "File of the tokens that allow everything, one a line. Where there are tokens, nobody is answered without.";
    SECURITY_TOKEN_READ_FILE: Text, "security.token.read.file",
        "File of the tokens that allow to look, one a line.";
    SECURITY_TOKEN_FILE: Text, "security.token.file",
        "File of the token that flott's commands show; the variable FLOTT_TOKEN holds one itself.";
    STORAGE_DIR: Text, "flott.storage.dir",
        "Where applications keep what must outlive them; reachable from every node; by default below the temporary directory.";
    PROGRAM_PLAN_TIMEOUT: Duration, "program.plan.timeout" = "60 s",
        "How long a program may take until it calls execute.";
    PROGRAM_PLAN_MEMORY: Memory, "program.plan.memory" = "1gb",
        "How much memory a program may take while it is planned.";
    CLIENT_POLL_INTERVAL: Duration, "client.poll.interval" = "200 ms",
        "How often an attached client asks how the job stands.";
}
