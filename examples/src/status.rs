//! Error statuses with `google.rpc.ErrorInfo`, as AIP-193 requires.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of the reasons.
pub(crate) const DOMAIN: &str = "orders.v1";

/// Longer texts of callers are cut, so that they cannot make our headers too long.
const MAX_QUOTED_CHARS: usize = 64;

/// A status with a `reason` for programs (stable, in capitals).
pub(crate) fn with_reason(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    metadata: &[(&str, &str)],
) -> Status {
    let metadata = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), cut(value)))
        .collect::<std::collections::HashMap<_, _>>();
    let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    Status::with_error_details(code, message, details)
}

pub(crate) fn order_not_found(id: &str) -> Status {
    let message = format!("order {} does not exist", quoted(id));
    with_reason(Code::NotFound, "ORDER_NOT_FOUND", message, &[("id", id)])
}

pub(crate) fn stopping() -> Status {
    with_reason(
        Code::Unavailable,
        "SERVER_STOPPING",
        "this server is shutting down; try again",
        &[],
    )
}

/// A caller's text in quotes, escaped and cut.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", cut(text))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
