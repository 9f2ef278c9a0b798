//! The contents of a call's lines.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tonic::Code;
use tonic_call::{Flow, Hex, Message, Peer, PeerAddress, Side, joined, sanitize_str};

use crate::extra::{ExtraFields, ExtraKeys};
use crate::facts::Facts;
use crate::finished::Finished;
use crate::key::Key;
use crate::member::{Common, Line, Members};

/// A line about a call.
pub(crate) struct CallLine<'c> {
    facts: &'c Facts,
    message: &'static str,
    method: Cow<'c, str>,
    address: Option<PeerAddress>,
    user_agent: Option<Cow<'c, str>>,
    request_id: Option<Cow<'c, str>>,
    trace: Option<(Hex<32>, Hex<16>)>,
    /// The number of messages, and their bytes.
    requests: Option<(u64, u64)>,
    responses: Option<(u64, u64)>,
    end: Option<EndOfLine<'c>>,
}

/// What only the line of a finished call contains.
struct EndOfLine<'c> {
    code: &'static str,
    duration: Duration,
    principal: Option<Arc<str>>,
    status_message: Option<Cow<'c, str>>,
    ended_by: &'static str,
    refused_by: Option<&'static str>,
    refused_reason: Option<Cow<'static, str>>,
    extra: ExtraFields,
}

impl<'c> CallLine<'c> {
    /// The line of a call that has started.
    pub(crate) fn started(facts: &'c Facts) -> Self {
        Self::new(facts, "started call")
    }

    /// The line of one message, the `number`th in its direction.
    pub(crate) fn message(facts: &'c Facts, flow: Flow, number: u64, message: Message) -> Self {
        let one = Some((number, message.len.into()));
        let (requests, responses) = match flow {
            Flow::Request => (one, None),
            Flow::Response => (None, one),
        };
        let text = match (flow, facts.side) {
            (Flow::Request, Side::Server) => "request received",
            (Flow::Request, Side::Client) => "request sent",
            (Flow::Response, Side::Server) => "response sent",
            (Flow::Response, Side::Client) => "response received",
        };
        Self { requests, responses, ..Self::new(facts, text) }
    }

    /// The line of a finished call.
    pub(crate) fn finished(finished: &Finished<'c>, keys: &ExtraKeys) -> Self {
        let end = EndOfLine {
            code: finished.protocol().code_name(finished.code()),
            duration: finished.duration(),
            principal: finished.principal().map(sanitize_shared),
            status_message: match finished.code() {
                Code::Ok => None,
                _ => finished.status_message(),
            },
            ended_by: finished.ended_by().as_str(),
            refused_by: finished.refused_by(),
            refused_reason: finished.refused_reason().map(sanitize_cow),
            extra: ExtraFields::of(finished, keys),
        };
        Self {
            requests: Some(finished.requests()),
            responses: Some(finished.responses()),
            end: Some(end),
            ..Self::new(finished.facts, "finished call")
        }
    }

    fn new(facts: &'c Facts, message: &'static str) -> Self {
        Self {
            facts,
            message,
            method: facts.rpc.shown(),
            address: facts.peer.as_ref().and_then(Peer::address),
            user_agent: joined(&facts.user_agent),
            request_id: joined(&facts.request_id),
            trace: facts.trace().map(|ids| (ids.trace_hex(), ids.span_hex())),
            requests: None,
            responses: None,
            end: None,
        }
    }
}

impl Line for CallLine<'_> {
    fn list<'v>(&'v self, members: &mut impl Members<'v>) {
        let Self { facts, end, .. } = self;
        let end = end.as_ref();
        members.plain(Key::Message, self.message);
        members.plain(Key::System, facts.protocol.system_name());
        match facts.rpc.plain() {
            Some(method) => members.plain(Key::Method, method),
            None => members.text(Key::Method, Some(&self.method)),
        }
        if let Some(end) = end {
            members.plain(Key::StatusCode, end.code);
        }
        members.common(Common {
            side: facts.side,
            protocol: facts.protocol,
            kind: facts.rpc.known().and_then(|known| known.kind),
        });
        if let Some(end) = end {
            members.millis(Key::DurationMs, end.duration);
        }
        let (requests, request_bytes) = self.requests.unzip();
        members.number(Key::RequestMessages, requests);
        members.number(Key::RequestBytes, request_bytes);
        let (responses, response_bytes) = self.responses.unzip();
        members.number(Key::ResponseMessages, responses);
        members.number(Key::ResponseBytes, response_bytes);
        match self.address.as_ref().map(|address| (address.as_ip(), address)) {
            Some((Some(ip), _)) => members.ascii(Key::PeerAddress, ip),
            Some((None, name)) => members.text(Key::PeerAddress, Some(name.as_str())),
            None => {}
        }
        let address = facts.peer.as_ref().and_then(Peer::socket_addr);
        members.number(Key::PeerPort, address.map(|address| address.port().into()));
        // Rounded up: less than a millisecond must not read as 0.
        let timeout_ms = facts.timeout.map(|timeout| timeout.as_nanos().div_ceil(1_000_000) as u64);
        members.number(Key::TimeoutMs, timeout_ms);
        members.text(Key::UserAgent, self.user_agent.as_deref());
        if let Some(end) = end {
            members.text(Key::EndUser, end.principal.as_deref());
            members.text(Key::StatusMessage, end.status_message.as_deref());
            members.plain(Key::EndedBy, end.ended_by);
            members.text(Key::RefusedBy, end.refused_by);
            members.text(Key::RefusedReason, end.refused_reason.as_deref());
        }
        members.text(Key::RequestId, self.request_id.as_deref());
        if let Some((trace, span)) = &self.trace {
            members.ascii(Key::TraceId, trace.as_bytes());
            members.ascii(Key::SpanId, span.as_bytes());
        }
        if let Some(end) = end {
            end.extra.list(members);
        }
    }
}

/// Shared text, copied only if something in it needs escaping.
fn sanitize_shared(text: Arc<str>) -> Arc<str> {
    match sanitize_str(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown.into(),
    }
}

fn sanitize_cow(text: Cow<'static, str>) -> Cow<'static, str> {
    match sanitize_str(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown.into(),
    }
}
