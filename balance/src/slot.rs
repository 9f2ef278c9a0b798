//! The connection to one address, kept up by a task of its own.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tonic_call::{BoxError, Guarded};

use crate::Address;
use crate::backoff::Backoff;
use crate::connect::{Connection, Dialer};
use crate::error_text::error_text;
use crate::health::HealthWatch;
use crate::random::Random;

/// What has happened to the connection of one slot.
#[derive(Debug)]
pub(crate) enum Event {
    /// It is there.
    Ready(Arc<Connection>),
    /// It is there, but is not to be used, and why.
    Unhealthy(Arc<str>),
    /// An attempt has failed.
    Failed(Arc<str>),
    /// It was there, and is lost or about to close. The next attempt is under way.
    Lost(Arc<str>),
}

/// An event of one task. Each has a number of its own, so that late events of one that was ended are recognised.
#[derive(Debug)]
pub(crate) struct SlotEvent {
    pub(crate) task: u64,
    pub(crate) address: Address,
    pub(crate) event: Event,
}

/// Sends the events of one task.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    pub(crate) task: u64,
    pub(crate) address: Address,
    pub(crate) sender: UnboundedSender<SlotEvent>,
}

/// Ends a task when it is dropped.
#[derive(Debug)]
pub(crate) struct AbortOnDrop(AbortHandle);

/// How all slots connect.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) dialer: Arc<Dialer>,
    /// The service whose health is watched.
    pub(crate) health: Option<Arc<str>>,
    pub(crate) random: Random,
}

/// Connects, forever. One attempt at a time.
pub(crate) fn spawn(line: Line, events: Events) -> AbortOnDrop {
    AbortOnDrop::new(&tokio::spawn(run(line, events)))
}

async fn run(line: Line, events: Events) {
    let mut backoff = Backoff::new(line.random.clone());
    let mut was_short = false;
    loop {
        let begun = Instant::now();
        // Each attempt counts from its beginning: one that took long is followed by the next at once.
        let delay = match connect(&line.dialer, &events.address).await {
            Ok(connection) => {
                let reason = serve(Arc::new(connection), &line, &events).await;
                let was_short_before = was_short;
                was_short = begun.elapsed() < Backoff::INITIAL;
                // Calls do not wait for a server that closes one connection after the other at once.
                if was_short && was_short_before {
                    events.send(Event::Failed(reason));
                    backoff.failed()
                } else {
                    events.send(Event::Lost(reason));
                    backoff.succeeded()
                }
            }
            Err(error) => {
                events.send(Event::Failed(error_text(&*error).into()));
                backoff.failed()
            }
        };
        sleep_until(begun + delay).await;
    }
}

/// Connects; a connector that panics has failed.
async fn connect(dialer: &Arc<Dialer>, address: &Address) -> Result<Connection, BoxError> {
    let mut attempt = Guarded::new(Box::pin(Arc::clone(dialer).connect(address.clone())));
    poll_fn(|cx| attempt.poll(cx))
        .await
        .unwrap_or_else(|message| Err(format!("the connector panicked: {message}").into()))
}

/// Until the connection is over. Returns why.
async fn serve(connection: Arc<Connection>, line: &Line, events: &Events) -> Arc<str> {
    let life = connection.life.clone();
    let Some(service) = line.health.clone() else {
        events.send(Event::Ready(connection));
        return life.until_over().await;
    };
    let watch = HealthWatch { connection, service, events: events.clone() };
    tokio::select! {
        reason = life.until_over() => reason,
        () = watch.run(line.random.clone()) => life.until_over().await,
    }
}

impl Events {
    pub(crate) fn send(&self, event: Event) {
        // The manager is gone only if it is about to abort this task.
        let address = self.address.clone();
        let _ = self.sender.send(SlotEvent { task: self.task, address, event });
    }
}

impl AbortOnDrop {
    pub(crate) fn new<T>(task: &JoinHandle<T>) -> Self {
        Self(task.abort_handle())
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
