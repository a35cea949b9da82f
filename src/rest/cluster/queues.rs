//! Queues: as YARN's CapacityScheduler shows them, and what administrators change.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::applications::{parse_application, report};
use super::error::{Content, Error};
use super::filter::body;
use super::guard::Identity;
use super::{Context, json as answer};
use crate::config::queues::Preemption;
use crate::protocol::yarn_rest::ResourceObject;
use crate::resource::Resource;
use crate::resourcemanager::Access;
use crate::resourcemanager::report::{QueueReport, ShareReport, UserReport};

/// The whole tree, each queue within its parent.
pub(super) async fn scheduler(State(context): State<Context>) -> Result<Response, Error> {
    let (queues, summary) = (context.handle.queues().await?, context.handle.summary().await?);
    let root = queues.iter().find(|queue| queue.parent.is_none()).map(|root| tree(root, &queues, &summary.maximum));
    let mut root = root.unwrap_or_default();
    root["type"] = json!("capacityScheduler");
    root["health"] = json!({ "lastrun": 0, "operationsInfo": [], "lastRunDetails": [] });
    Ok(answer(&json!({ "scheduler": { "schedulerInfo": root } })))
}

fn tree(queue: &QueueReport, all: &[QueueReport], maximum: &Resource) -> Value {
    let mut value = common(queue, maximum);
    if queue.is_leaf {
        extend(&mut value, leaf(queue));
    } else {
        let children = all.iter().filter(|child| child.parent.as_ref() == Some(&queue.path));
        let children: Vec<Value> = children.map(|child| tree(child, all, maximum)).collect();
        value["queues"] = json!({ "queue": children });
        value["queueType"] = json!("parent");
    }
    value
}

fn extend(value: &mut Value, more: Value) {
    if let (Value::Object(value), Value::Object(more)) = (value, more) {
        value.extend(more);
    }
}

fn percent(part: f64) -> f64 {
    (part * 10_000.0).round() / 100.0
}

fn object(resource: &Resource) -> ResourceObject {
    ResourceObject::from(resource)
}

fn common(queue: &QueueReport, maximum: &Resource) -> Value {
    let Some(share) = queue.shares.first() else { return json!({}) };
    let list = |list: &Option<String>, usual: &str| list.clone().unwrap_or_else(|| usual.to_owned());
    let open = if queue.parent.is_none() { "*" } else { " " };
    let labels: Vec<&str> =
        queue.shares.iter().filter(|share| !share.most.is_zero()).map(|share| share.label.as_str()).collect();
    let mut value = json!({
        "queueName": queue.name,
        "queuePath": queue.path,
        "capacity": percent(share.of_parent),
        "usedCapacity": percent(share.used_of_promised),
        "maxCapacity": percent(share.most_of_parent),
        "absoluteCapacity": percent(share.absolute),
        "absoluteMaxCapacity": percent(share.absolute_most),
        "absoluteUsedCapacity": percent(share.absolute_used),
        "numApplications": queue.applications,
        "isAbsoluteResource": queue.mode == "absolute",
        "mode": queue.mode,
        "weight": queue.weight.unwrap_or(-1.0),
        "normalizedWeight": queue.weight.map_or(0.0, |_| share.of_parent),
        "state": queue.state,
        "resourcesUsed": object(&share.used),
        "hideReservationQueues": false,
        "nodeLabels": labels,
        "allocatedContainers": queue.containers,
        "reservedContainers": u32::from(queue.shares.iter().any(|share| !share.reserved.is_zero())),
        "pendingContainers": queue.pending_containers,
        "minEffectiveCapacity": object(&share.promised),
        "maxEffectiveCapacity": object(&share.most),
        "maximumAllocation": object(queue.maximum_allocation.as_ref().unwrap_or(maximum)),
        "queueAcls": { "queueAcl": [
            { "accessType": "ADMINISTER_QUEUE", "accessControlList": list(&queue.administer, " ") },
            { "accessType": "SUBMIT_APP", "accessControlList": list(&queue.submit, open) },
        ]},
        "queuePriority": queue.priority,
        "orderingPolicyInfo": queue.ordering,
        "autoCreateChildQueueEnabled": false,
        "leafQueueTemplate": {},
        "creationMethod": "static",
        "autoCreationEligibility": "off",
        "maxParallelApps": queue.parallel_max.unwrap_or(u32::MAX >> 1),
    });
    if let Some(label) = &queue.default_label {
        value["defaultNodeLabelExpression"] = json!(label);
    }
    let capacities: Vec<Value> = queue.shares.iter().map(|share| capacity(queue, share)).collect();
    let usages: Vec<Value> = queue.shares.iter().map(|share| usage(queue, share)).collect();
    value["capacities"] = json!({ "queueCapacitiesByPartition": capacities });
    value["resources"] = json!({ "resourceUsagesByPartition": usages });
    value
}

