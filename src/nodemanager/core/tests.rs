use std::collections::BTreeMap;

use super::*;
use crate::nodemanager::container::{ContainerRecord, Found};
use crate::nodemanager::error::Refused;
use crate::nodemanager::resources::ResourceKey;
use crate::process::{Ended, Signal};
use crate::protocol::container::{ContainerState, Exit, ExitCause, LaunchContext, LocalResource};
use crate::protocol::node::StartContainer;
use crate::protocol::tokens::{CONTAINER_TOKEN, ContainerTokenIdentifier};
use crate::resource::Resource;
use crate::rpc::token::{SigningKey, Token};
use crate::testing::fuzz::fuzz;

const RM: u64 = 1_760_000_000_000;
const GRACE: Duration = Duration::from_millis(250);

pub(super) fn application(sequence: u32) -> ApplicationId {
    ApplicationId { cluster_timestamp: RM, sequence }
}

pub(super) fn container(count: u64) -> ContainerId {
    ContainerId::new(application(1).attempt(1), 0, count)
}

pub(super) fn process(pid: u32) -> Identity {
    Identity { pid, started_ticks: 1, boot: 2 }
}

fn file(digest: char) -> LocalResource {
    LocalResource {
        url: "http://rm/blob".to_owned(),
        size: 3,
        sha256: Some(String::from(digest).repeat(64)),
        kind: Default::default(),
        visibility: Default::default(),
        executable: false,
    }
}

pub(super) struct Node {
    core: Core,
    key: SigningKey,
    pub(super) now: Now,
}

impl Node {
    pub(super) fn new() -> Self {
        let mut core = Core::new(NodeId::new("n1", 8042), Policy { kill_grace: GRACE });
        let key = SigningKey::generate().unwrap();
        let registration = Registration { resource_manager: RM, epoch: 0, key: key.clone() };
        core.apply(Event::Registered(registration), Now(0), &mut Vec::new()).unwrap();
        Self { core, key, now: Now(1_000) }
    }

    fn identifier(&self, id: ContainerId) -> ContainerTokenIdentifier {
        ContainerTokenIdentifier {
            container: id,
            node: NodeId::new("n1", 8042),
            user: "alice".to_owned(),
            resource: Resource::new(100, 1),
            priority: 7,
            expires_at: Now(10_000),
            resource_manager: RM,
        }
    }

    fn token(&self, identifier: &ContainerTokenIdentifier) -> Token {
        self.key.sign(CONTAINER_TOKEN, "n1:8042", &serde_json::to_vec(identifier).unwrap())
    }

    pub(super) fn apply(&mut self, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        self.core.apply(event, self.now, &mut out).unwrap();
        out
    }

    fn start_with(
        &mut self,
        identifier: &ContainerTokenIdentifier,
        resources: &[(&str, LocalResource)],
    ) -> Vec<Effect> {
        let resources = resources.iter().map(|(name, resource)| ((*name).to_owned(), resource.clone())).collect();
        let context = LaunchContext { resources, commands: vec!["true".to_owned()], ..LaunchContext::default() };
        let start = StartContainer { token: self.token(identifier), context };
        self.apply(Event::Start { request: Some(RequestId(1)), start })
    }

    /// Files by name and content; valid until far away.
    pub(super) fn start_random(&mut self, id: ContainerId, files: &[(&str, char)]) -> Vec<Effect> {
        let identifier = ContainerTokenIdentifier { expires_at: Now(u64::MAX), ..self.identifier(id) };
        let resources: Vec<_> = files.iter().map(|(name, digest)| (*name, file(*digest))).collect();
        self.start_with(&identifier, &resources)
    }

    fn start(&mut self, count: u64, resources: &[(&str, LocalResource)]) -> Vec<Effect> {
        let identifier = self.identifier(container(count));
        self.start_with(&identifier, resources)
    }

    /// A container whose process runs.
    fn running(&mut self, count: u64, pid: u32) {
        self.start(count, &[]);
        self.apply(Event::Launched { container: container(count), process: process(pid) });
    }

    fn refusal(&mut self, change: impl FnOnce(&mut ContainerTokenIdentifier)) -> Refused {
        let mut identifier = self.identifier(container(1));
        change(&mut identifier);
        let effects = self.start_with(&identifier, &[]);
        let [Effect::Answer { outcome: Err(refused), .. }] = effects.as_slice() else {
            panic!("not just a refusal: {effects:?}");
        };
        refused.clone()
    }

