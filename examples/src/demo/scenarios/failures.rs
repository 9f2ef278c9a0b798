//! Failures with and without retries, a server that goes away, and a caller that does.

use std::collections::BTreeSet;

use tokio::sync::mpsc::unbounded_channel;
use tonic::Code;
use tonic_call::code_name;

use super::{Rows, Stage};
use crate::call::{CallError, Connections, Line, Output};
use crate::demo::calls::{Called, parse};
use crate::demo::row::{Ending, count};
use crate::demo::server::Server;
use crate::demo::stage::SERVER;

/// Fails the first two attempts of a call.
const FAILURE: [&str; 2] = ["-H", "x-fault=status=UNAVAILABLE*2"];

/// Returns the call that was retried.
pub(super) async fn run(
    stage: &mut Stage<'_>,
    rows: &mut Rows<'_>,
    order: &str,
) -> Result<Called, String> {
    let get = ["get-order", "--id", order];
    let without = async { Ok(attempts(stage, &[&FAILURE[..], &get].concat(), 1).await?.0) };
    let expected = Ending::grpc(Code::Unavailable, "1 attempt");
    rows.row("failure, not retried", expected, without).await;

    let mut retried = Err("the row has no call".to_owned());
    let with = async {
        let config = ["--service-config", &stage.files.service_config];
        let (ending, called) = attempts(stage, &[&config, &FAILURE, &get[..]].concat(), 3).await?;
        retried = Ok(called);
        Ok(ending)
    };
    rows.row("failure, retried", Ending::ok("3 attempts"), with).await;

    let expected = Ending::grpc(Code::Cancelled, "ended by caller");
    rows.row("a caller goes away", expected, caller_goes_away(stage, order)).await;

    let expected = Ending::ok("40 of 40 calls, 3 servers, then 2");
    rows.row("one of 3 servers dies", expected, server_goes_away(stage)).await;
    retried
}

/// The number of attempts is that of the server's log lines, of which as many are waited for as are `expected`.
async fn attempts(
    stage: &Stage<'_>,
    method: &[&str],
    expected: usize,
) -> Result<(Ending, Called), String> {
    let called = stage.call(method).await?;
    let lines = stage.log.calls(&called.trace_id, SERVER, expected).await?;
    let attempts = lines.iter().filter(|line| line.source == SERVER && line.is_of_call()).count();
    Ok((Ending::grpc(called.code, count(attempts, "attempt")), called))
}

/// Watches an order, and drops the call after the first event. Returns what the server has logged.
async fn caller_goes_away(stage: &Stage<'_>, order: &str) -> Result<Ending, String> {
    let url = stage.server.url();
    let args = parse(&["--to", &url, "--dev-key", &stage.files.key, "watch-order", "--id", order])?;
    let connections = Connections::open(&args).map_err(|error| error.to_string())?;
    let (send, mut lines) = unbounded_channel();
    let mut trace_id = String::new();
    let first_event = async {
        while let Some(line) = lines.recv().await {
            match line {
                Line::TraceId(id) => trace_id = id,
                Line::Message(_) => return,
                Line::NextPageToken(_) => {}
            }
        }
    };
    let call = async {
        let output = Output::Send(send);
        let caller = connections.caller(&args, Some(stage.traces), output).await?;
        caller.call(args.method.clone()).await
    };
    tokio::select! {
        biased;
        () = first_event => {}
        ended = call => return Err(format!("the call has ended before its caller went: {ended:?}")),
    }
    connections.close().await;
    let lines = stage.log.calls(&trace_id, SERVER, 1).await?;
    let line = lines.iter().find(|line| line.source == SERVER && line.is_of_call());
    let line = line.ok_or("there is no line")?;
    let ended_by = format!("ended by {}", line.text("grpc.ended_by"));
    Ok(Ending::new(line.text("rpc.response.status_code"), ended_by))
}

/// Spreads calls over three servers, and kills one of them.
async fn server_goes_away(stage: &mut Stage<'_>) -> Result<Ending, String> {
    let [url, second, third] =
        [&stage.server, &stage.replicas[0], &stage.replicas[1]].map(Server::url);
    let files = &stage.files;
    let credentials = ["--dev-key", &files.key, "--service-config", &files.service_config];
    let servers = ["--to", &url, "--to", &second, "--to", &third, "list-orders"];
    let args = parse(&[&credentials[..], &servers].concat())?;
    let connections = Connections::open(&args).map_err(|error| error.to_string())?;
    let (send, _lines) = unbounded_channel();
    let caller = connections.caller(&args, Some(stage.traces), Output::Send(send)).await;
    let caller = caller.map_err(|error| error.to_string())?;

    let mut failures = Vec::new();
    let mut calls = async |number: usize| {
        for _ in 0..number {
            failures.extend(caller.call(args.method.clone()).await.err());
        }
        connections.servers().take_picks().into_iter().collect::<BTreeSet<_>>().len()
    };
    connections.servers().wait_for_connections().await;
    let before = calls(12).await;
    stage.replicas[1].kill()?;
    // Some of these may come before the client knows that the connection is lost.
    calls(16).await;
    connections.servers().wait_for_a_loss().await;
    let after = calls(12).await;

    let succeeded = 40 - failures.len();
    let code = failures.first().and_then(CallError::code).unwrap_or(Code::Ok);
    drop(caller);
    connections.close().await;
    let detail = format!("{succeeded} of 40 calls, {before} servers, then {after}");
    Ok(Ending::new(code_name(code), detail))
}
