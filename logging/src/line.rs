//! What the lines say.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use tonic::Code;
use tonic_call::{FieldValue, Flow, Message, MethodKind, Peer, Side, code_name, joined, sanitize};
use tracing::field::{Value, display};

use crate::finished::Finished;
use crate::key::{Key, REQUEST_METADATA, RESPONSE_METADATA};
use crate::observer::Logged;
use crate::refusals::LeftOut;
use crate::site::{Line, Site};
use crate::span::method;

/// The line of a call that has begun.
pub(crate) fn started(call: &Logged, site: &'static Site) {
    write(call, site, "started call", &Facts::default(), &[]);
}

/// The line of a message that has passed, the `number`th that way.
pub(crate) fn message(
    call: &Logged,
    site: &'static Site,
    flow: Flow,
    number: u64,
    message: Message,
) {
    let passed = Some((number, message.len.into()));
    let (text, facts) = match (flow, call.settings().side) {
        (Flow::Request, Side::Server) => ("request received", Facts::of_requests(passed)),
        (Flow::Request, Side::Client) => ("request sent", Facts::of_requests(passed)),
        (Flow::Response, Side::Server) => ("response sent", Facts::of_responses(passed)),
        (Flow::Response, Side::Client) => ("response received", Facts::of_responses(passed)),
    };
    write(call, site, text, &facts, &[]);
}

/// The line of a call that is over.
pub(crate) fn finished(call: &Logged, site: &'static Site, finished: &Finished<'_>) {
    let facts = Facts {
        code: Some(code_name(finished.code())),
        duration: Some(finished.duration()),
        requests: Some(finished.requests()),
        responses: Some(finished.responses()),
        principal: finished.principal().map(|name| sanitize(&*name).into_owned()),
        message: finished.status_message().filter(|_| finished.code() != Code::Ok),
        ended_by: Some(finished.ended_by().as_str()),
        refused_by: finished.refused_by(),
        refused_reason: finished.refused_reason().map(|reason| sanitize(&*reason).into_owned()),
    };
    write(call, site, "finished call", &facts, &extra(call, finished));
}

/// The line that says how many others were left out.
pub(crate) fn left_out(site: &'static Site, left_out: &LeftOut) {
    let mut line = Line::new(site);
    line.set(Key::Message, &"refusals left out");
    line.set(Key::System, &"grpc");
    let method = left_out.method.as_deref().map(sanitize);
    let method = method.as_deref();
    line.set(Key::Method, &method);
    let component = component(left_out.side);
    line.set(Key::Component, &component);
    line.set(Key::RefusedBy, &left_out.by);
    let reason = sanitize(&*left_out.reason);
    let reason = &*reason;
    line.set(Key::RefusedReason, &reason);
    line.set_extra(0, &left_out.count);
    line.emit();
}

/// What a line says beside what is known from the request on.
#[derive(Default)]
struct Facts<'c> {
    code: Option<&'static str>,
    duration: Option<Duration>,
    requests: Option<(u64, u64)>,
    responses: Option<(u64, u64)>,
    principal: Option<String>,
    message: Option<Cow<'c, str>>,
    ended_by: Option<&'static str>,
    refused_by: Option<&'static str>,
    refused_reason: Option<String>,
}

impl Facts<'_> {
    fn of_requests(requests: Option<(u64, u64)>) -> Self {
        Self { requests, ..Self::default() }
    }

    fn of_responses(responses: Option<(u64, u64)>) -> Self {
        Self { responses, ..Self::default() }
    }
}

