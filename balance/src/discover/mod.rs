//! Where the addresses come from.

mod change;
mod host;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tonic_call::guarded;

pub use self::change::Change;
pub(crate) use self::host::{lookup, resolve};
use crate::Address;

/// News of the addresses, for the manager.
#[derive(Debug)]
pub(crate) enum Update {
    Change(Change),
    /// The addresses that are there stay.
    Failed(Arc<str>),
}

pub(crate) type Changes = Pin<Box<dyn Stream<Item = Change> + Send>>;
pub(crate) type Resolve =
    Box<dyn FnMut() -> Pin<Box<dyn Future<Output = io::Result<Vec<Address>>> + Send>> + Send>;

/// Where the addresses come from.
pub(crate) enum Source {
    /// Known from the beginning.
    List(Vec<Address>),
    /// The user's own discovery.
    Changes(Changes),
    /// Called again and again.
    Resolve(Resolve),
}

impl Source {
    /// Sends the updates of this source, until there are none any more.
    pub(crate) async fn run(self, updates: Sender<Update>, again: Arc<Notify>) {
        match self {
            Self::List(addresses) => {
                // Without a manager this task is about to be aborted.
                let _ = updates.send(Update::Change(Change::Replace(addresses))).await;
            }
            Self::Changes(changes) => follow(changes, updates).await,
            Self::Resolve(asked) => resolve(asked, updates, again).await,
        }
    }
}

async fn follow(mut changes: Changes, updates: Sender<Update>) {
    loop {
        let next = poll_fn(|cx| match guarded(|| changes.as_mut().poll_next(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(message) => std::task::Poll::Ready(Err(message)),
        });
        let (update, is_last) = match next.await {
            Ok(Some(change)) => (Update::Change(change), false),
            Ok(None) => (Update::Failed("the stream of addresses has ended".into()), true),
            Err(message) => (
                Update::Failed(format!("the stream of addresses panicked: {message}").into()),
                true,
            ),
        };
        if updates.send(update).await.is_err() || is_last {
            return;
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(addresses) => f.debug_tuple("List").field(addresses).finish(),
            Self::Changes(_) => f.write_str("Changes"),
            Self::Resolve(_) => f.write_str("Resolve"),
        }
    }
}
