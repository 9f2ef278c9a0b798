//! Calls by tonic's client.

use tonic::Code;
use tonic_call::{MethodKind, code_name};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Outcome, call};

use crate::observed::stable;
use crate::server::{KEY, Server};
use crate::table::Row;

/// The metadata of a caller who is known.
pub(crate) const KNOWN: (&str, &str) = ("x-api-key", KEY);

/// What a caller has received.
pub(crate) fn shown(outcome: &Outcome) -> String {
    let messages = match outcome.notes {
        0 => String::new(),
        1 => "1 message, ".to_owned(),
        count => format!("{count} messages, "),
    };
    messages + &status(outcome.code, &outcome.message)
}

/// A status code and its message.
pub(crate) fn status(code: Code, message: &str) -> String {
    match message {
        "" => format!("`{}`", code_name(code)),
        _ => format!("`{}` “{}”", code_name(code), stable(message)),
    }
}

/// Makes a call with this metadata to its end.
pub(crate) async fn seen_with(
    server: Server<'_>,
    ending: &str,
    kind: MethodKind,
    ask: Ask,
    metadata: &[(&'static str, &str)],
) -> Row {
    let mut client = server.client().await;
    let outcome = call(&mut client, kind, ask, metadata).await;
    drop(client);
    server.row(ending, shown(&outcome)).await
}

/// Makes a call of a known caller to its end.
pub(crate) async fn seen(server: Server<'_>, ending: &str, kind: MethodKind, ask: Ask) -> Row {
    seen_with(server, ending, kind, ask, &[KNOWN]).await
}
