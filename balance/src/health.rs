//! Client-side health checks (gRFC A17): an address is ready only while its server reports `SERVING`.

use std::sync::Arc;

use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Code, Status, Streaming};
use tonic_call::sanitize;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::backoff::Backoff;
use crate::connect::{CONNECT_TIMEOUT, Connection};
use crate::event::{Event, EventSender};
use crate::random::Random;

/// Watches the health of one service on one connection.
#[derive(Debug)]
pub(crate) struct HealthWatch {
    pub(crate) connection: Arc<Connection>,
    pub(crate) service: Arc<str>,
    pub(crate) events: EventSender,
}

impl HealthWatch {
    /// Reports each change of the health. A watch that ends is repeated, with the same back-off as attempts to
    /// connect. Returns if the server has no health service.
    pub(crate) async fn run(self, random: Random) {
        let mut backoff = Backoff::new(random);
        loop {
            let started = Instant::now();
            let mut answered = false;
            let ended = self.watch(&mut answered).await;
            if ended.code() == Code::Unimplemented {
                tracing::warn!(
                    target: "tonic_balance",
                    address = %self.events.address,
                    "the server has no health service; it is used without health checks"
                );
                return self.ready().await;
            }
            let message = sanitize(ended.message());
            let reason = format!("the health check has ended: {:?} {message}", ended.code());
            self.unhealthy(&reason).await;
            let delay = if answered { backoff.succeeded() } else { backoff.failed() };
            sleep_until(started + delay).await;
        }
    }

    /// One watch; returns how it ended.
    async fn watch(&self, answered: &mut bool) -> Status {
        let mut client = HealthClient::new(self.connection.channels.take());
        let service = String::from(&*self.service);
        let end = Instant::now() + CONNECT_TIMEOUT;
        let first = async {
            let mut answers = client.watch(HealthCheckRequest { service }).await?.into_inner();
            let answer = next(&mut answers).await?;
            Ok::<_, Status>((answers, answer))
        };
        // Calls wait for the first answer, so the time for it is limited.
        let (mut answers, mut answer) = match timeout_at(end, first).await {
            Ok(Ok(first)) => first,
            Ok(Err(status)) => return status,
            Err(_) => {
                return Status::deadline_exceeded(format!("no answer within {CONNECT_TIMEOUT:?}"));
            }
        };
        *answered = true;
        let mut reported = None;
        loop {
            let status = answer.status();
            if reported.replace(status) != Some(status) {
                self.report(status).await;
            }
            // A server that sends one answer after the other must not keep a thread busy.
            consume_budget().await;
            answer = match next(&mut answers).await {
                Ok(answer) => answer,
                Err(status) => return status,
            };
        }
    }

    async fn report(&self, status: ServingStatus) {
        match status {
            ServingStatus::Serving => self.ready().await,
            _ => self.unhealthy(&format!("health check: {}", status.as_str_name())).await,
        }
    }

    async fn ready(&self) {
        self.events.send(Event::Ready(Arc::clone(&self.connection))).await;
    }

    async fn unhealthy(&self, reason: &str) {
        self.events.send(Event::Unhealthy(reason.into())).await;
    }
}

async fn next(answers: &mut Streaming<HealthCheckResponse>) -> Result<HealthCheckResponse, Status> {
    let answer = answers.message().await?;
    answer.ok_or_else(|| Status::unavailable("the server has ended the watch"))
}
