use std::time::Duration;

use http::header::{CONTENT_TYPE, TE};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Method, Version, request};
use tonic_call::{GRPC_TIMEOUT, Protocol, format_timeout};

use super::remove;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// Whether a header describes the HTTP body or the connection, and has no meaning inside.
fn is_removed(name: &str) -> bool {
    matches!(
        name,
        "accept-encoding"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "connect-accept-encoding"
            | "connect-content-encoding"
            | "connect-protocol-version"
            | "connect-timeout-ms"
            // A Connect client does not send these. They would change how the body is read.
            | "grpc-accept-encoding"
            | "grpc-encoding"
            | "grpc-message-type"
            | "grpc-timeout"
    )
}

/// Makes the head that of a gRPC request. A query is dropped: it has no place in gRPC, and may hold a message. `path` is
/// the path without it, where that is at hand.
pub(crate) fn translate_request(
    head: &mut request::Parts,
    timeout: Option<Duration>,
    path: Option<&PathAndQuery>,
) {
    remove(&mut head.headers, is_removed);
    head.headers.insert(CONTENT_TYPE, GRPC);
    head.headers.insert(TE, TRAILERS);
    if let Some(timeout) = timeout {
        head.headers.insert(GRPC_TIMEOUT, format_timeout(timeout));
    }
    head.method = Method::POST;
    // tonic-web refuses gRPC on other versions.
    head.version = Version::HTTP_2;
    head.extensions.insert(Protocol::Connect);
    drop_query(&mut head.uri, path);
}

fn drop_query(uri: &mut Uri, without: Option<&PathAndQuery>) {
    if uri.query().is_none() {
        return;
    }
    let mut parts = std::mem::take(uri).into_parts();
    // The path alone was valid with its query, and so is valid without it.
    parts.path_and_query = without.cloned().or_else(|| {
        let path = parts.path_and_query?;
        Some(PathAndQuery::try_from(path.path()).unwrap_or_else(|_| path.clone()))
    });
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, Request};

    use super::*;

    #[test]
    fn the_head_becomes_that_of_a_grpc_request() {
        let request = Request::get("http://host/a.B/C?connect=v1&message=secret")
            .version(Version::HTTP_11)
            .header("connect-protocol-version", "1")
            .header("content-length", "7")
            .header("grpc-encoding", "gzip")
            .header("x-own", "kept")
            .body(());
        let mut head = request.expect("a request").into_parts().0;
        let path = PathAndQuery::from_static("/a.B/C");
        let mut other = head.clone();
        translate_request(&mut head, Some(Duration::from_millis(1_500)), None);
        translate_request(&mut other, None, Some(&path));

        assert_eq!(other.uri, "http://host/a.B/C");
        assert_eq!(head.uri, "http://host/a.B/C");
        assert_eq!((head.method, head.version), (Method::POST, Version::HTTP_2));
        assert!(matches!(head.extensions.get(), Some(Protocol::Connect)));
        let expected = [
            ("x-own", "kept"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", "1500000u"),
        ]
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        assert_eq!(head.headers, http::HeaderMap::from_iter(expected));
    }
}