    fn exit(&self, count: u64) -> Option<ExitCause> {
        let statuses = self.core.statuses();
        let status = statuses.into_iter().find(|status| status.container == container(count))?;
        status.exit.map(|exit| exit.cause)
    }
}

/// Effects by kind, for the order of things.
fn kinds(effects: &[Effect]) -> Vec<&'static str> {
    let kind = |effect: &Effect| match effect {
        Effect::Persist(record) if record.acknowledged => "persist-spent",
        Effect::Persist(record) if record.exit.is_some() => "persist-exit",
        Effect::Persist(_) => "persist",
        Effect::Forget(_) => "forget",
        Effect::Answer { .. } => "answer",
        Effect::Localise { .. } => "localise",
        Effect::AbandonLocalisation(_) => "abandon",
        Effect::Launch(_) => "launch",
        Effect::Signal { signal: Signal::Terminate, .. } => "term",
        Effect::Signal { signal: Signal::Kill, .. } => "kill",
        Effect::Signal { signal: Signal::Quit, .. } => "quit",
        Effect::Report(statuses) => match statuses[0].state {
            ContainerState::New => "report-new",
            ContainerState::Running => "report-running",
            ContainerState::Complete => "report-complete",
        },
        Effect::DeleteContainer { .. } => "delete-container",
        Effect::DeleteApplication { .. } => "delete-application",
        Effect::WakeAt(_) => "wake",
        Effect::Drained => "drained",
    };
    effects.iter().map(kind).collect()
}

const DONE: [&str; 3] = ["persist-exit", "report-complete", "delete-container"];

#[test]
fn a_container_is_durable_before_it_is_answered_and_launched_when_its_files_are_here() {
    let mut node = Node::new();
    let effects = node.start(1, &[("a", file('a')), ("again", file('a')), ("b", file('b'))]);
    assert_eq!(kinds(&effects), ["persist", "localise", "localise", "answer", "report-new"]);
    let keys: Vec<ResourceKey> = effects
        .iter()
        .filter_map(|effect| if let Effect::Localise { key, .. } = effect { Some(key.clone()) } else { None })
        .collect();
    assert!(node.apply(Event::Localised { resource: keys[0].clone(), outcome: Ok(()) }).is_empty());
    let effects = node.apply(Event::Localised { resource: keys[1].clone(), outcome: Ok(()) });
    assert_eq!(kinds(&effects), ["launch"]);
    let effects = node.apply(Event::Launched { container: container(1), process: process(10) });
    assert_eq!(kinds(&effects), ["report-running"]);
    assert_eq!(node.core.processes(), [(container(1), process(10))]);
    let ended = Some(Ended::Code(3));
    let effects = node.apply(Event::Exited { container: container(1), ended, diagnostics: "boom".to_owned() });
    assert_eq!(kinds(&effects), DONE);
    let Effect::Report(statuses) = &effects[1] else { panic!("no report") };
    let exit = Exit { cause: ExitCause::Completed { code: 3 }, diagnostics: "boom".to_owned() };
    assert_eq!(statuses[0].exit, Some(exit));
    assert_eq!(statuses[0].priority, 7);
}

#[test]
fn only_a_sound_token_starts_a_container_and_only_once() {
    let mut node = Node::new();
    assert!(matches!(node.refusal(|it| it.node.port = 1), Refused::BadToken { why } if why.contains("for node n1:1")));
    assert!(matches!(node.refusal(|it| it.resource_manager = 5), Refused::BadToken { .. }));
    assert_eq!(node.refusal(|it| it.expires_at = Now(900)), Refused::Expired { container: container(1), late_ms: 100 });
    assert!(matches!(node.refusal(|it| it.user = "../root".to_owned()), Refused::BadContext { .. }));
    let other_key = SigningKey::generate().unwrap();
    let own = std::mem::replace(&mut node.key, other_key);
    assert!(matches!(node.refusal(|_| ()), Refused::BadToken { why } if why.contains("not signed")));
    node.key = own;

    assert_eq!(kinds(&node.start(1, &[])), ["persist", "answer", "report-new", "launch"]);
    assert_eq!(node.refusal(|_| ()), Refused::StartedBefore { container: container(1) });
    node.apply(Event::LaunchFailed { container: container(1), why: "no bash".to_owned() });
    let effects = node.apply(Event::CompletionsAcknowledged(vec![container(1)]));
    assert_eq!(kinds(&effects), ["wake", "persist-spent"]);
    assert!(node.core.statuses().is_empty());
    assert_eq!(node.refusal(|_| ()), Refused::StartedBefore { container: container(1) }, "also once forgotten");
    node.now = Now(10_001);
    assert_eq!(kinds(&node.apply(Event::Wake)), ["forget"]);
    assert!(matches!(node.refusal(|_| ()), Refused::Expired { .. }), "by then the token is worth nothing");
}