fn write(call: &Logged, site: &'static Site, text: &str, facts: &Facts<'_>, extra: &[Extra]) {
    let method = method(&call.rpc);
    let component = component(call.settings().side);
    let kind = call.rpc.known().and_then(|known| known.kind);
    let user_agent = joined(&call.user_agent);
    let request_id = joined(&call.request_id);
    let trace = call.info.trace().or(call.trace);

    let mut line = Line::new(site);
    let mut set = |key, value| line.set(key, value);
    set(Key::Message, &text);
    set(Key::System, &"grpc");
    let method = &*method;
    set(Key::Method, &method);
    set(Key::StatusCode, &facts.code);
    set(Key::Component, &component);
    let kind = kind.map_or("unknown", MethodKind::as_str);
    set(Key::MethodType, &kind);
    let duration_ms = facts.duration.map(|took| took.as_micros() as f64 / 1_000.0);
    set(Key::DurationMs, &duration_ms);
    let (requests, request_bytes) = facts.requests.unzip();
    set(Key::RequestMessages, &requests);
    set(Key::RequestBytes, &request_bytes);
    let (responses, response_bytes) = facts.responses.unzip();
    set(Key::ResponseMessages, &responses);
    set(Key::ResponseBytes, &response_bytes);
    let address = call.peer.as_ref().and_then(Peer::address).map(display);
    set(Key::PeerAddress, &address);
    let port = call.peer.as_ref().and_then(Peer::socket_addr).map(|address| address.port());
    set(Key::PeerPort, &port);
    // Less than a millisecond is not nothing.
    let timeout_ms = call.timeout.map(|timeout| timeout.as_nanos().div_ceil(1_000_000) as u64);
    set(Key::TimeoutMs, &timeout_ms);
    let user_agent = user_agent.as_deref();
    set(Key::UserAgent, &user_agent);
    let principal = facts.principal.as_deref();
    set(Key::EndUser, &principal);
    let message = facts.message.as_deref();
    set(Key::StatusMessage, &message);
    set(Key::EndedBy, &facts.ended_by);
    set(Key::RefusedBy, &facts.refused_by);
    let refused_reason = facts.refused_reason.as_deref();
    set(Key::RefusedReason, &refused_reason);
    let request_id = request_id.as_deref();
    set(Key::RequestId, &request_id);
    let trace_id = trace.map(|ids| display(Hex(ids.trace_id(), 32)));
    set(Key::TraceId, &trace_id);
    let span_id = trace.map(|ids| display(Hex(ids.span_id().into(), 16)));
    set(Key::SpanId, &span_id);
    for Extra { place, value } in extra {
        match place {
            Some(place) => line.set_extra(*place, value.as_value()),
            None => line.set(Key::Fields, value.as_value()),
        }
    }
    line.emit();
}

fn component(side: Side) -> &'static str {
    match side {
        Side::Server => "server",
        Side::Client => "client",
    }
}

/// A value whose key depends on how the layer is built.
struct Extra {
    /// Its place behind the keys of every line; `None` is that of the fields which have none.
    place: Option<usize>,
    value: Owned,
}

enum Owned {
    Text(String),
    Field(FieldValue),
}

impl Owned {
    fn as_value(&self) -> &dyn Value {
        match self {
            Self::Text(text) => text,
            Self::Field(FieldValue::Signed(number)) => number,
            Self::Field(FieldValue::Unsigned(number)) => number,
            Self::Field(FieldValue::Float(number)) => number,
            Self::Field(FieldValue::Bool(truth)) => truth,
            // Texts are `Text`; another kind is not known here yet.
            Self::Field(_) => &tracing::field::Empty,
        }
    }
}

fn extra(call: &Logged, finished: &Finished<'_>) -> Vec<Extra> {
    let sites = call.sites();
    let mut extra = Vec::new();
    // What has no key of its own.
    let mut others = serde_json::Map::new();
    let mut add = |key: &str, place: Option<usize>, value: Owned| match place {
        Some(_) => extra.push(Extra { place, value }),
        None => _ = others.insert(sanitize(key).into_owned(), json(value)),
    };

    call.request_metadata.show(|_, name, values| {
        let key = format!("{REQUEST_METADATA}{name}");
        add(&key, sites.metadata(&key), text_of(values));
    });
    call.response_metadata.show(|_, name, values| {
        let key = format!("{RESPONSE_METADATA}{name}");
        add(&key, sites.metadata(&key), text_of(values));
    });
    for (key, value) in finished.fields() {
        let value = match value {
            FieldValue::Text(text) => Owned::Text(sanitize(&*text).into_owned()),
            value => Owned::Field(value),
        };
        add(&key, sites.declared(&key), value);
    }

    if !others.is_empty() {
        let text = serde_json::Value::Object(others).to_string();
        extra.push(Extra { place: None, value: Owned::Text(text) });
    }
    extra
}

fn text_of(values: &[HeaderValue]) -> Owned {
    Owned::Text(joined(values).unwrap_or_default().into_owned())
}

fn json(value: Owned) -> serde_json::Value {
    match value {
        Owned::Text(text) => text.into(),
        Owned::Field(FieldValue::Signed(number)) => number.into(),
        Owned::Field(FieldValue::Unsigned(number)) => number.into(),
        // JSON has no infinities: they are `null`.
        Owned::Field(FieldValue::Float(number)) => number.into(),
        Owned::Field(FieldValue::Bool(truth)) => truth.into(),
        Owned::Field(_) => serde_json::Value::Null,
    }
}

/// A number in hexadecimal digits, so many at least.
#[derive(Clone, Copy)]
pub(crate) struct Hex(pub(crate) u128, pub(crate) usize);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$x}", self.0, width = self.1)
    }
}

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
