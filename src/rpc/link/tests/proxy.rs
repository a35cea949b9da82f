//! A TCP proxy that misbehaves on request.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(super) struct Proxy {
    pub(super) authority: String,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

struct State {
    /// How many bytes each of the coming connections carries before it is cut; those after the last one live on.
    budgets: Mutex<Vec<usize>>,
    cut: watch::Sender<u64>,
    frozen: watch::Sender<bool>,
}

impl Proxy {
    pub(super) async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            budgets: Mutex::default(),
            cut: watch::Sender::new(0),
            frozen: watch::Sender::new(false),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream.to_owned(), Arc::clone(&state)));
        Self { authority, state, _tasks: tasks }
    }

    /// Closes all present connections.
    pub(super) fn cut(&self) {
        self.state.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts the coming connections after so many bytes.
    pub(super) fn cut_after(&self, budgets: Vec<usize>) {
        *self.state.budgets.lock().unwrap() = budgets;
    }

    /// Stops, or goes on, carrying bytes.
    pub(super) fn freeze(&self, frozen: bool) {
        self.state.frozen.send_replace(frozen);
    }
}

async fn accept(listener: TcpListener, upstream: String, state: Arc<State>) {
    let mut tasks = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        let budget = state.budgets.lock().unwrap().pop().unwrap_or(usize::MAX);
        tasks.spawn(carry(near, upstream.clone(), Arc::clone(&state), budget));
    }
}

async fn carry(near: TcpStream, upstream: String, state: Arc<State>, budget: usize) {
    let mut cut = state.cut.subscribe();
    let Ok(far) = TcpStream::connect(upstream).await else {
        return;
    };
    let budget = AtomicUsize::new(budget);
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::select! {
        biased; // What waits to be carried is cut off with the rest.
        _ = cut.changed() => {}
        () = copy(near_read, far_write, &state, &budget) => {}
        () = copy(far_read, near_write, &state, &budget) => {}
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    state: &State,
    budget: &AtomicUsize,
) {
    let mut frozen = state.frozen.subscribe();
    let mut buffer = [0; 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        frozen.wait_for(|frozen| !frozen).await.unwrap();
        let left = budget.load(Ordering::Relaxed);
        let allowed = read.min(left);
        budget.store(left - allowed, Ordering::Relaxed);
        if to.write_all(&buffer[..allowed]).await.is_err() || allowed < read {
            return;
        }
    }
}
