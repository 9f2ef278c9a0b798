//! `orders call`: calls one method, and prints the response as JSON.

mod channel;
mod credentials;
mod error;
mod lines;
mod method;
mod output;
mod repeat;
mod resolve;
mod retries;
mod servers;
mod tls;
mod tls_errors;

use tokio::time::timeout;
use tonic::Status;
use tonic_call::ServiceConfig;
use tonic_tls_reload::TlsEndpoint;

use crate::cli::CallArgs;
use crate::metrics;
use crate::traces::Traces;
use crate::v1::order_service_client::OrderServiceClient;

use credentials::Credentials;
pub use error::CallError;
use method::RequestOptions;
use repeat::Summary;
use servers::Servers;

/// Calls the method and prints each response message as one line of JSON, when it arrives.
///
/// A response stream ends early, without an error, if standard output is closed. Other methods complete.
pub async fn run(args: CallArgs, traces: Option<&Traces>) -> Result<(), CallError> {
    let install = || metrics::install_with(retries::set_buckets);
    let scrape = args.verbose.then(install).transpose().map_err(CallError::Output)?;
    let config = channel::service_config(&args)?;
    let tls = tls::endpoint(&args.tls, args.first_url())?;
    let servers = Servers::connect(&args, tls.as_ref(), &config);
    let mut summary = Summary::default();
    let result = call(args, tls.as_ref(), &config, traces, &servers, &mut summary).await;

    // While the connections are open, so that they are counted.
    let samples = scrape.map(|scrape| metrics::samples(&scrape));
    let summary = summary.finish(servers.addresses());
    servers.close().await;
    output::print_to_stderr(samples.into_iter().flatten());
    // As the last lines, whether or not it is an error.
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
    tls: Option<&TlsEndpoint>,
    config: &ServiceConfig,
    traces: Option<&Traces>,
    servers: &Servers,
    summary: &mut Summary,
) -> Result<(), CallError> {
    let streams_response = args.method.streams_response();
    // Otherwise the signal ends the process.
    let reports_at_end = traces.is_some() || args.repeat.is_some();
    let result = tokio::select! {
        result = make_calls(args, tls, config, traces, servers, summary) => result,
        () = output::closed(), if streams_response => Ok(()),
        // The span is exported, and the calls before are counted.
        () = interrupted(), if reports_at_end => Err(CallError::Interrupted),
    };
    match result {
        Err(CallError::OutputClosed) => Ok(()),
        result => result,
    }
}

async fn make_calls(
    args: CallArgs,
    tls: Option<&TlsEndpoint>,
    config: &ServiceConfig,
    traces: Option<&Traces>,
    servers: &Servers,
    summary: &mut Summary,
) -> Result<(), CallError> {
    let Credentials { layer, hint } = find_credentials(&args, tls).await?;
    let channel = channel::layered(servers.channel(), layer, &args, config, traces)?;
    let client = OrderServiceClient::new(channel);
    let options = RequestOptions { metadata: args.metadata, wait_for_ready: args.wait_for_ready };
    let call_once = async || {
        let called = options.call(client.clone(), args.method.clone()).await;
        called.map_err(|error| hint.add_to(error.naming_servers(&servers.failures())))
    };
    match args.repeat {
        None => call_once().await,
        Some(times) => {
            servers.wait_for_connections().await;
            summary.repeat(times, call_once, || servers.take_picks()).await
        }
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
