//! How this service says no: a status with `google.rpc.ErrorInfo`, as AIP-193 asks for.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Where a reason has its meaning.
pub(crate) const DOMAIN: &str = "orders.v1";

/// Callers may not make our texts, and so our headers, as long as they like.
const LONGEST_QUOTE: usize = 64;

/// A status whose `reason` (stable, in capitals) a program can read.
pub(crate) fn refusal(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    metadata: &[(&str, &str)],
) -> Status {
    let metadata = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), shortened(value)))
        .collect::<std::collections::HashMap<_, _>>();
    let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    Status::with_error_details(code, message, details)
}

pub(crate) fn no_such_order(id: &str) -> Status {
    let message = format!("order {} does not exist", quoted(id));
    refusal(Code::NotFound, "ORDER_NOT_FOUND", message, &[("id", id)])
}

pub(crate) fn stopping() -> Status {
    refusal(Code::Unavailable, "SERVER_STOPPING", "this server is stopping; call again", &[])
}

/// The caller's own text, in quotes, escaped and not too long.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