#[test]
fn a_node_that_is_not_registered_refuses_and_the_resource_manager_learns_by_report() {
    let mut node = Node::new();
    let registered =
        std::mem::replace(&mut node.core, Core::new(NodeId::new("n1", 8042), Policy { kill_grace: GRACE }));
    assert!(matches!(node.refusal(|_| ()), Refused::NotRegistered { .. }));
    node.core = registered;
    let mut identifier = node.identifier(container(1));
    identifier.expires_at = Now(0);
    let context = LaunchContext { commands: vec!["true".to_owned()], ..LaunchContext::default() };
    let start = StartContainer { token: node.token(&identifier), context };
    let effects = node.apply(Event::Start { request: None, start });
    assert_eq!(kinds(&effects), ["report-complete"]);
}

#[test]
fn many_containers_wait_for_one_download_and_fail_with_it() {
    let mut node = Node::new();
    let resource = file('a');
    let key = ResourceKey::new(&resource, "alice", application(1));
    assert!(kinds(&node.start(1, &[("x", resource.clone())])).contains(&"localise"));
    assert!(!kinds(&node.start(2, &[("y", resource.clone())])).contains(&"localise"));
    let why = "cannot fetch http://rm/blob: 3 bytes expected, 4 came".to_owned();
    let effects = node.apply(Event::Localised { resource: key.clone(), outcome: Err(why.clone()) });
    assert_eq!(kinds(&effects), [DONE, DONE].concat());
    assert_eq!(node.exit(1), Some(ExitCause::LaunchFailed { why: why.clone() }));
    assert_eq!(node.exit(2), Some(ExitCause::LaunchFailed { why }));
    assert!(kinds(&node.start(3, &[("z", resource)])).contains(&"localise"), "the next one tries again");
}

#[test]
fn killed_while_localising_it_never_runs_and_gives_up_what_nobody_else_wants() {
    let mut node = Node::new();
    node.start(1, &[("a", file('a')), ("b", file('b'))]);
    node.start(2, &[("a", file('a'))]);
    let cause = ExitCause::Preempted { queue: "root.b".to_owned() };
    let effects = node.apply(Event::Stop { containers: vec![container(1)], cause: cause.clone() });
    let expected: Vec<&str> = ["abandon"].into_iter().chain(DONE).collect();
    assert_eq!(kinds(&effects), expected);
    assert_eq!(node.exit(1), Some(cause));
    let key = ResourceKey::new(&file('a'), "alice", application(1));
    assert_eq!(
        kinds(&node.apply(Event::Localised { resource: key, outcome: Ok(()) })),
        ["launch"],
        "for the other one"
    );
}

#[test]
fn killed_while_its_process_starts_it_is_killed_as_soon_as_it_is_there() {
    let mut node = Node::new();
    node.start(1, &[]);
    let stop = || Event::Stop { containers: vec![container(1)], cause: ExitCause::Released };
    assert!(node.apply(stop()).is_empty());
    let effects = node.apply(Event::Launched { container: container(1), process: process(10) });
    assert_eq!(kinds(&effects), ["kill", "wake"]);
    node.apply(Event::Exited { container: container(1), ended: Some(Ended::Signal(9)), diagnostics: String::new() });
    assert_eq!(node.exit(1), Some(ExitCause::Released));
    assert!(node.apply(stop()).is_empty(), "a late kill changes nothing");
}

