//! Requests to the outside under way: futures polled by hand, subtasks stepped by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::{Mail, Outcome, Step};
use super::fixture::{Behaviour, Graph, Stepped};
use crate::engine::operators::{AsyncPort, AsyncWait, Detached, OnTimeout, Operator, ProgramCode, ResultOrder, Wait};
use crate::engine::record::Element;
use crate::graph::plan::{NodeKind, Partitioner};
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

type Answer = Result<u64, &'static str>;

/// The service that is asked: it answers when the test says so.
#[derive(Clone, Default)]
struct Service {
    asked: Arc<Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>>,
    futures: Arc<Mutex<Vec<Detached>>>,
}

impl Service {
    fn port(&self) -> AsyncPort {
        let futures = Arc::clone(&self.futures);
        AsyncPort::new(move |future| futures.lock().unwrap().push(future))
    }

    fn ask(&self, n: u64) -> impl Future<Output = Answer> + Send + use<> {
        assert!(n != 13, "thirteen");
        let (answer, answered) = oneshot::channel();
        self.asked.lock().unwrap().insert(n, answer);
        async move {
            let answer = answered.await.unwrap_or(Err("nobody will answer"));
            assert!(answer != Ok(14), "fourteen");
            answer
        }
    }

    /// Requests that nobody has given up.
    fn under_way(&self) -> Vec<u64> {
        self.poll();
        self.asked.lock().unwrap().iter().filter(|(_, answer)| !answer.is_closed()).map(|(n, _)| *n).collect()
    }

    fn answer(&self, n: u64, answer: Answer) {
        let asked = self.asked.lock().unwrap().remove(&n).unwrap();
        // One that was given up does not listen.
        let _ = asked.send(answer);
        self.poll();
    }

    fn poll(&self) {
        let mut context = Context::from_waker(Waker::noop());
        self.futures.lock().unwrap().retain_mut(|future| future.as_mut().poll(&mut context).is_pending());
    }
}

/// `feeder ═► ask ─► behind ═► reader`; edges 0 and 2 are the ways in and out. Two requests at a time, of 100 ms.
fn asking(order: ResultOrder, on_timeout: Option<OnTimeout<u64, u64>>) -> (Stepped, Service) {
    let service = Service::default();
    let mut graph = Graph::new();
    graph.async_port = service.port();
    let feeder = graph.probe("feeder", Behaviour::Pass);
    let asked = service.clone();
    let make = move || {
        let asked = asked.clone();
        let wait = Wait { order, timeout: Duration::from_millis(100), capacity: 2 };
        Box::new(AsyncWait::new(move |n: u64| asked.ask(n), on_timeout.clone(), wait)) as Box<dyn Operator>
    };
    let ask = graph.node("ask", NodeKind::Operator, ProgramCode::Operator(Arc::new(make)));
    let behind = graph.probe("behind", Behaviour::Pass);
    let reader = graph.probe("reader", Behaviour::Pass);
    graph.edge(feeder, ask, Partitioner::Rebalance);
    graph.edge(ask, behind, Partitioner::Forward);
    graph.edge(behind, reader, Partitioner::Rebalance);
    let mut task = graph.stepped(ask);
    assert_eq!(task.step(0), Step::Progress);
    task.log();
    (task, service)
}

fn batches(task: &Stepped) -> Vec<String> {
    task.sent(2).into_iter().filter(|sent| sent != "flush").collect()
}

#[test]
fn results_come_in_the_order_of_their_records() {
    let (mut task, service) = asking(ResultOrder::Arrival, None);
    task.numbers(0, &[1, 2, 3]);
    assert_eq!(task.settle(1), Step::Wait { until: Some(Now(101)) });
    assert_eq!(service.under_way(), [1, 2], "no more than the capacity");
    service.answer(2, Ok(20));
    task.settle(2);
    assert_eq!(batches(&task), [""; 0]);
    assert_eq!(service.under_way(), [1], "a result that waits for its turn counts");
    service.answer(1, Ok(10));
    task.settle(3);
    assert_eq!(batches(&task), ["[10, 20]"]);
    assert_eq!(service.under_way(), [3]);
}

