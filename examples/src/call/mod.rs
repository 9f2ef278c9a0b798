//! `orders call`: calls one method, and prints the response as JSON.

mod channel;
mod credentials;
mod error;
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
pub use error::CallError;
use method::RequestOptions;

/// Maximum time to connect; `--timeout` may be shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls the method and prints each response message as one line of JSON, when it arrives.
///
/// A response stream ends early, without an error, if standard output is closed. Other methods complete.
pub async fn run(args: CallArgs, traces: Option<&Traces>) -> Result<(), CallError> {
    let scrape = args.verbose.then(metrics::install).transpose().map_err(CallError::Output)?;
    let result = call(args, traces).await;
    if let Some(scrape) = scrape {
        output::print_to_stderr(metrics::samples(&scrape));
    }
    result
}

async fn call(args: CallArgs, traces: Option<&Traces>) -> Result<(), CallError> {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    let streams_response = args.method.streams_response();
    let result = tokio::select! {
        // First: the channel has a timer, too, and reports its expiry as "cancelled".
        biased;
        () = expiry(deadline) => Err(expired()),
        result = connect_and_call(args, deadline, traces) => result,
        () = output::closed(), if streams_response => Ok(()),
        // Only needed to export the span: otherwise the signal ends the process.
        () = interrupted(), if traces.is_some() => Err(CallError::Interrupted),
    };
    match result {
        Err(CallError::OutputClosed) => Ok(()),
        Err(CallError::Status(status)) if is_cancelled_by_deadline(&status, deadline) => {
            Err(expired())
        }
        result => result,
    }
}

async fn connect_and_call(
    args: CallArgs,
    deadline: Option<Instant>,
    traces: Option<&Traces>,
) -> Result<(), CallError> {
    let Credentials { layer, hint } = Credentials::find(&args).await?;
    let channel = Endpoint::from(args.to.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .connect()
        .await
        .map_err(|error| CallError::connect(&args.to, &error))?;
    let client = OrderServiceClient::new(channel::layered(channel, layer, &args, traces)?);
    let options = RequestOptions { metadata: args.metadata, deadline };
    options.call(client, args.method).await.map_err(|error| hint.add_to(error))
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

fn expired() -> CallError {
    CallError::Status(Status::deadline_exceeded("no response within --timeout"))
}

/// A tonic server or channel whose timer expires a little earlier than ours reports that the call was cancelled.
fn is_cancelled_by_deadline(status: &Status, deadline: Option<Instant>) -> bool {
    const TOLERANCE: Duration = Duration::from_millis(5);
    status.code() == Code::Cancelled
        && deadline.is_some_and(|deadline| Instant::now() + TOLERANCE >= deadline)
}