#[test]
fn a_stubborn_process_is_asked_then_killed_and_killed_again() {
    let mut node = Node::new();
    node.running(1, 10);
    let effects = node.apply(Event::Stop { containers: vec![container(1)], cause: ExitCause::KilledByUser });
    assert_eq!(kinds(&effects), ["term", "wake"]);
    assert_eq!(effects[1], Effect::WakeAt(Now(1_250)));
    node.now = Now(1_249);
    assert!(node.apply(Event::Wake).is_empty());
    node.now = Now(1_250);
    assert_eq!(kinds(&node.apply(Event::Wake)), ["kill", "wake"]);
    assert!(node.apply(Event::Wake).is_empty());
    node.now = Now(2_250);
    assert_eq!(kinds(&node.apply(Event::Wake)), ["kill", "wake"]);
    // A second reason comes too late.
    assert!(node.apply(Event::Stop { containers: vec![container(1)], cause: ExitCause::Released }).is_empty());
    node.apply(Event::Exited { container: container(1), ended: Some(Ended::Signal(9)), diagnostics: String::new() });
    assert_eq!(node.exit(1), Some(ExitCause::KilledByUser));
}

#[test]
fn memory_is_forgiven_once_but_not_twice_and_never_enormously() {
    let mut node = Node::new();
    node.running(1, 10);
    node.running(2, 20);
    let measured = |count, mebibytes: u64| Event::Measured { container: container(count), rss_bytes: mebibytes << 20 };
    for mebibytes in [100, 150, 100, 101] {
        assert!(node.apply(measured(1, mebibytes)).is_empty(), "{mebibytes}");
    }
    assert_eq!(kinds(&node.apply(measured(1, 120))), ["kill", "wake"]);
    assert_eq!(kinds(&node.apply(measured(2, 201))), ["kill", "wake"]);
    for count in [1, 2] {
        let ended = Some(Ended::Signal(9));
        node.apply(Event::Exited { container: container(count), ended, diagnostics: String::new() });
    }
    let cause = |peak_mb| ExitCause::OutOfMemory { limit_mb: 100, peak_mb, by: "process tree".to_owned() };
    assert_eq!((node.exit(1), node.exit(2)), (Some(cause(150)), Some(cause(201))));
}

#[test]
fn a_master_stops_containers_by_their_tokens_or_not_at_all() {
    let mut node = Node::new();
    node.running(1, 10);
    let good = node.token(&node.identifier(container(1)));
    let forged = Token { password: vec![0; 32], ..good.clone() };
    let stop = |tokens| Event::StopByMaster { request: RequestId(9), tokens };
    assert_eq!(kinds(&node.apply(stop(vec![good.clone(), forged]))), ["answer"]);
    node.now = Now(20_000); // Expiry limits the start, not the stop.
    assert_eq!(kinds(&node.apply(stop(vec![good]))), ["term", "wake", "answer"]);
}

#[test]
fn a_finished_application_leaves_nothing_behind() {
    let mut node = Node::new();
    node.running(1, 10);
    node.running(2, 20);
    node.apply(Event::Exited { container: container(1), ended: Some(Ended::Code(0)), diagnostics: String::new() });
    let finished = || Event::ApplicationsFinished(vec![application(1), application(99)]);
    assert_eq!(kinds(&node.apply(finished())), ["term", "wake"]);
    let refusal = node.start(3, &[]);
    assert!(matches!(&refusal[0], Effect::Answer { outcome: Err(Refused::BadContext { .. }), .. }));
    let effects = node.apply(Event::Exited {
        container: container(2),
        ended: Some(Ended::Signal(15)),
        diagnostics: String::new(),
    });
    assert_eq!(kinds(&effects), [&DONE[..], &["delete-application", "wake"]].concat());
    assert_eq!(node.exit(2), Some(ExitCause::KilledAfterApplicationEnd));
    assert!(node.core.application_ids().is_empty());
    assert!(node.apply(finished()).is_empty(), "said twice it changes nothing");
    assert_eq!(node.core.statuses().len(), 2, "completions stay until they are acknowledged");
    node.now = node.now + COMPLETION_KEPT;
    assert_eq!(kinds(&node.apply(Event::Wake)), ["forget", "forget"]);
}

