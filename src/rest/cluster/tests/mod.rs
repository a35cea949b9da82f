//! The interface over a real ResourceManager: its store, its links, on loopback.

mod edges;
mod history;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Configuration, ResourceManagerConfig};
use crate::ids::{ApplicationId, NodeId};
use crate::protocol::container::{ContainerState, ContainerStatus, Exit, ExitCause};
use crate::protocol::node::{self, Platform, ToNode};
use crate::protocol::tokens::ContainerTokenIdentifier;
use crate::resource::Resource;
use crate::resourcemanager;
use crate::rpc::http::Server;
use crate::rpc::link::{LinkEvent, LinkOptions, LinkReceiver, LinkSender, LinkTarget, open};
use crate::rpc::token::Token;
use crate::time::SystemClock;

const PATIENCE: Duration = Duration::from_secs(20);

struct Cluster {
    address: String,
    http: reqwest::Client,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

fn config(dir: &Path) -> ResourceManagerConfig {
    let mut config = ResourceManagerConfig::from_configuration(&Configuration::default()).unwrap();
    config.state_dir = dir.to_owned();
    config.archive_dir = dir.join("history");
    config.am_share = 1.0;
    config
}

impl Cluster {
    async fn start(dir: &Path) -> Self {
        Self::with(config(dir)).await
    }

    async fn with(config: ResourceManagerConfig) -> Self {
        let server = Server::bind("127.0.0.1", 0).unwrap();
        let address = server.local_addr().to_string();
        let started = resourcemanager::start(&config, &address, SystemClock::shared()).unwrap();
        let router = super::router(started.handle).merge(started.links);
        let (cancel, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let (serving, running) = (cancel.clone(), cancel.clone());
        tasks.spawn(async move { server.serve(router, serving).await.unwrap() });
        tasks.spawn(async move { started.service.run(running).await.unwrap() });
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(crate::rpc::Tls::OFF.request_config())
            .build()
            .unwrap();
        Self { address, http, cancel, tasks }
    }

    async fn stop(mut self) {
        self.cancel.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("http://{}{path}", self.address)).timeout(PATIENCE);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, &format!("/ws/v1/cluster{path}"), None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::POST, &format!("/ws/v1/cluster{path}"), Some(body)).await
    }

    async fn submit(&self, change: impl FnOnce(&mut Value)) -> String {
        let (status, new) = self.post("/apps/new-application?user.name=alice", json!(null)).await;
        assert_eq!(status, StatusCode::OK, "{new}");
        let id = new["application-id"].as_str().unwrap().to_owned();
        assert!(new["maximum-resource-capability"]["memory"].as_u64().unwrap() > 0);
        let mut context = json!({
            "application-id": id, "application-name": "word count", "application-type": "FLOTT",
            "am-container-spec": { "commands": { "command": "true" } },
            "resource": { "memory": 256, "vCores": 1 },
        });
        change(&mut context);
        let (status, answer) = self.post("/apps?user.name=alice", context).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        id
    }

    /// Long-polls until `done`.
    async fn app_when(&self, id: &str, done: impl Fn(&Value) -> bool) -> Value {
        let mut since = 0;
        for _ in 0..100 {
            let app = self.get(&format!("/apps/{id}?wait_ms=5000&since={since}")).await["app"].clone();
            if done(&app) {
                return app;
            }
            since = app["version"].as_u64().unwrap();
        }
        panic!("{id} did not come that far");
    }
}

