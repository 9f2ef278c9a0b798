//! A call that is over.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tonic::Code;
use tonic_call::{End, EndedBy, FieldValue, Peer, Rpc, Side, TraceIds, sanitize};
use tracing::Level;

use crate::level;
use crate::observer::Logged;

/// A call that is over: what its line says, for functions that decide about it.
pub struct Finished<'a> {
    call: &'a Logged,
    end: End<'a>,
    code: Code,
    duration: Duration,
}

impl<'a> Finished<'a> {
    pub(crate) fn new(call: &'a Logged, end: End<'a>) -> Self {
        Self { call, end, code: end.code(), duration: call.stopwatch.elapsed() }
    }

    /// Which side of the call is logged.
    pub fn side(&self) -> Side {
        self.call.settings().side
    }

    /// The method. Its path is the caller's text, unless it is known.
    pub fn rpc(&self) -> &'a Rpc {
        &self.call.rpc
    }

    /// How it ended.
    pub fn end(&self) -> End<'a> {
        self.end
    }

    /// The code with which it ended.
    pub fn code(&self) -> Code {
        self.code
    }

    /// From its request to its end.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Whether it took longer than the layer's limit for slow calls.
    pub fn is_slow(&self) -> bool {
        self.call.settings().slow.is_slow(&self.call.rpc, self.duration)
    }

    /// What the status says in words, or the error; bounded, and without control characters.
    pub fn status_message(&self) -> Option<Cow<'a, str>> {
        let message = match self.end {
            End::Missing { http, .. } => {
                format!("no grpc-status, HTTP status {}", http.as_u16()).into()
            }
            end => printed(end),
        };
        (!message.is_empty()).then_some(message)
    }

    /// How many messages the request had, and how many bytes they had on the wire.
    pub fn requests(&self) -> (u64, u64) {
        self.call.requests.get()
    }

    /// How many messages the response had, and how many bytes they had on the wire.
    pub fn responses(&self) -> (u64, u64) {
        self.call.responses.get()
    }

    /// The other end of a server's connection: the caller, or the proxy before it.
    pub fn peer(&self) -> Option<&'a Peer> {
        self.call.peer.as_ref()
    }

    /// How long its caller was to wait: `grpc-timeout`, if it is well formed.
    pub fn timeout(&self) -> Option<Duration> {
        self.call.timeout
    }

    /// `user-agent`: the caller's text.
    pub fn user_agent(&self) -> Option<&'a HeaderValue> {
        self.call.user_agent.as_ref()
    }

    /// `x-request-id`: the caller's text.
    pub fn request_id(&self) -> Option<&'a HeaderValue> {
        self.call.request_id.as_ref()
    }

    /// Who called, if an authenticating layer said so.
    pub fn principal(&self) -> Option<Arc<str>> {
        self.call.info.principal()
    }

    /// What ended it.
    pub fn ended_by(&self) -> EndedBy {
        self.call.info.ended_by(&self.end)
    }

    /// Which layer refused it, or ended it later, if one did.
    pub fn refused_by(&self) -> Option<&'static str> {
        match self.ended_by() {
            EndedBy::Refusal { by } => Some(by),
            _ => None,
        }
    }

    /// Why that layer did, if it said so.
    pub fn refused_reason(&self) -> Option<Cow<'static, str>> {
        let by = self.refused_by()?;
        let refusals = self.call.info.refusals().into_iter();
        let mut its = refusals.filter(|refusal| refusal.by == by && !refusal.shadow);
        its.next().map(|refusal| refusal.reason)
    }

    /// Whether a call of the health or reflection services has failed. Its callers watch as long as they
    /// like: one who leaves, or whose own deadline ends the stream, is no failure.
    pub(crate) fn has_failed_as_infrastructure(&self) -> bool {
        match self.code {
            Code::Ok | Code::Cancelled => false,
            Code::DeadlineExceeded => {
                let is_stream = !(self.rpc().is_health() && self.rpc().method() != "Watch");
                !(is_stream && self.ended_by() == EndedBy::Deadline)
            }
            _ => true,
        }
    }

    /// The fields that its handler added.
    pub fn fields(&self) -> Vec<(Cow<'static, str>, FieldValue)> {
        self.call.info.fields()
    }

    /// Which trace it belongs to: as a tracing layer said, or else as its `traceparent` says.
    pub fn trace(&self) -> Option<TraceIds> {
        self.call.info.trace().or(self.call.trace)
    }

    /// The level of its line, unless the layer is given a function for that: see
    /// [`default_level`](crate::default_level).
    ///
    /// A call of an unknown path is `INFO`, since strangers try them: whatever its code where the
    /// methods are known from a descriptor set, else where it ended `UNIMPLEMENTED`. A slow one is at
    /// least `WARN`.
    pub fn default_level(&self) -> Level {
        let level = if self.is_of_unknown_path() {
            Level::INFO
        } else {
            level::default_level(self.side(), self.code)
        };
        self.raised(level)
    }

    pub(crate) fn raised(&self, level: Level) -> Level {
        // A louder level is less.
        if self.is_slow() { level.min(Level::WARN) } else { level }
    }

    /// Whether it is a call of a path that is not served, as strangers try them.
    pub(crate) fn is_failure_of_unknown_path(&self) -> bool {
        self.code != Code::Ok && self.is_of_unknown_path()
    }

    /// Whether a server answered it by HTTP 4xx, without a `grpc-status`.
    pub(crate) fn is_not_understood(&self) -> bool {
        let is_4xx = matches!(self.end, End::Missing { http, .. } if http.is_client_error());
        self.side() == Side::Server && is_4xx
    }

    fn is_of_unknown_path(&self) -> bool {
        let rpc = &self.call.rpc;
        let certainly = rpc.is_undescribed();
        let probably = rpc.known().is_none() && self.code == Code::Unimplemented;
        self.side() == Side::Server && (certainly || probably)
    }
}

fn printed<'a>(end: End<'a>) -> Cow<'a, str> {
    match end.message() {
        // Nothing to escape: the text stays where it is.
        Some(Cow::Borrowed(message)) => sanitize(message),
        Some(Cow::Owned(message)) => sanitize(&message).into_owned().into(),
        None => Cow::Borrowed(""),
    }
}

impl fmt::Debug for Finished<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("rpc", &self.call.rpc)
            .field("code", &self.code)
            .field("duration", &self.duration)
            .finish_non_exhaustive()
    }
}