#[test]
fn a_draining_node_ends_everything_and_then_says_so() {
    let mut node = Node::new();
    node.running(1, 10);
    let drain = || Event::Drain { why: "n1 is being stopped".to_owned() };
    assert_eq!(kinds(&node.apply(drain())), ["term", "wake"]);
    assert!(matches!(node.refusal(|it| it.container = container(2)), Refused::Draining { .. }));
    let effects =
        node.apply(Event::Exited { container: container(1), ended: Some(Ended::Code(0)), diagnostics: String::new() });
    assert_eq!(kinds(&effects), [&DONE[..], &["drained"]].concat());
    assert_eq!(node.exit(1), Some(ExitCause::Aborted { why: "n1 is being stopped".to_owned() }));
    assert_eq!(kinds(&Node::new().apply(drain())), ["drained"]);
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut node = Node::new();
    let refuse = |node: &mut Node, event| {
        let mut out = Vec::new();
        let illegal = node.core.apply(event, node.now, &mut out).unwrap_err();
        assert!(out.is_empty());
        illegal.to_string()
    };
    let exited = |count| Event::Exited { container: container(count), ended: None, diagnostics: String::new() };
    assert!(refuse(&mut node, exited(1)).ends_with("which is unknown"));
    node.start(1, &[]);
    assert!(refuse(&mut node, exited(1)).ends_with("which is SCHEDULED"));
    node.apply(Event::Launched { container: container(1), process: process(10) });
    let again = Event::Launched { container: container(1), process: process(11) };
    assert!(refuse(&mut node, again).ends_with("which is RUNNING"));
}

#[test]
fn a_restarted_node_goes_on_with_what_lives_and_reports_what_died() {
    let mut before = Node::new();
    let mut records: BTreeMap<ContainerId, ContainerRecord> = BTreeMap::new();
    let mut keep = |effects: Vec<Effect>| {
        for effect in effects {
            if let Effect::Persist(record) = effect {
                records.insert(record.lease.container, record);
            }
        }
    };
    for count in 1..=4 {
        keep(before.start(count, &[]));
        keep(before.apply(Event::Launched { container: container(count), process: process(10) }));
    }
    for count in [3, 4] {
        let ended = Some(Ended::Code(0));
        keep(before.apply(Event::Exited { container: container(count), ended, diagnostics: String::new() }));
    }
    keep(before.apply(Event::CompletionsAcknowledged(vec![container(4)])));

    let mut node = Node { core: Core::new(NodeId::new("n1", 8042), Policy { kill_grace: GRACE }), ..before };
    let registration = Registration { resource_manager: RM, epoch: 1, key: node.key.clone() };
    node.apply(Event::Registered(registration));
    let lost = Exit { cause: ExitCause::Completed { code: 7 }, diagnostics: String::new() };
    let found =
        |id: ContainerId| if id == container(1) { Found::Alive(process(10)) } else { Found::Ended(lost.clone()) };
    let records = records.into_values().map(|record| (record.clone(), found(record.lease.container))).collect();
    let mut out = Vec::new();
    node.core.recover(records, vec![(application(1), "alice".to_owned())], node.now, &mut out);
    assert_eq!(kinds(&out), [&DONE[..], &["wake", "persist-spent"]].concat());
    let states: Vec<ContainerState> = node.core.statuses().iter().map(|status| status.state).collect();
    assert_eq!(states, [ContainerState::Running, ContainerState::Complete, ContainerState::Complete]);
    assert_eq!(node.exit(2), Some(ExitCause::Completed { code: 7 }));
    assert_eq!(node.core.processes(), [(container(1), process(10))]);
    assert_eq!(node.core.application_ids(), [application(1)]);
    assert_eq!(node.refusal(|it| it.container = container(4)), Refused::StartedBefore { container: container(4) });
}

#[test]
fn fuzz_stores_of_a_node_manager() {
    let mut node = Node::new();
    let mut records = Vec::new();
    node.start(1, &[("a", file('a'))]);
    for effects in [node.start(2, &[]), node.start(3, &[])] {
        records.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Persist(record) => Some(serde_json::to_vec(&record).unwrap()),
            _ => None,
        }));
    }
    assert!(!records.is_empty());
    fuzz("node-manager-store", &[records.join(&b'\n')], |bytes| {
        let lines = bytes.split(|byte| *byte == b'\n');
        let records = lines.filter_map(|line| serde_json::from_slice::<ContainerRecord>(line).ok());
        let ended = || Found::Ended(Exit { cause: ExitCause::Completed { code: 0 }, diagnostics: String::new() });
        let found = records.zip(0..).map(|(record, number)| match number % 2 {
            0 => (record, Found::Alive(process(number))),
            _ => (record, ended()),
        });
        let mut core = Core::new(NodeId::new("n1", 8042), Policy { kill_grace: GRACE });
        core.recover(found.collect(), Vec::new(), Now(1_000), &mut Vec::new());
        let _ = core.apply(Event::Wake, Now(100_000), &mut Vec::new());
        let _ = (core.statuses(), core.application_ids());
    });
}