fn capacity(queue: &QueueReport, share: &ShareReport) -> Value {
    json!({
        "partitionName": share.label,
        "capacity": percent(share.of_parent),
        "usedCapacity": percent(share.used_of_promised),
        "maxCapacity": percent(share.most_of_parent),
        "absoluteCapacity": percent(share.absolute),
        "absoluteUsedCapacity": percent(share.absolute_used),
        "absoluteMaxCapacity": percent(share.absolute_most),
        "maxAMLimitPercentage": percent(queue.masters_part),
        "configuredMinResource": ResourceObject::default(),
        "configuredMaxResource": ResourceObject::default(),
        "effectiveMinResource": object(&share.promised),
        "effectiveMaxResource": object(&share.most),
    })
}

fn usage(queue: &QueueReport, share: &ShareReport) -> Value {
    let pending = if share.label.is_empty() { object(&queue.pending) } else { ResourceObject::default() };
    json!({
        "partitionName": share.label,
        "used": object(&share.used),
        "reserved": object(&share.reserved),
        "pending": pending,
        "amUsed": object(&share.masters),
        "amLimit": object(&share.masters_most),
        "userAmLimit": object(&share.masters_most),
    })
}

fn leaf(queue: &QueueReport) -> Value {
    let Some(share) = queue.shares.first() else { return json!({}) };
    let seconds = |lifetime: Option<std::time::Duration>| {
        lifetime.and_then(|lifetime| i64::try_from(lifetime.as_secs()).ok()).unwrap_or(-1)
    };
    let users: Vec<Value> = queue.users.iter().map(user).collect();
    json!({
        "type": "capacitySchedulerLeafQueueInfo",
        "queueType": "leaf",
        "numActiveApplications": queue.running,
        "numPendingApplications": queue.applications.saturating_sub(queue.running),
        "numContainers": queue.containers,
        "maxApplications": queue.applications_max,
        "maxApplicationsPerUser": queue.applications_max,
        "userLimit": queue.user_limit_percent,
        "users": if users.is_empty() { json!({}) } else { json!({ "user": users }) },
        "userLimitFactor": queue.user_limit_factor,
        "configuredMaxAMResourceLimit": queue.masters_part,
        "AMResourceLimit": object(&share.masters_most),
        "usedAMResource": object(&share.masters),
        "userAMResourceLimit": object(&share.masters_most),
        "preemptionDisabled": queue.preemption == Preemption::None,
        "intraQueuePreemptionDisabled": queue.preemption != Preemption::WithinQueues,
        "defaultPriority": queue.default_priority,
        "isAutoCreatedLeafQueue": false,
        "maxApplicationLifetime": seconds(queue.maximum_lifetime),
        "defaultApplicationLifetime": seconds(queue.default_lifetime),
    })
}

fn user(user: &UserReport) -> Value {
    json!({
        "username": user.name,
        "resourcesUsed": object(&user.used),
        "numPendingApplications": 0,
        "numActiveApplications": user.applications,
        "AMResourceUsed": object(&user.masters),
        "userResourceLimit": object(&user.limit),
        "resources": { "resourceUsagesByPartition": [{ "partitionName": "", "used": object(&user.used) }] },
        "userWeight": user.weight,
        "isActive": user.is_active,
    })
}

