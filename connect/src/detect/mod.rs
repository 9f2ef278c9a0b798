//! Decides what a request is, from its head.

mod content_type;
mod encoding;
mod timeout;
mod version;

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};
use http::{Method as Verb, StatusCode, Version, request};
use tonic::Status;
use tonic_call::is_preflight;

use crate::codec::Codec;
use crate::methods::{Found, Method, MethodId};
use crate::query::GetQuery;
use crate::refusal::Refusal;
use crate::settings::Settings;

/// `Accept-Post` (W3C Linked Data Platform 1.0, 7.1).
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// A request of the Connect protocol.
#[derive(Debug)]
pub(crate) struct Detected {
    pub(crate) answer: Answer,
    pub(crate) input: Result<(MethodId, Input), Refusal>,
}

/// How a request is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `None` if the path names none.
    pub(crate) method: Option<MethodId>,
    pub(crate) codec: Codec,
    pub(crate) is_stream: bool,
    /// Whether the caller accepts gzip, and may get it.
    pub(crate) gzip: bool,
    pub(crate) is_get: bool,
    pub(crate) is_http1: bool,
    /// Whether the path may be that of another route of the program, which gets the request untouched.
    pub(crate) may_be_other: bool,
}

/// Where the request's messages are.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) source: Source,
    /// The compression of the body, or of the envelopes that are marked as compressed.
    pub(crate) gzip: bool,
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug)]
pub(crate) enum Source {
    /// The whole body is the message.
    Body,
    /// The message was in the query.
    Query(Bytes),
    /// The body is a stream of envelopes.
    Envelopes,
}

/// Reads the head of a request that is neither one of gRPC nor one of its forms for browsers. `None` if it is not one of
/// the Connect protocol.
pub(crate) fn detect(settings: &Settings, head: &request::Parts) -> Option<Detected> {
    if is_preflight(head) {
        return None;
    }
    let mut answer = Answer {
        method: None,
        codec: Codec::Json,
        is_stream: false,
        gzip: false,
        is_get: head.method == Verb::GET,
        is_http1: head.version < Version::HTTP_2,
        may_be_other: false,
    };
    let input = match settings.methods.find(head.uri.path()) {
        Found::Method(id) => {
            answer.method = Some(id);
            let method = settings.methods.get(id);
            read(settings, head, method, &mut answer).map(|input| (id, input))
        }
        Found::Service => Err(unknown_method()),
        Found::Nothing => {
            // Other routes of the program may accept JSON as well.
            answer.may_be_other = !version::is_marked(head);
            Err(unknown_method())
        }
    };
    Some(Detected { answer, input })
}

fn unknown_method() -> Refusal {
    let status = Status::unimplemented("there is no such method");
    Refusal::new("UNKNOWN_METHOD", status).with_http(StatusCode::NOT_FOUND)
}

fn read(
    settings: &Settings,
    head: &request::Parts,
    method: &Method,
    answer: &mut Answer,
) -> Result<Input, Refusal> {
    match (&head.method, method.by_get) {
        (&Verb::POST, _) | (&Verb::GET, true) => {}
        (_, by_get) => return Err(not_allowed(by_get)),
    }
    if method.is_bidi() && answer.is_http1 {
        let message = "a method with streams in both directions needs HTTP/2";
        let refusal = Refusal::invalid("HTTP_VERSION", message);
        return Err(refusal.with_http(StatusCode::HTTP_VERSION_NOT_SUPPORTED));
    }
    let (source, gzip) = if answer.is_get {
        from_query(settings, head, answer)?
    } else {
        let kind = content_type::read(&head.headers);
        let kind = kind.filter(|kind| kind.is_stream != method.is_unary());
        let Some(kind) = kind else { return Err(unsupported(method)) };
        (answer.codec, answer.is_stream) = (kind.codec, kind.is_stream);
        answer.gzip = encoding::accepts_gzip(settings, &head.headers, answer.is_stream);
        version::check_header(settings, &head.headers)?;
        let source = if answer.is_stream { Source::Envelopes } else { Source::Body };
        (source, encoding::of_request(settings, &head.headers, answer.is_stream)?)
    };
    Ok(Input { source, gzip, timeout: timeout::read(&head.headers)? })
}

fn from_query(
    settings: &Settings,
    head: &request::Parts,
    answer: &mut Answer,
) -> Result<(Source, bool), Refusal> {
    if announces_body(head) {
        let refusal = Refusal::invalid("MEDIA_TYPE", "a GET must not have a body");
        return Err(refusal.with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    answer.gzip = encoding::accepts_gzip(settings, &head.headers, false);
    let query = GetQuery::parse(head.uri.query().unwrap_or_default());
    let query = query.map_err(|status| Refusal::new("QUERY", status))?;
    let Some(codec) = Codec::named(&query.codec) else {
        let refusal = Refusal::invalid("MEDIA_TYPE", "unknown encoding: use proto or json");
        return Err(refusal.with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    };
    answer.codec = codec;
    version::check_query(settings, query.is_v1)?;
    let gzip = encoding::named(settings, query.compression.as_deref().unwrap_or_default())?;
    Ok((Source::Query(query.message), gzip))
}

/// Whether the head announces a body. On HTTP/2 a `GET` may end with an empty frame, so that its end is not known yet.
fn announces_body(head: &request::Parts) -> bool {
    let length = head.headers.get(CONTENT_LENGTH);
    length.is_some_and(|length| length != "0") || head.headers.contains_key(TRANSFER_ENCODING)
}

fn not_allowed(by_get: bool) -> Refusal {
    let allowed = if by_get { "GET, POST" } else { "POST" };
    let message = format!("the HTTP method is not allowed, use {allowed}");
    Refusal::invalid("HTTP_METHOD", message)
        .with_http(StatusCode::METHOD_NOT_ALLOWED)
        .with_header(ALLOW, allowed)
}

fn unsupported(method: &Method) -> Refusal {
    let accepted = content_type::accepted(method.is_unary());
    Refusal::invalid("MEDIA_TYPE", format!("unsupported content type, use {accepted}"))
        .with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        .with_header(ACCEPT_POST, accepted)
}