/// A node that does what its link says, as far as the test says.
struct FakeNode {
    id: NodeId,
    events: LinkReceiver<node::Register, node::Registered, ToNode>,
    link: LinkSender<node::ToResourceManager>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl FakeNode {
    fn join(cluster: &Cluster, memory_mb: u64, containers: Vec<ContainerStatus>, secret: Option<&str>) -> Self {
        let id = NodeId::new("n1", 8042);
        let hello = node::Register {
            node: id.clone(),
            http_address: "n1:8042".to_owned(),
            capability: Resource::new(memory_mb, 8),
            rack: None,
            label: None,
            incarnation: 1,
            containers,
            applications: Vec::new(),
            platform: Platform::default(),
            secret: secret.map(str::to_owned),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let (cancel, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let target = LinkTarget::new(&cluster.address, node::PATH);
        let (link, events) = open(&mut tasks, target, &hello, LinkOptions::new("node"), cancel.clone());
        Self { id, events, link, cancel, tasks }
    }

    async fn next(&mut self) -> LinkEvent<node::Registered, ToNode> {
        tokio::time::timeout(PATIENCE, self.events.next()).await.unwrap().unwrap()
    }

    async fn start_container(&mut self) -> (ContainerTokenIdentifier, Token) {
        loop {
            if let LinkEvent::Message(ToNode::StartContainer(start)) = self.next().await {
                let claim = serde_json::from_slice(&start.token.identifier).unwrap();
                assert!(start.context.environment.contains_key("FLOTT_RESOURCE_MANAGER"));
                return (claim, start.context.tokens["AMRM"].clone());
            }
        }
    }

    fn report(&self, claim: &ContainerTokenIdentifier, state: ContainerState, cause: Option<ExitCause>) {
        let status = ContainerStatus {
            container: claim.container,
            state,
            resource: claim.resource.clone(),
            priority: 0,
            exit: cause.map(|cause| Exit { cause, diagnostics: String::new() }),
            stopping: false,
        };
        self.link.send(node::ToResourceManager::ContainersChanged { containers: vec![status] }).unwrap();
    }

    async fn leave(mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn bearer(token: &Token) -> String {
    use base64::Engine;
    let json = serde_json::to_vec(token).unwrap();
    format!("Bearer {}", base64::engine::general_purpose::STANDARD.encode(json))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_master_lives_its_life_over_http() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let id = cluster.submit(|_| {}).await;
    let app = cluster.app_when(&id, |app| app["state"] == "ACCEPTED").await;
    assert!(app["waitingReason"].as_str().unwrap().ends_with("no node registered"), "{app}");

    let mut node = FakeNode::join(&cluster, 1024, Vec::new(), None);
    let (claim, amrm) = node.start_container().await;
    node.report(&claim, ContainerState::Running, None);
    let attempt = claim.container.attempt;
    let register = json!({
        "attempt": attempt, "token": amrm, "host": "n1", "rpc_port": 0, "tracking_url": "http://127.0.0.1:1",
    });
    let (status, registered) = cluster.post("/application-master/register", register).await;
    assert_eq!((status, registered["queue"].as_str()), (StatusCode::OK, Some("root.default")), "{registered}");
    cluster.app_when(&id, |app| app["state"] == "RUNNING" && app["trackingUI"] == "ApplicationMaster").await;

    let call = |path: &str, body: Value| {
        let request = cluster.http.post(format!("http://{}/ws/v1/cluster/application-master/{path}", cluster.address));
        request.timeout(PATIENCE).header("Authorization", bearer(&amrm)).json(&body).send()
    };
    let ask = json!({"response_id": 0, "progress": 0.5, "asks": [
        {"priority": 1, "resource_name": "*", "capability": {"memory_mb": 100, "vcores": 1}, "count": 1},
        {"priority": 2, "resource_name": "*", "capability": {"memory_mb": 4096, "vcores": 1}, "count": 2},
    ]});
    let answer: Value = call("allocate?wait_ms=10000", ask).await.unwrap().json().await.unwrap();
    assert_eq!(answer["response_id"], 1, "{answer}");
    assert_eq!(answer["allocated"][0]["resource"]["memory_mb"], 128);
    let activities = cluster.get(&format!("/scheduler/app-activities/{id}")).await["appActivities"].clone();
    assert_eq!(
        activities["allocations"][0]["children"][0]["diagnostic"], answer["pending"][0]["reason"],
        "{activities}"
    );
    let reason = answer["pending"][0]["reason"].as_str().unwrap();
    assert_eq!(reason, "no node is large enough for 4096 MB: 1 node, the largest has 1024 MB");
    let idle: Value = call("allocate?wait_ms=1", json!({"response_id": 1})).await.unwrap().json().await.unwrap();
    assert_eq!((idle["response_id"].as_u64(), idle["allocated"].as_array().map(Vec::len)), (Some(1), Some(0)));
    let app = cluster.get(&format!("/apps/{id}")).await["app"].clone();
    assert_eq!((app["runningContainers"].as_i64(), app["allocatedMB"].as_i64()), (Some(2), Some(384)));
    assert_eq!(app["resourceRequests"][0]["numContainers"], 2);

    let done = json!({"final_status": "SUCCEEDED", "diagnostics": "counted", "tracking_url": ""});
    let answer: Value = call("finish", done).await.unwrap().json().await.unwrap();
    assert_eq!(answer, json!({"unregistered": true}));
    node.report(&claim, ContainerState::Complete, Some(ExitCause::Completed { code: 0 }));
    let app = cluster.app_when(&id, |app| app["exitCause"].is_object()).await;
    assert_eq!((app["state"].as_str(), app["finalStatus"].as_str()), (Some("FINISHED"), Some("SUCCEEDED")));
    assert_eq!(app["diagnostics"], "counted");
    assert_eq!(call("allocate", json!({"response_id": 1})).await.unwrap().status(), StatusCode::NOT_FOUND);
    node.leave().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_resource_manager_knows_what_it_acknowledged() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let first = cluster.submit(|_| {}).await;
    let mut node = FakeNode::join(&cluster, 1024, Vec::new(), None);
    let (claim, _) = node.start_container().await;
    node.report(&claim, ContainerState::Running, None);
    cluster.app_when(&first, |app| app["launchTime"].as_u64() > Some(0)).await;
    node.leave().await;
    cluster.stop().await;

    let cluster = Cluster::start(dir.path()).await;
    assert_eq!(cluster.get("/info").await["clusterInfo"]["epoch"], 1);
    let app = cluster.get(&format!("/apps/{first}")).await["app"].clone();
    assert_eq!((app["state"].as_str(), app["user"].as_str()), (Some("ACCEPTED"), Some("alice")));
    let still = ContainerStatus {
        container: claim.container,
        state: ContainerState::Running,
        resource: claim.resource.clone(),
        priority: 0,
        exit: None,
        stopping: false,
    };
    let node = FakeNode::join(&cluster, 1024, vec![still], None);
    cluster.app_when(&first, |app| app["allocatedMB"] == 256).await;
    let second = cluster.submit(|_| {}).await;
    let (first, second): (ApplicationId, ApplicationId) = (first.parse().unwrap(), second.parse().unwrap());
    assert_eq!((second.cluster_timestamp, second.sequence), (first.cluster_timestamp, first.sequence + 1));
    node.leave().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_are_answered_as_yarn_answers_them() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let id = cluster.submit(|_| {}).await;
    let path = format!("/ws/v1/cluster/apps/{id}/state");
    let put = async |user: &str, state: &str| {
        cluster.send(Method::PUT, &format!("{path}{user}"), Some(json!({ "state": state }))).await
    };
    assert_eq!(put("", "KILLED").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(put("?user.name=alice", "RUNNING").await.0, StatusCode::BAD_REQUEST);
    let (status, body) = put("?user.name=mallory", "KILLED").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(body, json!(format!("Unauthorized attempt to kill appid {id} by remote user mallory")));
    let (status, body) = put("?user.name=alice", "KILLED").await;
    assert_eq!((status, body), (StatusCode::ACCEPTED, json!({"state": "KILLING"})));
    let app = cluster.app_when(&id, |app| app["state"] == "KILLED").await;
    assert_eq!(app["diagnostics"], "killed by user alice");
    assert_eq!(put("?user.name=alice", "KILLED").await, (StatusCode::OK, json!({"state": "KILLED"})));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_yarns_shape() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let unknown = "application_1_0001";
    for (path, status, exception, part) in [
        (format!("/apps/{unknown}"), 404, "NotFoundException", format!("app with id: {unknown} not found")),
        ("/apps/nonsense".to_owned(), 400, "BadRequestException", "Invalid ApplicationId: nonsense".to_owned()),
        ("/apps?states=DONE".to_owned(), 400, "BadRequestException", "Invalid application-state DONE".to_owned()),
        ("/nodes/n9:1".to_owned(), 404, "NotFoundException", "nodeId, n9:1, is not found".to_owned()),
        ("/nodes?states=DONE".to_owned(), 400, "BadRequestException", "Invalid node-state DONE".to_owned()),
        ("/nowhere".to_owned(), 404, "NotFoundException", "null for uri".to_owned()),
    ] {
        let (got, body) = cluster.send(Method::GET, &format!("/ws/v1/cluster{path}"), None).await;
        assert_eq!(got.as_u16(), status, "{path}: {body}");
        assert_eq!(body["RemoteException"]["exception"], exception);
        assert!(body["RemoteException"]["message"].as_str().unwrap().contains(&part), "{body}");
    }
    let (status, body) = cluster.post("/apps?user.name=alice", json!({"application-id": unknown})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(cluster.post("/apps/new-application", json!(null)).await.0, StatusCode::UNAUTHORIZED);
    cluster.stop().await;
}

/// Every key of the contract is there, and a list is a list.
#[tokio::test(flavor = "multi_thread")]
async fn objects_have_the_contracts_keys() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    assert_eq!(cluster.get("/apps").await, json!({"apps": {}}));
    assert_eq!(cluster.get("/nodes").await, json!({"nodes": {}}));
    let id = cluster.submit(|_| {}).await;
    let mut node = FakeNode::join(&cluster, 1024, Vec::new(), None);
    let (claim, _) = node.start_container().await;
    node.report(&claim, ContainerState::Running, None);
    cluster.app_when(&id, |app| app["launchTime"].as_u64() > Some(0)).await;

    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let check = |value: &Value, wanted: &str| {
        let keys = keys(value);
        for key in wanted.split_whitespace() {
            assert!(keys.contains(key), "{key} is missing in {value}");
        }
    };
    check(
        &cluster.get("").await["clusterInfo"],
        "id startedOn state haState rmStateStoreName resourceManagerVersion resourceManagerBuildVersion \
         resourceManagerVersionBuiltOn hadoopVersion hadoopBuildVersion hadoopVersionBuiltOn haZooKeeperConnectionState",
    );
    check(
        &cluster.get("/metrics").await["clusterMetrics"],
        "appsSubmitted appsCompleted appsPending appsRunning appsFailed appsKilled reservedMB availableMB allocatedMB \
         pendingMB reservedVirtualCores availableVirtualCores allocatedVirtualCores pendingVirtualCores containersAllocated \
         containersReserved containersPending totalMB totalVirtualCores totalNodes lostNodes unhealthyNodes \
         decommissioningNodes decommissionedNodes rebootedNodes activeNodes shutdownNodes totalUsedResourcesAcrossPartition \
         totalClusterResourcesAcrossPartition totalReservedResourcesAcrossPartition totalAllocatedContainersAcrossPartition \
         crossPartitionMetricsAvailable",
    );
    let app = cluster.get("/apps?states=accepted&user=alice&applicationTypes=flott").await["apps"]["app"][0].clone();
    check(
        &app,
        "id user name queue state finalStatus progress trackingUI diagnostics clusterId applicationType applicationTags \
         priority startedTime launchTime finishedTime elapsedTime amContainerLogs amHostHttpAddress masterNodeId allocatedMB \
         allocatedVCores reservedMB reservedVCores runningContainers memorySeconds vcoreSeconds queueUsagePercentage \
         clusterUsagePercentage resourceSecondsMap preemptedResourceMB preemptedResourceVCores numNonAMContainerPreempted \
         numAMContainerPreempted preemptedMemorySeconds preemptedVcoreSeconds preemptedResourceSecondsMap \
         logAggregationStatus unmanagedApplication amNodeLabelExpression",
    );
    assert_eq!((app["queue"].as_str(), app["clusterId"].as_u64()), (Some("default"), Some(claim.resource_manager)));
    let logs = format!("http://n1:8042/node/containerlogs/{}/alice", claim.container);
    assert_eq!(app["amContainerLogs"], json!(logs));
    check(
        &cluster.get(&format!("/nodes/{}", node.id)).await["node"],
        "rack state id nodeHostName nodeHTTPAddress lastHealthUpdate version healthReport numContainers usedMemoryMB \
         availMemoryMB usedVirtualCores availableVirtualCores numRunningOpportContainers usedMemoryOpportGB \
         usedVirtualCoresOpport numQueuedContainers resourceUtilization usedResource availableResource totalResource",
    );
    let attempts = cluster.get(&format!("/apps/{id}/appattempts")).await;
    let attempt = &attempts["appAttempts"]["appAttempt"][0];
    check(
        attempt,
        "id startTime finishedTime containerId nodeHttpAddress nodeId logsLink appAttemptId appAttemptState",
    );
    let attempt = attempt["appAttemptId"].as_str().unwrap();
    let containers = cluster.get(&format!("/apps/{id}/appattempts/{attempt}/containers")).await;
    check(
        &containers["containers"]["container"][0],
        "containerId allocatedMB allocatedVCores assignedNodeId priority startedTime finishedTime elapsedTime \
         diagnosticsInfo logUrl containerExitStatus containerState nodeHttpAddress nodeId allocatedResources",
    );
    let scheduler = cluster.get("/scheduler").await["scheduler"]["schedulerInfo"].clone();
    assert_eq!(
        (scheduler["type"].as_str(), scheduler["queueName"].as_str()),
        (Some("capacityScheduler"), Some("root"))
    );
    check(
        &scheduler["queues"]["queue"][0],
        "type capacity usedCapacity maxCapacity absoluteCapacity absoluteMaxCapacity absoluteUsedCapacity numApplications \
         queueName state resourcesUsed numActiveApplications numPendingApplications numContainers maxApplications userLimit \
         users AMResourceLimit usedAMResource capacities resources",
    );
    check(
        &scheduler["queues"]["queue"][0],
        "queuePath queueType mode weight normalizedWeight isAbsoluteResource hideReservationQueues nodeLabels \
         allocatedContainers reservedContainers pendingContainers minEffectiveCapacity maxEffectiveCapacity \
         maximumAllocation queueAcls queuePriority orderingPolicyInfo autoCreateChildQueueEnabled creationMethod \
         autoCreationEligibility maxParallelApps maxApplicationsPerUser userLimitFactor configuredMaxAMResourceLimit \
         userAMResourceLimit preemptionDisabled intraQueuePreemptionDisabled defaultPriority isAutoCreatedLeafQueue \
         maxApplicationLifetime defaultApplicationLifetime",
    );
    let access = cluster.get("/queues/default/access?user=eve&queue-acl-type=ADMINISTER_QUEUE").await;
    assert_eq!((access["allowed"].as_bool(), access["user"].as_str()), (Some(false), Some("eve")), "{access}");
    let statistics = cluster.get("/appstatistics?states=accepted").await;
    assert_eq!(statistics["appStatInfo"]["statItem"][0], json!({"state": "ACCEPTED", "type": "*", "count": 1}));
    node.leave().await;
    cluster.stop().await;
}
