//! The contents of a call's lines.

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderValue;
use tonic::Code;
use tonic_call::{FieldValue, Flow, Message, MethodKind, Peer, Side, TraceIds, joined, sanitize};
use tracing::field::{Value, display};

use crate::facts::{Facts, component};
use crate::finished::Finished;
use crate::key::{Key, REQUEST_METADATA, RESPONSE_METADATA};
use crate::site::{Line, Site};
use crate::sites::Sites;

/// The line of a call that has started.
pub(crate) fn started(facts: &Facts, site: &'static Site) {
    write(facts, site, "started call", &Details::default(), &[]);
}

/// The line of one message, the `number`th in its direction.
pub(crate) fn message(
    facts: &Facts,
    site: &'static Site,
    flow: Flow,
    number: u64,
    message: Message,
) {
    let one = Some((number, message.len.into()));
    let details = match flow {
        Flow::Request => Details { requests: one, ..Details::default() },
        Flow::Response => Details { responses: one, ..Details::default() },
    };
    let text = match (flow, facts.side) {
        (Flow::Request, Side::Server) => "request received",
        (Flow::Request, Side::Client) => "request sent",
        (Flow::Response, Side::Server) => "response sent",
        (Flow::Response, Side::Client) => "response received",
    };
    write(facts, site, text, &details, &[]);
}

/// The line of a finished call.
pub(crate) fn finished(finished: &Finished<'_>, sites: &Sites, site: &'static Site) {
    let details = Details {
        code: Some(finished.protocol().code_name(finished.code())),
        duration: Some(finished.duration()),
        requests: Some(finished.requests()),
        responses: Some(finished.responses()),
        principal: finished.principal().map(|name| sanitize(&*name).into_owned()),
        message: finished.status_message().filter(|_| finished.code() != Code::Ok),
        ended_by: Some(finished.ended_by().as_str()),
        refused_by: finished.refused_by(),
        refused_reason: finished.refused_reason().map(|reason| sanitize(&*reason).into_owned()),
    };
    let extra = extra_fields(finished, sites);
    write(finished.facts, site, "finished call", &details, &extra);
}

/// What a line contains besides the facts.
#[derive(Default)]
struct Details<'c> {
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

fn write(
    facts: &Facts,
    site: &'static Site,
    text: &str,
    details: &Details<'_>,
    extra: &[ExtraField],
) {
    let method = facts.rpc.shown();
    let component = component(facts.side);
    let system = facts.protocol.system_name();
    let protocol = facts.protocol.as_str();
    let kind = facts.rpc.known().and_then(|known| known.kind);
    let user_agent = joined(&facts.user_agent);
    let request_id = joined(&facts.request_id);
    let trace = facts.trace();

    let mut line = Line::new(site);
    let mut set = |key, value| line.set(key, value);
    set(Key::Message, &text);
    set(Key::System, &system);
    let method = &*method;
    set(Key::Method, &method);
    set(Key::StatusCode, &details.code);
    set(Key::Component, &component);
    set(Key::Protocol, &protocol);
    let kind = kind.map_or("unknown", MethodKind::as_str);
    set(Key::MethodType, &kind);
    let duration_ms = details.duration.map(|took| took.as_micros() as f64 / 1_000.0);
    set(Key::DurationMs, &duration_ms);
    let (requests, request_bytes) = details.requests.unzip();
    set(Key::RequestMessages, &requests);
    set(Key::RequestBytes, &request_bytes);
    let (responses, response_bytes) = details.responses.unzip();
    set(Key::ResponseMessages, &responses);
    set(Key::ResponseBytes, &response_bytes);
    let address = facts.peer.as_ref().and_then(Peer::address).map(display);
    set(Key::PeerAddress, &address);
    let port = facts.peer.as_ref().and_then(Peer::socket_addr).map(|address| address.port());
    set(Key::PeerPort, &port);
    // Rounded up: less than a millisecond must not read as 0.
    let timeout_ms = facts.timeout.map(|timeout| timeout.as_nanos().div_ceil(1_000_000) as u64);
    set(Key::TimeoutMs, &timeout_ms);
    let user_agent = user_agent.as_deref();
    set(Key::UserAgent, &user_agent);
    let principal = details.principal.as_deref();
    set(Key::EndUser, &principal);
    let message = details.message.as_deref();
    set(Key::StatusMessage, &message);
    set(Key::EndedBy, &details.ended_by);
    set(Key::RefusedBy, &details.refused_by);
    let refused_reason = details.refused_reason.as_deref();
    set(Key::RefusedReason, &refused_reason);
    let request_id = request_id.as_deref();
    set(Key::RequestId, &request_id);
    let trace_id = trace.map(TraceIds::trace_hex).map(display);
    set(Key::TraceId, &trace_id);
    let span_id = trace.map(TraceIds::span_hex).map(display);
    set(Key::SpanId, &span_id);
    for ExtraField { index, value } in extra {
        match index {
            Some(index) => line.set_extra(*index, value.as_value()),
            None => line.set(Key::Fields, value.as_value()),
        }
    }
    line.emit();
}

/// A field whose key depends on the layer's settings.
struct ExtraField {
    /// The index of its key among the extra keys; `None` is the key `fields`.
    index: Option<usize>,
    value: ExtraValue,
}

enum ExtraValue {
    Text(String),
    Field(FieldValue),
}

impl ExtraValue {
    fn as_value(&self) -> &dyn Value {
        match self {
            Self::Text(text) => text,
            Self::Field(FieldValue::Signed(number)) => number,
            Self::Field(FieldValue::Unsigned(number)) => number,
            Self::Field(FieldValue::Float(number)) => number,
            Self::Field(FieldValue::Bool(value)) => value,
            // Text is `Text`; the enum is non-exhaustive.
            Self::Field(_) => &tracing::field::Empty,
        }
    }

    fn into_json(self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Field(FieldValue::Signed(number)) => number.into(),
            Self::Field(FieldValue::Unsigned(number)) => number.into(),
            // JSON has no infinities: they become `null`.
            Self::Field(FieldValue::Float(number)) => number.into(),
            Self::Field(FieldValue::Bool(value)) => value.into(),
            Self::Field(_) => serde_json::Value::Null,
        }
    }
}

fn extra_fields(finished: &Finished<'_>, sites: &Sites) -> Vec<ExtraField> {
    let mut extra = Vec::new();
    // The fields without a key of their own.
    let mut others = serde_json::Map::new();
    let mut add = |key: &str, index: Option<usize>, value: ExtraValue| match index {
        Some(_) => extra.push(ExtraField { index, value }),
        None => _ = others.insert(sanitize(key).into_owned(), value.into_json()),
    };

    let metadata = [
        (REQUEST_METADATA, &finished.facts.request_metadata),
        (RESPONSE_METADATA, &finished.facts.response_metadata),
    ];
    for (prefix, kept) in metadata {
        kept.show(|_, name, values: &[HeaderValue]| {
            let key = format!("{prefix}{name}");
            let text = joined(values).unwrap_or_default().into_owned();
            add(&key, sites.metadata(&key), ExtraValue::Text(text));
        });
    }
    for (key, value) in finished.fields() {
        let value = match value {
            FieldValue::Text(text) => ExtraValue::Text(sanitize(&*text).into_owned()),
            value => ExtraValue::Field(value),
        };
        add(&key, sites.declared(&key), value);
    }

    if !others.is_empty() {
        let text = serde_json::Value::Object(others).to_string();
        extra.push(ExtraField { index: None, value: ExtraValue::Text(text) });
    }
    extra
}
