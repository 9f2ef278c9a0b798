use http::{HeaderMap, HeaderName};

use super::remove;

/// Whether a header belongs to gRPC, to Connect or to the connection, and is no metadata.
fn is_removed(name: &str) -> bool {
    name == "content-type" || is_removed_from_head(name)
}

fn is_removed_from_head(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "connect-accept-encoding"
            | "connect-content-encoding"
            | "content-encoding"
            | "content-length"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "grpc-accept-encoding"
            | "grpc-encoding"
            | "grpc-message"
            | "grpc-status"
            | "grpc-status-details-bin"
    )
}

/// Leaves only metadata in the trailers of a gRPC response.
pub(crate) fn strip_trailers(headers: &mut HeaderMap) {
    remove(headers, is_removed);
}

/// Leaves only metadata in the head of a gRPC response, and the content type, which the answer replaces.
pub(crate) fn strip_head(headers: &mut HeaderMap) {
    remove(headers, is_removed_from_head);
}

/// Adds the metadata in trailers to the headers of a unary response (Connect, "Unary-Response"). Names that get too
/// long for a header are left out.
pub(crate) fn prefix_trailers(headers: &mut HeaderMap, trailers: &HeaderMap) {
    for (name, value) in trailers {
        if is_removed(name.as_str()) {
            continue;
        }
        if let Ok(name) = HeaderName::try_from(format!("trailer-{name}")) {
            headers.append(name, value.clone());
        }
    }
}
