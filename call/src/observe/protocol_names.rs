//! The protocol of a call, and its names in logs, metrics and traces.

use http::request;
use tonic::Code;

use crate::observe::{Protocol, Side};
use crate::show::code_name;

impl Protocol {
    /// The protocol in which the caller of this request speaks; [`Grpc`](Self::Grpc) if nothing shows another one.
    ///
    /// On a server, it is the value in the request's extensions, if a layer outside has inserted one, or else the
    /// protocol that the [content type](Self::of) names. Nothing that a caller sends gets into the extensions, so
    /// a caller cannot choose a protocol that the server does not speak. On a client the extensions are ignored: a
    /// handler that forwards its request also forwards the extensions, and the protocol of another call in them.
    ///
    /// A layer that translates a protocol into gRPC inserts the value before it calls the layers inside:
    ///
    /// ```
    /// use tonic_call::Protocol;
    ///
    /// fn translate<B>(mut request: http::Request<B>) -> http::Request<B> {
    ///     request.extensions_mut().insert(Protocol::Connect);
    ///     // Then the headers and the body.
    /// #   request
    /// }
    /// ```
    ///
    /// tonic-web inserts nothing. Inside it, a call is known to be gRPC-Web if an
    /// [`ObserveLayer`](crate::ObserveLayer), or another layer that inserts the value, is outside it.
    pub fn of_call(side: Side, head: &request::Parts) -> Self {
        let inserted = match side {
            Side::Server => head.extensions.get::<Self>().copied(),
            Side::Client => None,
        };
        inserted.or_else(|| Self::of(&head.headers)).unwrap_or_default()
    }

    /// The name of the protocol in logs and metrics: `grpc`, `grpc-web` (binary and text) or `connect`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcWeb | Self::GrpcWebText => "grpc-web",
            Self::Connect => "connect",
        }
    }

    /// OpenTelemetry's `rpc.system.name`: `grpc`, also for gRPC-Web, or `connectrpc`.
    pub fn system_name(self) -> &'static str {
        match self {
            Self::Grpc | Self::GrpcWeb | Self::GrpcWebText => "grpc",
            Self::Connect => "connectrpc",
        }
    }

    /// The name of a code in this protocol, as OpenTelemetry's conventions want it: that of
    /// [`code_name`](crate::code_name), `NOT_FOUND`, or for Connect `not_found` (Connect, "Error Codes"). Connect
    /// has no code for success; the conventions name it `OK`, like gRPC.
    pub fn code_name(self, code: Code) -> &'static str {
        match self {
            Self::Grpc | Self::GrpcWeb | Self::GrpcWebText => code_name(code),
            Self::Connect => connect_code_name(code),
        }
    }

    /// Keeps the protocol of a gRPC-Web request for layers inside tonic-web, which see gRPC.
    pub(super) fn mark(named: Option<Self>, head: &mut request::Parts) {
        if let Some(web @ (Self::GrpcWeb | Self::GrpcWebText)) = named {
            head.extensions.insert(web);
        }
    }
}

fn connect_code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "canceled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::CONTENT_TYPE;

    use super::*;
    use crate::show::CODES;

    fn head(content_type: &str, inserted: Option<Protocol>) -> request::Parts {
        let mut request = Request::post("/").header(CONTENT_TYPE, content_type);
        // Headers do not make a call one of Connect.
        request = request.header("connect-protocol-version", "1").header("protocol", "connect");
        let (mut head, ()) = request.body(()).expect("a request").into_parts();
        if let Some(protocol) = inserted {
            head.extensions.insert(protocol);
        }
        head
    }

    #[test]
    fn a_server_knows_the_protocol_by_the_extension_and_else_by_the_content_type() {
        for (content_type, inserted, protocol) in [
            ("application/grpc", None, Protocol::Grpc),
            ("application/grpc", Some(Protocol::Connect), Protocol::Connect),
            ("application/grpc", Some(Protocol::GrpcWeb), Protocol::GrpcWeb),
            ("application/grpc-web", None, Protocol::GrpcWeb),
            ("application/grpc-web-text", None, Protocol::GrpcWebText),
            ("application/json", None, Protocol::Grpc),
            ("application/connect+json", None, Protocol::Grpc),
        ] {
            let head = head(content_type, inserted);
            assert_eq!(Protocol::of_call(Side::Server, &head), protocol, "{content_type}");
        }
    }

    #[test]
    fn a_client_ignores_the_protocol_of_the_call_that_its_server_is_serving() {
        let head = head("application/grpc", Some(Protocol::Connect));
        assert_eq!(Protocol::of_call(Side::Client, &head), Protocol::Grpc);
    }

    #[test]
    fn a_code_of_connect_is_grpc_s_in_lower_case_but_for_ok_and_one_letter() {
        for code in CODES {
            let expected = match code {
                Code::Ok => "OK".to_owned(),
                Code::Cancelled => "canceled".to_owned(),
                code => code_name(code).to_lowercase(),
            };
            assert_eq!(Protocol::Connect.code_name(code), expected);
            for protocol in [Protocol::Grpc, Protocol::GrpcWeb, Protocol::GrpcWebText] {
                assert_eq!(protocol.code_name(code), code_name(code));
            }
        }
    }
}
