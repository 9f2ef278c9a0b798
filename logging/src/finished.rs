//! A finished call.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tonic::Code;
use tonic_call::{End, EndedBy, FieldValue, Peer, Protocol, Rpc, Side, TraceIds, sanitize};
use tracing::Level;

use crate::facts::Facts;
use crate::level;

/// A finished call, with everything that its line contains. The layer's callbacks receive it.
pub struct Finished<'a> {
    pub(crate) facts: &'a Facts,
    end: End<'a>,
    code: Code,
    duration: Duration,
    is_slow: bool,
}

impl<'a> Finished<'a> {
    /// `is_slow` says whether a call of that duration is slow.
    pub(crate) fn new(
        facts: &'a Facts,
        end: End<'a>,
        is_slow: impl FnOnce(Duration) -> bool,
    ) -> Self {
        let duration = facts.stopwatch.elapsed_at_end();
        Self { facts, end, code: end.code(), duration, is_slow: is_slow(duration) }
    }

    /// The side of the call that the layer is on.
    pub fn side(&self) -> Side {
        self.facts.side
    }

    /// The method. Unless it is [known](Rpc::known), its path is text that the caller chose.
    pub fn rpc(&self) -> &'a Rpc {
        &self.facts.rpc
    }

    /// The protocol of the caller, even if a layer outside has translated it. See [`Protocol::of_call`].
    pub fn protocol(&self) -> Protocol {
        self.facts.protocol
    }

    /// How the call ended.
    pub fn end(&self) -> End<'a> {
        self.end
    }

    /// The final status code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The time from the request to the end.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Whether the call took longer than the layer's limit for slow calls.
    pub fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// The status message, or the text of the error; shortened, and with control characters escaped.
    pub fn status_message(&self) -> Option<Cow<'a, str>> {
        let message = match self.end {
            End::Missing { http, .. } => {
                format!("no grpc-status, HTTP status {}", http.as_u16()).into()
            }
            end => sanitized_message(end),
        };
        (!message.is_empty()).then_some(message)
    }

    /// The number of request messages, and their bytes on the wire.
    pub fn requests(&self) -> (u64, u64) {
        self.facts.requests.get()
    }

    /// The number of response messages, and their bytes on the wire.
    pub fn responses(&self) -> (u64, u64) {
        self.facts.responses.get()
    }

    /// The remote end of a server's connection: the caller, or a proxy in front of it.
    pub fn peer(&self) -> Option<&'a Peer> {
        self.facts.peer.as_ref()
    }

    /// The caller's timeout, from a well-formed `grpc-timeout`.
    pub fn timeout(&self) -> Option<Duration> {
        self.facts.timeout
    }

    /// The `user-agent` header, which the caller chose.
    pub fn user_agent(&self) -> Option<&'a HeaderValue> {
        self.facts.user_agent.as_ref()
    }

    /// The `x-request-id` header, which the caller chose.
    pub fn request_id(&self) -> Option<&'a HeaderValue> {
        self.facts.request_id.as_ref()
    }

    /// The authenticated caller, if an authentication layer has set it.
    pub fn principal(&self) -> Option<Arc<str>> {
        self.facts.info.principal()
    }

    /// What ended the call.
    pub fn ended_by(&self) -> EndedBy {
        self.facts.info.ended_by(&self.end)
    }

    /// The layer that refused the call, or ended it later.
    pub fn refused_by(&self) -> Option<&'static str> {
        match self.ended_by() {
            EndedBy::Refusal { by } => Some(by),
            _ => None,
        }
    }

    /// The reason that this layer gave.
    pub fn refused_reason(&self) -> Option<Cow<'static, str>> {
        let by = self.refused_by()?;
        let mut refusals = self.facts.info.refusals().into_iter();
        refusals.find(|refusal| refusal.by == by && !refusal.shadow).map(|refusal| refusal.reason)
    }

    /// Whether a call of the health or reflection service has failed. A watcher that leaves, or whose own
    /// deadline ends the stream, is not a failure.
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

    /// The fields that the handler and the layers inside have added.
    pub fn fields(&self) -> Vec<(Cow<'static, str>, FieldValue)> {
        self.facts.info.fields()
    }

    /// The trace of the call: from a tracing layer, or else from the request's `traceparent`.
    pub fn trace(&self) -> Option<TraceIds> {
        self.facts.trace()
    }

    /// The level that the line has without [`LoggingLayer::level`](crate::LoggingLayer::level): that of
    /// [`default_level`](crate::default_level), with two exceptions.
    ///
    /// On a server, a call of an unknown path is `INFO`, because scanners make such calls. With a descriptor set
    /// that is every call of a method that is not in it; without one, every call of an unknown method that ended
    /// `UNIMPLEMENTED`. A call that a layer has refused is at most `WARN`: what is wrong with it, its caller has chosen.
    /// A slow call is at least `WARN`.
    pub fn default_level(&self) -> Level {
        // A more severe level is the smaller one.
        let level = match (self.is_of_unknown_path(), self.ended_by()) {
            (true, _) => Level::INFO,
            (false, EndedBy::Refusal { .. }) => self.level_of_code().max(Level::WARN),
            (false, _) => self.level_of_code(),
        };
        self.raise_if_slow(level)
    }

    fn level_of_code(&self) -> Level {
        level::default_level(self.side(), self.code)
    }

    pub(crate) fn raise_if_slow(&self, level: Level) -> Level {
        if self.is_slow { level.min(Level::WARN) } else { level }
    }

    pub(crate) fn is_failure_of_unknown_path(&self) -> bool {
        self.code != Code::Ok && self.is_of_unknown_path()
    }

    /// Whether a server answered HTTP 4xx without a `grpc-status`.
    pub(crate) fn is_http_client_error(&self) -> bool {
        let is_4xx = matches!(self.end, End::Missing { http, .. } if http.is_client_error());
        self.side() == Side::Server && is_4xx
    }

    fn is_of_unknown_path(&self) -> bool {
        let rpc = self.rpc();
        let certainly = rpc.is_undescribed();
        let probably = rpc.known().is_none() && self.code == Code::Unimplemented;
        self.side() == Side::Server && (certainly || probably)
    }
}

fn sanitized_message<'a>(end: End<'a>) -> Cow<'a, str> {
    match end.message() {
        // Borrowed text is not copied if nothing needs escaping.
        Some(Cow::Borrowed(message)) => sanitize(message),
        Some(Cow::Owned(message)) => sanitize(&message).into_owned().into(),
        None => Cow::Borrowed(""),
    }
}

impl fmt::Debug for Finished<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("rpc", &self.facts.rpc)
            .field("code", &self.code)
            .field("duration", &self.duration)
            .finish_non_exhaustive()
    }
}