#[test]
fn results_come_as_they_are_there() {
    let (mut task, service) = asking(ResultOrder::Completion, None);
    task.numbers(0, &[1, 2, 3]);
    task.settle(1);
    service.answer(2, Ok(20));
    task.settle(2);
    assert_eq!(batches(&task), ["[20]"]);
    assert_eq!(service.under_way(), [1, 3]);
    service.answer(3, Ok(30));
    service.answer(1, Ok(10));
    task.settle(3);
    assert_eq!(batches(&task), ["[30, 10]"]);
}

#[test]
fn a_task_that_waits_for_answers_is_idle_and_not_busy() {
    let (mut task, service) = asking(ResultOrder::Completion, None);
    task.numbers(0, &[1, 2, 3]);
    task.settle(1);
    task.settle(91);
    let metrics = task.subtask.metrics();
    assert_eq!((metrics.busy_ms, metrics.idle_ms), (1, 90), "at its capacity, once opened");
    service.answer(1, Ok(1));
    service.answer(2, Ok(2));
    task.settle(92);
    service.answer(3, Ok(3));
}

#[test]
fn input_is_left_where_it_is_while_enough_is_under_way() {
    let (mut task, service) = asking(ResultOrder::Completion, None);
    for n in 1..=4 {
        task.numbers(0, &[n]);
    }
    task.settle(1);
    assert_eq!(task.subtask.metrics().records_in, 2);
    service.answer(1, Ok(1));
    task.settle(2);
    assert_eq!(task.subtask.metrics().records_in, 3);
}

#[test]
fn results_wait_for_room_and_nothing_spins() {
    let (mut task, service) = asking(ResultOrder::Completion, None);
    task.numbers(0, &[1]);
    task.settle(1);
    task.block(true);
    service.answer(1, Ok(10));
    assert_eq!(task.settle(2), Step::Wait { until: None });
    assert_eq!(batches(&task), [""; 0]);
    task.block(false);
    task.settle(3);
    assert_eq!(batches(&task), ["[10]"]);
}

#[test]
fn time_and_the_end_wait_for_what_came_before() {
    let (mut task, service) = asking(ResultOrder::Completion, None);
    task.numbers(0, &[1, 2, 3]);
    for channel in 0..2 {
        task.incoming(0, channel, Element::Watermark(EventTime(50)));
    }
    task.numbers(0, &[4]);
    for channel in 0..2 {
        task.incoming(0, channel, Element::EndOfInput);
    }
    task.settle(1);
    service.answer(1, Ok(10));
    service.answer(2, Ok(20));
    task.settle(2);
    assert_eq!(batches(&task), ["[10, 20]"]);
    service.answer(3, Ok(30));
    task.settle(3);
    assert_eq!(batches(&task), ["[30]", "watermark 50"]);
    assert_eq!(task.settle(4), Step::Wait { until: Some(Now(103)) });
    assert_eq!(service.under_way(), [4]);
    service.answer(4, Ok(40));
    assert_eq!(task.settle(5), Step::Ended(Outcome::Finished(Vec::new())));
    assert_eq!(batches(&task), ["[40]", "watermark end", "end"]);
    assert_eq!(task.log().last().unwrap(), "behind finished");
}

