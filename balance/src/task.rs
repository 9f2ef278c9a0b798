//! The task that keeps one address connected.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tonic_call::{BoxError, Guarded};

use crate::Address;
use crate::backoff::Backoff;
use crate::connect::{Connection, Dialer};
use crate::error_text::error_text;
use crate::event::{Event, EventSender};
use crate::health::HealthWatch;
use crate::random::Random;

/// Ends a task when it is dropped.
#[derive(Debug)]
pub(crate) struct AbortOnDrop(AbortHandle);

/// How all tasks connect.
#[derive(Clone, Debug)]
pub(crate) struct ConnectSettings {
    pub(crate) dialer: Arc<Dialer>,
    /// The service whose health is watched.
    pub(crate) health: Option<Arc<str>>,
    pub(crate) random: Random,
}

/// Starts a task that connects until it is aborted, with one attempt at a time.
pub(crate) fn spawn(settings: ConnectSettings, events: EventSender) -> AbortOnDrop {
    AbortOnDrop::new(&tokio::spawn(run(settings, events)))
}

async fn run(settings: ConnectSettings, events: EventSender) {
    let mut backoff = Backoff::new(settings.random.clone());
    let mut was_short = false;
    loop {
        let started = Instant::now();
        // The delay counts from the start of the attempt: after a long one, the next follows at once.
        let delay = match connect(&settings.dialer, &events.address).await {
            Ok(connection) => {
                let reason = serve(Arc::new(connection), &settings, &events).await;
                let was_short_before = was_short;
                was_short = started.elapsed() < Backoff::INITIAL;
                // Calls must not wait for a server that closes each connection soon after it accepts it.
                if was_short && was_short_before {
                    events.send(Event::Failed(reason)).await;
                    backoff.failed()
                } else {
                    events.send(Event::Lost(reason)).await;
                    backoff.succeeded()
                }
            }
            Err(error) => {
                events.send(Event::Failed(error_text(&error).into())).await;
                backoff.failed()
            }
        };
        sleep_until(started + delay).await;
    }
}

/// Connects. A panic of the connector is an error.
async fn connect(dialer: &Arc<Dialer>, address: &Address) -> Result<Connection, BoxError> {
    let mut attempt = Guarded::new(Box::pin(Arc::clone(dialer).connect(address.clone())));
    poll_fn(|cx| attempt.poll(cx))
        .await
        .unwrap_or_else(|message| Err(format!("the connector panicked: {message}").into()))
}

/// Waits until the connection is over, and returns why.
async fn serve(
    connection: Arc<Connection>,
    settings: &ConnectSettings,
    events: &EventSender,
) -> Arc<str> {
    let lifecycle = connection.lifecycle.clone();
    let Some(service) = settings.health.clone() else {
        events.send(Event::Ready(connection)).await;
        return lifecycle.until_over().await;
    };
    let watch = HealthWatch { connection, service, events: events.clone() };
    tokio::select! {
        reason = lifecycle.until_over() => reason,
        () = watch.run(settings.random.clone()) => lifecycle.until_over().await,
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