/// Query of [`access`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AccessQuery {
    user: String,
    queue_acl_type: String,
}

/// Whether a user may do something in a queue.
pub(super) async fn access(
    State(context): State<Context>,
    Path(queue): Path<String>,
    Query(query): Query<AccessQuery>,
) -> Result<Response, Error> {
    let access = match query.queue_acl_type.as_str() {
        "SUBMIT_APPLICATIONS" | "SUBMIT_APP" => Access::Submit,
        "ADMINISTER_QUEUE" => Access::Administer,
        other => {
            let message = format!("queue-acl-type is `{other}`; it is SUBMIT_APPLICATIONS or ADMINISTER_QUEUE");
            return Err(Error::bad_request(message));
        }
    };
    let allowed = context.handle.queue_access(queue.clone(), query.user.clone(), access).await?;
    let Some(allowed) = allowed else { return Err(Error::not_found(format!("Queue {queue} does not exist"))) };
    let diagnostics = match allowed {
        true => String::new(),
        false => {
            format!("User={} doesn't have access to queue={queue} with acl-type={}", query.user, query.queue_acl_type)
        }
    };
    Ok(answer(&json!({ "allowed": allowed, "user": query.user, "diagnostics": diagnostics })))
}

#[derive(Debug, Deserialize)]
struct QueueBody {
    queue: String,
}

#[derive(Debug, Deserialize)]
struct PriorityBody {
    priority: u32,
}

/// Moves an application.
pub(super) async fn put_queue(
    State(context): State<Context>,
    Path(id): Path<String>,
    Query(identity): Query<Identity>,
    Content(bytes): Content,
) -> Result<Response, Error> {
    let wanted: QueueBody = body(&bytes)?;
    let application = parse_application(&id)?;
    may_change(&context, &id, identity.writer()?, "move").await?;
    let queue = context.handle.move_application(application, wanted.queue).await?;
    Ok(answer(&json!({ "queue": queue })))
}

/// Reorders an application within its queue.
pub(super) async fn put_priority(
    State(context): State<Context>,
    Path(id): Path<String>,
    Query(identity): Query<Identity>,
    Content(bytes): Content,
) -> Result<Response, Error> {
    let wanted: PriorityBody = body(&bytes)?;
    let application = parse_application(&id)?;
    may_change(&context, &id, identity.writer()?, "update priority of").await?;
    let priority = context.handle.set_priority(application, wanted.priority).await?;
    Ok(answer(&json!({ "priority": priority })))
}

/// Whoever submitted it, administers its queue, or runs the ResourceManager.
pub(super) async fn may_change(context: &Context, id: &str, user: &str, verb: &str) -> Result<(), Error> {
    let report = report(context, id).await?;
    if user == report.user || user == context.handle.operator() {
        return Ok(());
    }
    let queue = format!("root.{}", report.queue);
    if context.handle.queue_access(queue, user.to_owned(), Access::Administer).await? == Some(true) {
        return Ok(());
    }
    let message = format!("Unauthorized attempt to {verb} appid {id} by remote user {user}");
    Err(Error::Plain { status: StatusCode::FORBIDDEN, message })
}

/// Query of [`apply`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ApplyQuery {
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Deserialize)]
struct ApplyBody {
    /// A queues file.
    text: String,
}

/// Replaces the tree of queues.
pub(super) async fn apply(
    State(context): State<Context>,
    Query(query): Query<ApplyQuery>,
    Query(identity): Query<Identity>,
    Content(bytes): Content,
) -> Result<Response, Error> {
    let ApplyBody { text } = body(&bytes)?;
    let user = identity.writer()?;
    let administers = context.handle.queue_access("root".to_owned(), user.to_owned(), Access::Administer).await?;
    if user != context.handle.operator() && administers != Some(true) {
        let message = format!("user {user} may not administer queue root");
        return Err(Error::Plain { status: StatusCode::FORBIDDEN, message });
    }
    let differences = context.handle.apply_queues(text, query.dry_run).await?;
    Ok(answer(&json!({ "dryRun": query.dry_run, "differences": differences })))
}
