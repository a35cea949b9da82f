//! Asynchronous requests of whole programs, against the map they stand for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::AsyncDataStream;
use super::pipelines::{in_all_ways, main_of};
use crate::graph::plan::ExecutionMode;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Answers at once, soon or a little later.
async fn triple(n: u64) -> Result<u64, String> {
    match n % 7 {
        0 => {}
        1 => tokio::time::sleep(Duration::from_micros(n % 900)).await,
        _ => tokio::task::yield_now().await,
    }
    Ok(n * 3)
}

#[test]
fn requests_are_a_map() {
    let expected: Vec<u64> = (1..=3000).map(|n| n * 3).collect();
    for (mode, rows) in
        in_all_ways(|env| AsyncDataStream::ordered_wait(&env.from_sequence(1, 3000), triple, TIMEOUT, 50))
    {
        assert_eq!(rows, expected, "ordered, {mode}");
    }
    for (mode, rows) in in_all_ways(|env| {
        let tripled = AsyncDataStream::unordered_wait(&env.from_sequence(1, 3000), triple, TIMEOUT, 7);
        AsyncDataStream::unordered_wait(&tripled, |n| async move { Ok::<_, String>(n) }, TIMEOUT, 1)
    }) {
        assert_eq!(rows, expected, "unordered, {mode}");
    }
}

#[test]
fn order_is_kept_and_capacity_is_never_exceeded() {
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = {
        let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
        move |n: u64| {
            let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            let under_way = Arc::clone(&under_way);
            async move {
                let result = triple(n).await;
                under_way.fetch_sub(1, Ordering::SeqCst);
                result
            }
        }
    };
    let rows = main_of(|env| {
        env.set_execution_mode(ExecutionMode::Streaming).set_parallelism(1);
        let numbers = env.from_collection(1..=5000u64);
        AsyncDataStream::ordered_wait(&numbers, counted, TIMEOUT, 20).execute_and_collect("test").unwrap()
    });
    assert_eq!(rows, (1..=5000).map(|n| n * 3).collect::<Vec<u64>>());
    assert!((2..=20).contains(&most.load(Ordering::SeqCst)), "{most:?}");
}

#[test]
fn a_result_can_stand_in_for_what_never_comes() {
    let hang = |n: u64| async move {
        if n % 2 == 1 {
            std::future::pending::<()>().await;
        }
        Ok::<_, String>(n)
    };
    for (mode, rows) in in_all_ways(|env| {
        let numbers = env.from_sequence(1, 40);
        AsyncDataStream::unordered_wait_or_else(&numbers, hang, Duration::from_millis(20), 40, |n| Ok(1000 + n))
    }) {
        let expected: Vec<u64> = (1..=20).map(|n| n * 2).chain((0..20).map(|n| 1001 + n * 2)).collect();
        assert_eq!(rows, expected, "{mode}");
    }
}

#[test]
fn a_request_that_fails_or_makes_no_sense_says_so() {
    let error = main_of(|env| {
        let fail = |_| async { Err::<u64, _>("connection refused") };
        AsyncDataStream::ordered_wait(&env.from_sequence(1, 9), fail, TIMEOUT, 3).name("ask").discard();
        env.execute("test").unwrap_err().to_string()
    });
    assert!(error.starts_with("connection refused") && error.contains("(in operator \"ask\")"), "{error}");
    let error = main_of(|env| {
        AsyncDataStream::ordered_wait(&env.from_sequence(1, 9), triple, TIMEOUT, 0).discard();
        env.execute("test").unwrap_err().to_string()
    });
    assert!(error.contains("capacity of at least 1"), "{error}");
}
