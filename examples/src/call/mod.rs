//! `orders call`: calls one method, and prints the response as JSON.

mod channel;
mod credentials;
mod error;
mod lines;
mod method;
mod output;
mod repeat;
mod retries;
mod tls;

use tokio::time::timeout;
use tonic::Status;
use tonic::transport::Endpoint;
use tonic_tls_reload::TlsEndpoint;

use crate::cli::CallArgs;
use crate::metrics;
use crate::traces::Traces;
use crate::v1::order_service_client::OrderServiceClient;

use credentials::Credentials;
use error::CONNECT_TIMEOUT;
pub use error::CallError;
use method::RequestOptions;
use repeat::Summary;

/// Calls the method and prints each response message as one line of JSON, when it arrives.
///
/// A response stream ends early, without an error, if standard output is closed. Other methods complete.
pub async fn run(args: CallArgs, traces: Option<&Traces>) -> Result<(), CallError> {
    let install = || metrics::install_with(retries::set_buckets);
    let scrape = args.verbose.then(install).transpose().map_err(CallError::Output)?;
    let mut summary = Summary::default();
    let result = call(args, traces, &mut summary).await;
    if let Some(scrape) = scrape {
        output::print_to_stderr(metrics::samples(&scrape));
    }
    // As the last line, whether or not it is an error.
    match result {
        Ok(()) if summary.any_failed() => Err(CallError::SomeFailed(summary.to_string())),
        result => {
            output::print_to_stderr(summary.any().then(|| summary.to_string()));
            result
        }
    }
}

async fn call(
    args: CallArgs,
    traces: Option<&Traces>,
    summary: &mut Summary,
) -> Result<(), CallError> {
    let streams_response = args.method.streams_response();
    let result = tokio::select! {
        result = connect_and_call(args, traces, summary) => result,
        () = output::closed(), if streams_response => Ok(()),
        // Only needed to export the span: otherwise the signal ends the process.
        () = interrupted(), if traces.is_some() => Err(CallError::Interrupted),
    };
    match result {
        Err(CallError::OutputClosed) => Ok(()),
        result => result,
    }
}

async fn connect_and_call(
    args: CallArgs,
    traces: Option<&Traces>,
    summary: &mut Summary,
) -> Result<(), CallError> {
    let tls = tls::endpoint(&args.tls, &args.to)?;
    let Credentials { layer, hint } = find_credentials(&args, tls.as_ref()).await?;
    // Connects when the call waits for it, so that the layers see a failure, and the deadline covers the wait.
    let with_timeout = |endpoint: Endpoint| endpoint.connect_timeout(CONNECT_TIMEOUT);
    let channel = match tls {
        Some(endpoint) => endpoint.configure(with_timeout).connect_lazy(),
        None => with_timeout(Endpoint::from(args.to.clone())).connect_lazy(),
    };
    let channel = channel::layered(channel, layer, &args, traces)?;
    let client = OrderServiceClient::new(channel);
    let options = RequestOptions { metadata: args.metadata, wait_for_ready: args.wait_for_ready };
    let call_once = async || {
        let called = options.call(client.clone(), args.method.clone()).await;
        called.map_err(|error| hint.add_to(tls::explain(error, &args.to).naming_server(&args.to)))
    };
    match args.repeat {
        None => call_once().await,
        Some(times) => summary.repeat(times, call_once).await,
    }
}

/// The credentials, unless they cannot be read within `--timeout`: a file may be a pipe without data.
async fn find_credentials(
    args: &CallArgs,
    tls: Option<&TlsEndpoint>,
) -> Result<Credentials, CallError> {
    let find = Credentials::find(args, tls);
    let Some(limit) = args.timeout else { return find.await };
    timeout(limit, find).await.unwrap_or_else(|_| {
        let message = format!("the token could not be read within {limit:?}");
        Err(CallError::Status(Status::deadline_exceeded(message)))
    })
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