#[test]
fn what_an_operator_holds_back_to_its_end_is_asked_for_too() {
    let service = Service::default();
    let mut graph = Graph::new();
    graph.async_port = service.port();
    let feeder = graph.probe("feeder", Behaviour::Pass);
    let holder = graph.probe("holder", Behaviour::Hold);
    let asked = service.clone();
    let make = move || {
        let asked = asked.clone();
        let wait = Wait { order: ResultOrder::Arrival, timeout: Duration::from_millis(100), capacity: 2 };
        Box::new(AsyncWait::new(move |n: u64| asked.ask(n), None, wait)) as Box<dyn Operator>
    };
    let ask = graph.node("ask", NodeKind::Operator, ProgramCode::Operator(Arc::new(make)));
    let reader = graph.probe("reader", Behaviour::Pass);
    graph.edge(feeder, holder, Partitioner::Rebalance);
    graph.edge(holder, ask, Partitioner::Forward);
    graph.edge(ask, reader, Partitioner::Rebalance);
    let mut task = graph.stepped(holder);
    task.numbers(0, &[1, 2, 3]);
    for channel in 0..2 {
        task.incoming(0, channel, Element::EndOfInput);
    }
    task.settle(1);
    assert_eq!(service.under_way(), [1, 2]);
    for n in 1..=3 {
        service.answer(n, Ok(n * 10));
        task.settle(1 + n);
    }
    assert_eq!(
        task.sent(2).into_iter().filter(|sent| sent.starts_with('[')).collect::<Vec<_>>(),
        ["[10]", "[20]", "[30]"]
    );
    assert_eq!(task.log().last().unwrap(), "holder finished");
}

#[test]
fn what_takes_too_long_fails_or_is_stood_in_for() {
    let (mut task, service) = asking(ResultOrder::Arrival, None);
    task.numbers(0, &[1, 2]);
    task.settle(1);
    service.answer(1, Ok(10));
    assert_eq!(task.settle(100), Step::Wait { until: Some(Now(101)) });
    let Step::Ended(Outcome::Failed(failure)) = task.settle(101) else { panic!("it must fail") };
    assert!(failure.message.starts_with("no answer within 100 ms"), "{failure}");
    assert_eq!(failure.operator.as_deref(), Some("ask"));
    assert_eq!(service.under_way(), [0; 0]);

    let instead: OnTimeout<u64, u64> = Arc::new(|n| if n < 5 { Ok(n * 100) } else { Err("five".to_owned()) });
    for order in [ResultOrder::Arrival, ResultOrder::Completion] {
        let (mut task, service) = asking(order, Some(Arc::clone(&instead)));
        task.numbers(0, &[1, 2, 3]);
        task.settle(1);
        service.answer(2, Ok(20));
        task.settle(50);
        task.settle(101);
        assert_eq!(
            batches(&task).concat().replace("][", ", "),
            match order {
                ResultOrder::Arrival => "[100, 20]",
                ResultOrder::Completion => "[20, 100]",
            }
        );
        service.answer(1, Ok(10));
        service.answer(3, Ok(30));
        task.settle(102);
        assert_eq!(batches(&task), ["[30]"], "an answer that comes too late is no answer");
        task.numbers(0, &[5]);
        task.settle(103);
        let Step::Ended(Outcome::Failed(failure)) = task.settle(203) else { panic!("it must fail") };
        assert_eq!(failure.message, "five");
    }
}

#[test]
fn errors_and_panics_of_a_request_fail_its_subtask_and_drop_the_others() {
    let failed = |n: u64, answer: Option<Answer>| -> Failure {
        let (mut task, service) = asking(ResultOrder::Completion, None);
        task.numbers(0, &[1, n]);
        let mut step = task.settle(1);
        if let Some(answer) = answer {
            service.answer(n, answer);
            step = task.settle(2);
        }
        let Step::Ended(Outcome::Failed(failure)) = step else { panic!("it must fail: {step:?}") };
        assert_eq!(service.under_way(), [0; 0]);
        assert_eq!(failure.operator.as_deref(), Some("ask"));
        failure
    };
    assert_eq!(failed(2, Some(Err("no such user"))).message, "no such user");
    assert_eq!(failed(2, Some(Ok(14))).message, "panicked in an asynchronous request: fourteen");
    assert!(failed(13, None).message.ends_with("thirteen"));
}

#[test]
fn a_cancelled_subtask_drops_its_requests() {
    let (mut task, service) = asking(ResultOrder::Arrival, None);
    task.numbers(0, &[1, 2, 3]);
    task.settle(1);
    task.mail(Mail::Cancel);
    assert_eq!(task.step(2), Step::Ended(Outcome::Canceled));
    assert_eq!(service.under_way(), [0; 0]);
}
