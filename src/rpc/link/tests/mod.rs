//! Links over loopback, through a proxy that can cut and freeze them.

mod proxy;

use std::time::Duration;

use axum::Router;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::proxy::Proxy;
use super::acceptor::PeerEvents;
use super::connect::connect;
use super::frame::{Connection, Opening, Reply, decode, encode};
use super::*;
use crate::rpc::http::Server;

type Events = PeerEvents<String, String, u64, u64>;
type Event = PeerEvent<String, String, u64, u64>;
type Receiver = LinkReceiver<String, String, u64>;

fn options(name: &str) -> LinkOptions {
    LinkOptions {
        heartbeat: Duration::from_millis(20),
        frozen_after: Duration::from_millis(400),
        reconnect_initial: Duration::from_millis(1),
        reconnect_max: Duration::from_millis(20),
        ..LinkOptions::new(name)
    }
}

struct Host {
    authority: String,
    events: Events,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Host {
    fn start(options: LinkOptions) -> Self {
        Self::start_at(0, options)
    }

    fn start_at(port: u16, options: LinkOptions) -> Self {
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (acceptor, events) = acceptor(&mut tasks, options, cancel.clone());
        let server = Server::bind("127.0.0.1", port).unwrap();
        let authority = server.local_addr().to_string();
        let router = Router::new().route("/link", acceptor.route());
        let served = server.serve(router, cancel.clone());
        tasks.spawn(async move { served.await.unwrap() });
        Self { authority, events, cancel, tasks }
    }

    async fn next(&mut self) -> Event {
        soon(self.events.recv()).await.expect("the acceptor lives")
    }

    /// Accepts the next hello with welcome "welcome".
    async fn accept(&mut self) -> (PeerId, bool, LinkSender<u64>) {
        match self.next().await {
            PeerEvent::Hello { peer, resumed, answer, .. } => (peer, resumed, answer.accept("welcome".to_owned())),
            other => panic!("{other:?} instead of a hello"),
        }
    }

    async fn message(&mut self) -> u64 {
        match self.next().await {
            PeerEvent::Message { message, .. } => message,
            other => panic!("{other:?} instead of a message"),
        }
    }

    async fn broken(&mut self) -> (String, bool) {
        match self.next().await {
            PeerEvent::Broken { cause, resumable, .. } => (cause, resumable),
            other => panic!("{other:?} instead of broken"),
        }
    }

    async fn stop(mut self) {
        self.cancel.cancel();
        soon(async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}

struct Guest {
    sender: LinkSender<u64>,
    receiver: Receiver,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Guest {
    fn start(authority: &str, options: LinkOptions) -> Self {
        let mut tasks = JoinSet::new();
        let cancel = CancellationToken::new();
        let target = LinkTarget::new(authority, "/link");
        let (sender, receiver) = open(&mut tasks, target, &"hello".to_owned(), options, cancel.clone());
        Self { sender, receiver, cancel, tasks }
    }

    async fn next(&mut self) -> LinkEvent<String, u64> {
        soon(self.receiver.next()).await.expect("the link lives")
    }

    async fn opened(&mut self) -> bool {
        match self.next().await {
            LinkEvent::Opened { welcome, resumed } => {
                assert_eq!(welcome, "welcome");
                resumed
            }
            other => panic!("{other:?} instead of opened"),
        }
    }

    async fn broken(&mut self) -> String {
        match self.next().await {
            LinkEvent::Broken { cause } => cause,
            other => panic!("{other:?} instead of broken"),
        }
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work).await.expect("within 20 s")
}

async fn pair(host: &mut Host, authority: &str) -> (Guest, PeerId, LinkSender<u64>) {
    let mut guest = Guest::start(authority, options("program"));
    let (peer, resumed, sender) = host.accept().await;
    assert!(!resumed);
    assert!(!guest.opened().await);
    (guest, peer, sender)
}

#[tokio::test]
async fn messages_cross_both_ways_in_order() {
    let mut host = Host::start(options("host"));
    let authority = host.authority.clone();
    let (mut guest, _, sender) = pair(&mut host, &authority).await;
    for number in 0..1000 {
        guest.sender.send(number).unwrap();
        sender.send(number * 2).unwrap();
    }
    for number in 0..1000 {
        assert_eq!(host.message().await, number);
        assert_eq!(guest.next().await, LinkEvent::Message(number * 2));
    }
    // Acknowledgements ride on heartbeats, so the queues run empty.
    soon(async {
        while sender.queue_len() + guest.sender.queue_len() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn messages_sent_before_the_first_connection_arrive() {
    let mut host = Host::start(options("host"));
    let mut guest = Guest::start(&host.authority, options("program"));
    guest.sender.send(7).unwrap();
    host.accept().await;
    assert!(!guest.opened().await);
    assert_eq!(host.message().await, 7);
}

#[tokio::test]
async fn a_cut_connection_is_told_at_once_and_resumed_under_the_same_peer() {
    let mut host = Host::start(options("host"));
    let proxy = Proxy::start(&host.authority).await;
    let (mut guest, peer, sender) = pair(&mut host, &proxy.authority).await;
    proxy.cut();
    guest.broken().await;
    assert!(host.broken().await.1);
    sender.send(1).unwrap();
    guest.sender.send(2).unwrap();
    let (again, resumed, _) = host.accept().await;
    assert_eq!((again, resumed), (peer, true));
    assert!(guest.opened().await);
    assert_eq!(guest.next().await, LinkEvent::Message(1), "the first sender goes on working");
    assert_eq!(host.message().await, 2);
}

/// Conservation: cut at random points, everything arrives once and in order, both ways.
#[tokio::test]
async fn no_message_is_lost_or_repeated_over_cuts() {
    const MESSAGES: u64 = 2000;
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut host = Host::start(options("host"));
        let proxy = Proxy::start(&host.authority).await;
        proxy.cut_after((0..random.usize(5..15)).map(|_| random.usize(0..20_000)).collect());
        let mut guest = Guest::start(&proxy.authority, options("program"));
        for number in 0..MESSAGES {
            guest.sender.send(number).unwrap();
        }
        let (mut at_host, mut at_guest, mut breaks, mut back) = (0, 0, 0, None::<LinkSender<u64>>);
        while at_host < MESSAGES || at_guest < MESSAGES {
            tokio::select! {
                event = host.next() => match event {
                    PeerEvent::Hello { answer, resumed, .. } => {
                        assert_eq!(resumed, back.is_some(), "seed {seed}");
                        let sender = answer.accept("welcome".to_owned());
                        if back.is_none() {
                            (0..MESSAGES).for_each(|number| sender.send(number).unwrap());
                        }
                        back = Some(sender);
                    }
                    PeerEvent::Message { message, .. } => {
                        assert_eq!(message, at_host, "seed {seed}");
                        at_host += 1;
                    }
                    PeerEvent::Broken { resumable: true, .. } => {}
                    PeerEvent::Broken { resumable: false, .. } => {
                        assert_eq!((at_host, at_guest), (0, 0), "seed {seed}: only an unanswered first hello is forgotten");
                        back = None;
                    }
                },
                event = guest.next() => match event {
                    LinkEvent::Message(message) => {
                        assert_eq!(message, at_guest, "seed {seed}");
                        at_guest += 1;
                    }
                    LinkEvent::Opened { .. } => {}
                    LinkEvent::Broken { .. } => breaks += 1,
                    LinkEvent::Refused(refusal) => panic!("seed {seed}: {refusal}"),
                },
            }
        }
        assert!(breaks > 2, "seed {seed}: the proxy was to cut, and did {breaks} times");
    }
}

#[tokio::test]
async fn a_restarted_server_begins_afresh() {
    let mut host = Host::start(options("host"));
    let port = host.authority.rsplit(':').next().unwrap().parse().unwrap();
    let authority = host.authority.clone();
    let (mut guest, _, _) = pair(&mut host, &authority).await;
    guest.sender.send(1).unwrap();
    assert_eq!(host.message().await, 1);
    host.stop().await;
    guest.broken().await;
    guest.sender.send(2).unwrap();
    guest.receiver.set_hello(&"hello again".to_owned());

    let mut host = Host::start_at(port, options("host"));
    match host.next().await {
        PeerEvent::Hello { hello, resumed, answer, .. } => {
            assert_eq!((hello.as_str(), resumed), ("hello again", false));
            answer.accept("welcome".to_owned());
        }
        other => panic!("{other:?}"),
    }
    assert!(!guest.opened().await);
    guest.sender.send(3).unwrap();
    assert_eq!(host.message().await, 3, "what was unacknowledged is dropped, numbering starts again");
}

#[tokio::test]
async fn a_server_whose_welcome_got_lost_is_not_taken_for_the_one_before() {
    let mut host = Host::start(options("host"));
    let port = host.authority.rsplit(':').next().unwrap().parse().unwrap();
    let proxy = Proxy::start(&host.authority).await;
    let (mut guest, _, sender) = pair(&mut host, &proxy.authority).await;
    for message in [1, 2] {
        sender.send(message).unwrap();
        assert_eq!(guest.next().await, LinkEvent::Message(message));
    }
    host.stop().await;
    guest.broken().await;

    let mut host = Host::start_at(port, options("host"));
    let PeerEvent::Hello { answer, resumed: false, .. } = host.next().await else { panic!("a new one knows nobody") };
    proxy.freeze(true);
    let sender = answer.accept("welcome".to_owned());
    (10..15).for_each(|message| sender.send(message).unwrap());
    host.broken().await;
    proxy.cut();
    proxy.freeze(false);

    // The guest has two messages, of a server that is gone: they are not the first two of this one.
    let (_, resumed, sender) = host.accept().await;
    assert!(!resumed);
    assert!(!guest.opened().await);
    sender.send(20).unwrap();
    assert_eq!(guest.next().await, LinkEvent::Message(20));
}

#[tokio::test]
async fn a_refusal_is_final() {
    let mut host = Host::start(options("host"));
    let mut guest = Guest::start(&host.authority, options("program"));
    let refusal = Refusal::new("fenced", "attempt 2 has taken over");
    match host.next().await {
        PeerEvent::Hello { answer, .. } => answer.refuse(refusal.clone()),
        other => panic!("{other:?}"),
    }
    assert_eq!(guest.next().await, LinkEvent::Refused(refusal));
    assert_eq!(soon(guest.receiver.next()).await, None);
    assert!(matches!(guest.sender.send(1), Err(LinkError::Closed(_))));
    soon(guest.tasks.join_next()).await;
}

#[tokio::test]
async fn another_protocol_version_is_refused_by_name() {
    let host = Host::start(options("ResourceManager"));
    let target = LinkTarget::new(&host.authority, "/link");
    let mut connection = Connection::new(connect(&target, Duration::from_secs(5)).await.ok().unwrap());
    let opening = Opening {
        protocol_version: 2,
        speaker: "program".into(),
        session: 1,
        last_received_seq: 0,
        accepted_by: None,
        hello: ["new", "shape"],
    };
    connection.send(encode(&opening, "hello").unwrap()).await.unwrap();
    let reply = soon(connection.receive()).await.ok().unwrap();
    let Reply::<()>::Refused(refusal) = decode(&reply, "reply").unwrap() else { panic!("accepted") };
    assert_eq!(refusal.code, Refusal::PROTOCOL_VERSION);
    assert!(refusal.message.starts_with("program speaks link protocol 2, this ResourceManager 1"), "{refusal}");
}

#[tokio::test]
async fn a_frozen_peer_is_noticed_by_both_sides() {
    let mut host = Host::start(options("host"));
    let proxy = Proxy::start(&host.authority).await;
    let (mut guest, peer, _) = pair(&mut host, &proxy.authority).await;
    proxy.freeze(true);
    assert_eq!(guest.broken().await, "peer silent for 400ms");
    host.broken().await;
    proxy.freeze(false);
    let (again, resumed, _) = host.accept().await;
    assert_eq!((again, resumed), (peer, true));
    assert!(guest.opened().await);
}

#[tokio::test]
async fn either_side_can_close_for_good() {
    let mut host = Host::start(options("host"));
    let authority = host.authority.clone();
    let (mut guest, _, sender) = pair(&mut host, &authority).await;
    sender.send(1).unwrap();
    sender.close(Refusal::new("expired", "not heard of for 15 s"));
    assert_eq!(guest.next().await, LinkEvent::Message(1), "what was sent before still leaves");
    assert!(matches!(guest.next().await, LinkEvent::Refused(refusal) if refusal.code == "expired"));
    assert!(!host.broken().await.1);

    let (guest, _, sender) = pair(&mut host, &authority).await;
    guest.sender.send(5).unwrap();
    guest.cancel.cancel();
    assert_eq!(host.message().await, 5, "a cancelled link sends what is queued");
    assert_eq!(host.broken().await, ("program has closed the link".to_owned(), false));
    assert!(sender.send(1).is_err());
}

#[tokio::test]
async fn an_overflowing_queue_gives_the_session_up() {
    let mut host = Host::start(options("host"));
    let proxy = Proxy::start(&host.authority).await;
    let mut guest = Guest::start(&proxy.authority, LinkOptions { queue_len_max: 10, ..options("program") });
    let (peer, _, _) = host.accept().await;
    guest.opened().await;
    proxy.freeze(true);
    for number in 0..10 {
        guest.sender.send(number).unwrap();
    }
    assert!(matches!(guest.sender.send(10), Err(LinkError::Full)));
    assert_eq!(guest.broken().await, "the outgoing queue is full");
    proxy.freeze(false);
    proxy.cut();
    let fresh = loop {
        match host.next().await {
            PeerEvent::Hello { peer, resumed, answer, .. } => {
                assert!(!resumed);
                answer.accept("welcome".to_owned());
                break peer;
            }
            PeerEvent::Broken { .. } | PeerEvent::Message { .. } => {}
        }
    };
    assert_ne!(fresh, peer);
    while !matches!(guest.next().await, LinkEvent::Opened { resumed: false, .. }) {}
    guest.sender.send(99).unwrap();
    loop {
        match host.next().await {
            PeerEvent::Message { peer, message } if peer == fresh => break assert_eq!(message, 99),
            PeerEvent::Message { .. } | PeerEvent::Broken { .. } => {}
            PeerEvent::Hello { .. } => panic!("a second reconnect"),
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_and_given_up() {
    let authority = Server::bind("127.0.0.1", 0).unwrap().local_addr().to_string();
    let options = LinkOptions { give_up_after: Some(Duration::from_millis(50)), ..options("program") };
    let mut guest = Guest::start(&authority, options);
    assert_eq!(guest.broken().await, format!("cannot connect to {authority}: connection refused"));
    assert!(matches!(guest.next().await, LinkEvent::Refused(refusal) if refusal.code == Refusal::UNREACHABLE));
}

#[tokio::test]
async fn a_path_without_links_refuses() {
    let host = Host::start(options("host"));
    let mut tasks = JoinSet::new();
    let target = LinkTarget::new(&host.authority, "/elsewhere");
    let (_sender, mut receiver): (LinkSender<u64>, Receiver) =
        open(&mut tasks, target, &String::new(), options("program"), CancellationToken::new());
    assert!(matches!(soon(receiver.next()).await, Some(LinkEvent::Refused(refusal)) if refusal.code == Refusal::HTTP));
}

#[tokio::test]
async fn a_reader_that_stops_holds_the_sender_back_and_loses_nothing() {
    let few = |name: &str| LinkOptions { events_len_max: 4, ..options(name) };
    let mut host = Host::start(few("host"));
    let authority = host.authority.clone();
    let (guest, _, _) = pair(&mut host, &authority).await;
    for number in 0..5000 {
        guest.sender.send(number).unwrap();
    }
    // Longer than frozen_after: a peer that does not read events is slow, not frozen.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(guest.sender.queue_len() > 4900);
    for number in 0..5000 {
        assert_eq!(host.message().await, number);
    }
}
