//! 10,000 changes of the address list leave nothing behind. One test only: others would open sockets, too.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod servers;

use std::time::Duration;

use servers::{Running, closed_port, endpoint, until};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio_stream::wrappers::ReceiverStream;
use tonic_balance::{Address, Balanced, Change, State};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;

/// The open files of this process: its sockets, and those of the servers.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[derive(Debug, PartialEq)]
struct Resources {
    tasks: usize,
    files: usize,
}

impl Resources {
    fn now() -> Self {
        Self { tasks: Handle::current().metrics().num_alive_tasks(), files: open_files() }
    }

    /// Waits until exactly these are in use: a connection that is closed needs a moment to end.
    async fn until(&self) {
        let reached = async {
            while Self::now() != *self {
                yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), reached).await;
        assert!(waited.is_ok(), "{:?} instead of {self:?}", Self::now());
    }
}

struct Churn {
    balanced: Balanced,
    changes: mpsc::Sender<Change>,
    others: Vec<Address>,
}

impl Churn {
    /// Adds and removes addresses, some of which connect and some of which do not. Makes calls meanwhile.
    async fn run(&self, changes: usize) {
        for number in 0..changes / 2 {
            let other = &self.others[number % self.others.len()];
            self.changes.send(Change::Add(other.clone())).await.unwrap();
            if number % 50 == 0 {
                while self.balanced.states().len() == 1 {
                    yield_now().await;
                }
                KindsClient::new(self.balanced.clone()).unary(Ask::default()).await.unwrap();
            }
            self.changes.send(Change::Remove(other.clone())).await.unwrap();
        }
        while self.balanced.states().len() != 1 {
            yield_now().await;
        }
    }
}

/// Of memory that is in use after the changes and was not before: one byte for each change is too much.
const MAX_BYTES: i64 = CHANGES as i64;
const CHANGES: usize = 10_000;

#[test]
fn ten_thousand_changes_leave_no_task_no_socket_and_no_memory() {
    // On this thread alone, so that its allocations can be counted.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = runtime.block_on(async { Resources::now() });
    let (staying, other) = (Running::start(), Running::start());
    let (churn, connected) = runtime.block_on(async {
        let (changes, received) = mpsc::channel(1);
        let balanced = Balanced::discover(endpoint(), ReceiverStream::new(received)).build();
        let others = vec![other.address.into(), closed_port().await.into()];
        changes.send(Change::Add(staying.address.into())).await.unwrap();
        until(&balanced, 1, State::Ready).await;
        KindsClient::new(balanced.clone()).unary(Ask::default()).await.unwrap();
        let connected = Resources::now();
        let churn = Churn { balanced, changes, others };
        // Buffers and tables have their size after this.
        churn.run(CHANGES).await;
        connected.until().await;
        (churn, connected)
    });
    let memory = allocation_counter::measure(|| {
        runtime.block_on(async {
            churn.run(CHANGES).await;
            connected.until().await;
        });
    });
    assert!(memory.bytes_current <= MAX_BYTES, "{} bytes", memory.bytes_current);
    runtime.block_on(async {
        drop((churn, staying, other));
        before.until().await;
    });
}
