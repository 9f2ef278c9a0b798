//! `orders call`: one method of one server, and the answer as JSON.

mod channel;
mod credentials;
mod failure;
mod lines;
mod method;
mod output;

use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::cli::CallArgs;
use crate::metrics;
use crate::traces::Traces;
use crate::v1::order_service_client::OrderServiceClient;

use credentials::Credentials;
pub use failure::Failure;
use method::Call;

/// How long a server may take to be reached, if `--timeout` does not say so.
const CONNECT: Duration = Duration::from_secs(10);

/// Calls the method and prints its answer: one JSON document a line, each as it comes.
///
/// A stream of answers ends early, and well, when nobody reads standard output any more; other methods do
/// their work, whoever reads what came of it.
pub async fn run(args: CallArgs, traces: Option<&Traces>) -> Result<(), Failure> {
    let scrape = args.verbose.then(metrics::install).transpose().map_err(Failure::Output)?;
    let ended = call(args, traces).await;
    if let Some(scrape) = scrape {
        output::not_an_answer(metrics::samples(&scrape));
    }
    ended
}

async fn call(args: CallArgs, traces: Option<&Traces>) -> Result<(), Failure> {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    let answers_stream = args.method.answers_stream();
    let ended = tokio::select! {
        // First: the channel has a timer as well, and calls its own expiry "cancelled".
        biased;
        () = expiry(deadline) => Err(expired()),
        ended = connect_and_call(args, deadline, traces) => ended,
        () = output::nobody_reads(), if answers_stream => Ok(()),
        // Nothing is lost when a call just ends with its process, but its span.
        () = interrupted(), if traces.is_some() => Err(Failure::Interrupted),
    };
    match ended {
        Err(Failure::OutputClosed) => Ok(()),
        Err(Failure::Status(status)) if says_cancelled_for_expired(&status, deadline) => {
            Err(expired())
        }
        ended => ended,
    }
}

async fn connect_and_call(
    args: CallArgs,
    deadline: Option<Instant>,
    traces: Option<&Traces>,
) -> Result<(), Failure> {
    let Credentials { layer, advice } = Credentials::of(&args).await?;
    let channel = Endpoint::from(args.to.clone())
        .connect_timeout(CONNECT)
        .connect()
        .await
        .map_err(|error| Failure::connect(&args.to, &error))?;
    let client = OrderServiceClient::new(channel::layered(channel, layer, &args, traces)?);
    let call = Call { metadata: args.metadata, deadline };
    call.method(client, args.method).await.map_err(|failure| advice.on(failure))
}

async fn expiry(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn expired() -> Failure {
    Failure::Status(Status::deadline_exceeded("no answer within --timeout"))
}

/// A tonic server or channel whose timer was a little ahead of ours answers that the call was cancelled.
fn says_cancelled_for_expired(status: &Status, deadline: Option<Instant>) -> bool {
    const AHEAD: Duration = Duration::from_millis(5);
    status.code() == Code::Cancelled
        && deadline.is_some_and(|deadline| Instant::now() + AHEAD >= deadline)
}
