//! Streams whose records ask somebody outside.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::DataStream;
use crate::engine::operators::{AsyncWait, OnTimeout, Operator, ResultOrder, Wait};
use crate::engine::record::Record;

/// Asks a service or a database for each record, with many requests under way at the same time. Flink's class of that name.
///
/// The function makes a future of a record. It is called on the subtask's thread; the future runs on a tokio runtime of the
/// worker, so it may use whatever needs one, and must not block. At most `capacity` requests of a subtask are under way; beyond
/// that the stream is held back. A future that comes to an error fails the job, one that takes longer than `timeout` too, unless
/// `…_or_else` says what is emitted instead. To try again, do so within the future. Every request is answered before a
/// watermark or the end of the input goes on.
///
/// ```
/// use std::time::Duration;
///
/// use flott::prelude::*;
///
/// /// Stands for a request to a service.
/// async fn name_of(id: u64) -> Result<String, std::io::Error> {
///     tokio::time::sleep(Duration::from_millis(10 / (1 + id))).await;
///     Ok(format!("user {id}"))
/// }
///
/// # fn main() -> Result<(), flott::Error> {
/// let env = StreamExecutionEnvironment::new();
/// env.set_parallelism(1);
/// let ids = env.from_collection([3, 1, 2]);
/// let names = AsyncDataStream::ordered_wait(&ids, name_of, Duration::from_secs(5), 100);
/// assert_eq!(names.execute_and_collect("names")?, ["user 3", "user 1", "user 2"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncDataStream;

impl AsyncDataStream {
    /// Emits results in the order of the records they are for, within a subtask: a slow one holds up those behind it.
    pub fn ordered_wait<T, U, E, R, F>(
        stream: &DataStream<T>,
        request: F,
        timeout: Duration,
        capacity: usize,
    ) -> DataStream<U>
    where
        T: Record,
        U: Record,
        E: Display + 'static,
        R: Future<Output = Result<U, E>> + Send + 'static,
        F: FnMut(T) -> R + Clone + Send + Sync + 'static,
    {
        wait(stream, request, None, Wait { order: ResultOrder::Arrival, timeout, capacity })
    }

    /// Emits results as they come. Between two watermarks any may overtake any other.
    pub fn unordered_wait<T, U, E, R, F>(
        stream: &DataStream<T>,
        request: F,
        timeout: Duration,
        capacity: usize,
    ) -> DataStream<U>
    where
        T: Record,
        U: Record,
        E: Display + 'static,
        R: Future<Output = Result<U, E>> + Send + 'static,
        F: FnMut(T) -> R + Clone + Send + Sync + 'static,
    {
        wait(stream, request, None, Wait { order: ResultOrder::Completion, timeout, capacity })
    }

    /// As [`AsyncDataStream::ordered_wait`]; for a record whose request takes too long, `on_timeout` says what is emitted, or
    /// fails the job. The request is dropped.
    pub fn ordered_wait_or_else<T, U, E, R, F, O>(
        stream: &DataStream<T>,
        request: F,
        timeout: Duration,
        capacity: usize,
        on_timeout: O,
    ) -> DataStream<U>
    where
        T: Record,
        U: Record,
        E: Display + 'static,
        R: Future<Output = Result<U, E>> + Send + 'static,
        F: FnMut(T) -> R + Clone + Send + Sync + 'static,
        O: Fn(T) -> Result<U, E> + Send + Sync + 'static,
    {
        wait(stream, request, Some(erased(on_timeout)), Wait { order: ResultOrder::Arrival, timeout, capacity })
    }

    /// As [`AsyncDataStream::unordered_wait`]; for a record whose request takes too long, `on_timeout` says what is emitted, or
    /// fails the job. The request is dropped.
    pub fn unordered_wait_or_else<T, U, E, R, F, O>(
        stream: &DataStream<T>,
        request: F,
        timeout: Duration,
        capacity: usize,
        on_timeout: O,
    ) -> DataStream<U>
    where
        T: Record,
        U: Record,
        E: Display + 'static,
        R: Future<Output = Result<U, E>> + Send + 'static,
        F: FnMut(T) -> R + Clone + Send + Sync + 'static,
        O: Fn(T) -> Result<U, E> + Send + Sync + 'static,
    {
        wait(stream, request, Some(erased(on_timeout)), Wait { order: ResultOrder::Completion, timeout, capacity })
    }
}

fn erased<T, U, E: Display>(on_timeout: impl Fn(T) -> Result<U, E> + Send + Sync + 'static) -> OnTimeout<T, U> {
    Arc::new(move |record| on_timeout(record).map_err(|error| error.to_string()))
}

fn wait<T, U, E, R, F>(
    stream: &DataStream<T>,
    request: F,
    on_timeout: Option<OnTimeout<T, U>>,
    wait: Wait,
) -> DataStream<U>
where
    T: Record,
    U: Record,
    E: Display + 'static,
    R: Future<Output = Result<U, E>> + Send + 'static,
    F: FnMut(T) -> R + Clone + Send + Sync + 'static,
{
    if wait.capacity == 0 || wait.timeout.is_zero() {
        stream
            .graph()
            .lock()
            .mistake("an asynchronous wait needs a capacity of at least 1 and a timeout longer than 0");
    }
    stream.operator("Async Wait", move || {
        Box::new(AsyncWait::new(request.clone(), on_timeout.clone(), wait)) as Box<dyn Operator>
    })
}
