//! What is known of a call while it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue, request};
use tonic_call::{
    AllowedMetadata, Batch, CallInfo, Flow, KeptMetadata, Peer, Protocol, Rpc, Side, Stopwatch,
    TraceIds, find_header, find_headers, timeout_of,
};

/// What is known of a call while it runs.
pub(crate) struct Facts {
    pub(crate) side: Side,
    pub(crate) stopwatch: Stopwatch,
    pub(crate) rpc: Rpc,
    pub(crate) protocol: Protocol,
    pub(crate) info: CallInfo,
    pub(crate) peer: Option<Peer>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) request_id: Option<HeaderValue>,
    pub(crate) requests: MessageCounts,
    pub(crate) responses: MessageCounts,
    pub(crate) request_metadata: KeptMetadata,
    pub(crate) response_metadata: KeptMetadata,
    /// The ids in the request's `traceparent`.
    parent: Option<TraceIds>,
}

/// Messages in one direction.
#[derive(Default)]
pub(crate) struct MessageCounts {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// Messages that were given a number for a line of their own.
    numbered: AtomicU64,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Facts {
    pub(crate) fn new(
        side: Side,
        rpc: &Rpc,
        head: &mut request::Parts,
        request_metadata: &AllowedMetadata,
        response_metadata: &AllowedMetadata,
    ) -> Self {
        let headers = &head.headers;
        let request_metadata = KeptMetadata::new(request_metadata);
        request_metadata.keep(headers);
        let info = CallInfo::get_or_insert(side, &mut head.extensions);
        let [user_agent, request_id] =
            find_headers(headers, [&USER_AGENT, &REQUEST_ID]).map(not_sensitive);
        Self {
            side,
            stopwatch: Stopwatch::since_arrival(&head.extensions),
            rpc: rpc.clone(),
            protocol: Protocol::of_call(side, head),
            // A proxy may forward a received request with its extensions: that peer is of another call.
            peer: (side == Side::Server).then(|| Peer::of(&head.extensions)).flatten(),
            timeout: timeout_of(headers).ok().flatten(),
            user_agent: user_agent.cloned(),
            request_id: request_id.cloned(),
            requests: MessageCounts::default(),
            responses: MessageCounts::default(),
            request_metadata,
            response_metadata: KeptMetadata::new(response_metadata),
            // A tracing layer outside has read it, and its ids are used.
            parent: info.trace().is_none().then(|| TraceIds::from_headers(headers)).flatten(),
            info,
        }
    }

    pub(crate) fn messages(&self, flow: Flow) -> &MessageCounts {
        match flow {
            Flow::Request => &self.requests,
            Flow::Response => &self.responses,
        }
    }

    /// The ids that a tracing layer has set, or those in the request's `traceparent`.
    pub(crate) fn trace(&self) -> Option<TraceIds> {
        self.info.trace().or(self.parent)
    }
}

impl MessageCounts {
    /// Adds the messages of a frame. A body is polled by one task at a time, so no other thread adds in
    /// between.
    pub(crate) fn add(&self, batch: Batch) {
        let (messages, bytes) = self.get();
        self.messages.store(messages + batch.messages, Ordering::Relaxed);
        self.bytes.store(bytes + batch.bytes, Ordering::Relaxed);
    }

    /// The number of the next message, starting at 1.
    pub(crate) fn next_number(&self) -> u64 {
        let number = self.numbered.load(Ordering::Relaxed) + 1;
        self.numbered.store(number, Ordering::Relaxed);
        number
    }

    /// The number of messages and of their bytes.
    pub(crate) fn get(&self) -> (u64, u64) {
        (self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// The value of `grpc.component`.
pub(crate) fn component(side: Side) -> &'static str {
    match side {
        Side::Server => "server",
        Side::Client => "client",
    }
}

pub(crate) fn request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    not_sensitive(find_header(headers, &REQUEST_ID))
}

fn not_sensitive(value: Option<&HeaderValue>) -> Option<&HeaderValue> {
    value.filter(|value| !value.is_sensitive())
}
