use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic_call::{
    AllowedMetadata, KnownMethods, MethodTable, Methods, Observe, ObserveLayer, Observing, Pass,
    Side,
};
use tower_layer::Layer;
use tracing::Level;

use crate::finished::Finished;
use crate::key::{self, KeyError};
use crate::observer::Logging;
use crate::refusals::RefusalLimit;
use crate::sample::Sample;
use crate::settings::{Settings, Slow};

/// Writes one line per call: see the [crate's page](crate).
#[derive(Clone)]
pub struct LoggingLayer {
    settings: Settings,
    known: Arc<KnownMethods>,
    server_timeout: Option<Duration>,
}

impl LoggingLayer {
    /// Logs the calls of a server.
    pub fn server() -> Self {
        Self::new(Side::Server)
    }

    /// Logs the calls of a client.
    pub fn client() -> Self {
        Self::new(Side::Client)
    }

    fn new(side: Side) -> Self {
        Self {
            settings: Settings::new(side),
            known: Arc::new(KnownMethods::learning()),
            server_timeout: None,
        }
    }

    /// Sets the known methods: lines then have the kind of the method, and on a server a call of any other path
    /// is `INFO`, whatever its status.
    ///
    /// Without this, methods are learned from traffic: their kind is unknown, and only calls that end
    /// `UNIMPLEMENTED` count as calls of an unknown path.
    #[must_use]
    pub fn methods(self, methods: &Methods) -> Self {
        self.known(Arc::new(KnownMethods::from(methods)))
    }

    /// Shares the known methods with other layers. By default each layer learns its own.
    #[must_use]
    pub fn known(self, known: Arc<KnownMethods>) -> Self {
        Self { known, ..self }
    }

    /// Sets the level of each call's line; `None` writes no line. The default is [`default_level`].
    ///
    /// [`default_level`]: Finished::default_level
    #[must_use]
    pub fn level(
        mut self,
        level: impl Fn(&Finished<'_>) -> Option<Level> + Send + Sync + 'static,
    ) -> Self {
        self.settings.level = Some(Arc::new(level));
        self
    }

    /// Writes lines only for the calls for which this returns `true`.
    #[must_use]
    pub fn filter(mut self, keep: impl Fn(&Finished<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.settings.filter = Some(Arc::new(keep));
        self
    }

    /// Writes the lines of only this share, from 0 to 1, of the calls that end `OK`; the default is 1.
    ///
    /// Failed and slow calls are always written.
    #[must_use]
    pub fn sample_successes(mut self, share: f64) -> Self {
        self.settings.sample = Arc::new(Sample::share(share));
        self
    }

    /// Raises the level of calls that take longer to `WARN`, and exempts them from sampling. By default no call
    /// is slow.
    ///
    /// Methods that are known to stream their responses are exempt, since a stream may last for any time: see
    /// [`slow_per_method`](Self::slow_per_method).
    #[must_use]
    pub fn slow_after(mut self, limit: Duration) -> Self {
        self.settings.slow = Slow::SingleResponse(limit);
        self
    }

    /// Like [`slow_after`](Self::slow_after), with a limit per method, also for streams; with `None` no call of the
    /// method is slow.
    /// [`MethodTable::checked`] rejects a rule for a method that does not exist:
    ///
    /// ```no_run
    /// # use tonic_call_test_kit::orders;
    /// use std::time::Duration;
    ///
    /// use tonic_call::MethodTable;
    /// use tonic_logging_layer::{LoggingLayer, Methods};
    ///
    /// let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
    /// let limits = MethodTable::new(Some(Duration::from_secs(1)))
    ///     .method("orders.v1.OrderService", "WatchOrder", None)
    ///     .checked(&methods)?;
    /// let layer = LoggingLayer::server().methods(&methods).slow_per_method(limits);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn slow_per_method(mut self, limits: MethodTable<Option<Duration>>) -> Self {
        self.settings.slow = Slow::PerMethod(Arc::new(limits));
        self
    }

    /// Limits the lines about refused calls to this number per second, for each method and reason. By default
    /// there is no limit, and one client without credentials can fill a disk.
    ///
    /// Further lines are left out, and one line `refusals left out` reports their number in
    /// `grpc.refusals_left_out`, with `rpc.method`, `grpc.refused_by` and `grpc.refused_reason`, at the most
    /// severe level among them. It is written at the end of that second, or earlier when the runtime shuts
    /// down; without a tokio runtime, at the next refusal. The runtime needs its time driver
    /// (`Builder::enable_time`). [`on_finished`](Self::on_finished) still
    /// sees every call.
    ///
    /// A refused call is one that another layer refused (auth, a rate limit); on a server also one that any
    /// client can cause without credentials: calls of unknown paths, requests answered with HTTP 4xx and no
    /// `grpc-status`, and failed calls of the health and reflection services, whose reason is their code. A
    /// second starts with its first refusal, by tokio's clock. All unknown methods count as one method. At most
    /// 1,024 pairs of method and reason are counted separately, and all further ones together, as `others`. With
    /// 0 only the counts are written.
    #[must_use]
    pub fn refusals_per_second(mut self, lines: u32) -> Self {
        self.settings.refusals = Some(RefusalLimit::per_second(lines));
        self
    }

    /// Writes lines to an access log of the layer's own, and no longer as events of `tracing`.
    ///
    /// `lines` is a writer, or [`Lines`](crate::Lines), which sets its minimum level and counts lines that are lost:
    ///
    /// ```
    /// use tonic_logging_layer::{Lines, LoggingLayer};
    /// use tracing::Level;
    ///
    /// let server = LoggingLayer::server().lines(std::io::stdout);
    /// let client = LoggingLayer::client().lines(Lines::new(std::io::stderr).min_level(Level::DEBUG));
    /// ```
    ///
    /// A line has the keys, values and order of the event as the formatter of [`json`](crate::json) writes it outside
    /// spans. It needs no subscriber, costs less than an event, and does not depend on filters of `tracing`. What
    /// chooses lines, such as [`level`](Self::level), [`filter`](Self::filter) and
    /// [`sample_successes`](Self::sample_successes), works as before; lines of [`starts`](Self::starts) and
    /// [`messages`](Self::messages) go there, too.
    #[cfg(feature = "json")]
    #[cfg_attr(docsrs, doc(cfg(feature = "json")))]
    #[must_use]
    pub fn lines(mut self, lines: impl Into<crate::Lines>) -> Self {
        self.settings.outputs.lines = Some(lines.into());
        self
    }

    /// Whether lines are events of `tracing`. By default they are, unless there is an access log: see
    /// [`lines`](Self::lines). With `true` they go to both, and are sampled and limited once.
    #[cfg(feature = "json")]
    #[cfg_attr(docsrs, doc(cfg(feature = "json")))]
    #[must_use]
    pub fn events(mut self, on: bool) -> Self {
        self.settings.outputs.events = Some(on);
        self
    }

    /// Also writes a line when a call starts.
    #[must_use]
    pub fn starts(mut self, level: Level) -> Self {
        self.settings.starts = Some(level);
        self
    }

    /// Also writes a line for each message, with its number and its size on the wire.
    #[must_use]
    pub fn messages(mut self, level: Level) -> Self {
        self.settings.messages = Some(level);
        self
    }

    /// Logs calls of the health and reflection services like all others; by default only when they fail.
    #[must_use]
    pub fn include_infrastructure(mut self) -> Self {
        self.settings.infrastructure = true;
        self
    }

    /// Turns the `tracing` span around a server's handler on or off; the default is on.
    ///
    /// With the feature `json` and without the span, the formatter of `json` writes the fields of the span as an object
    /// `call` in each event of the handler. Unlike the span, that entry does not follow into spawned tasks, and other
    /// formatters do not write it. A call of which no line can be written has none.
    #[must_use]
    pub fn handler_span(mut self, on: bool) -> Self {
        self.settings.handler_span = on;
        self
    }

    /// Declares the keys of [fields](tonic_call::CallInfo::add_field) that handlers add: each is then a separate
    /// key of the line. Fields that are not declared are written as JSON under the key `fields`. The fields of this
    /// workspace's layers, `auth.…` and `ratelimit.…`, need no declaration.
    ///
    /// There is room for 40 keys, including those of metadata. Further ones are written under `fields`.
    ///
    /// # Errors
    ///
    /// When a key is reserved, because lines or formatters use it, or when it contains other characters than
    /// ASCII letters, digits, `_`, `-`, `.` and `/`.
    pub fn fields<K: Into<String>>(
        mut self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Self, KeyError> {
        self.settings.fields = key::declare(keys)?;
        Ok(self)
    }

    /// Logs request metadata of these names, as `rpc.request.metadata.<name>`.
    #[must_use]
    pub fn request_metadata<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.request_metadata = AllowedMetadata::new(names);
        self
    }

    /// Logs response metadata of these names, from the head or the trailers, as
    /// `rpc.response.metadata.<name>`.
    #[must_use]
    pub fn response_metadata<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.response_metadata = AllowedMetadata::new(names);
        self
    }

    /// Calls this for every finished call, even if no line is written for it: for example for an audit log.
    ///
    /// It runs where the call is polled or dropped: it must neither block nor panic.
    #[must_use]
    pub fn on_finished(mut self, hook: impl Fn(&Finished<'_>) + Send + Sync + 'static) -> Self {
        self.settings.hook = Some(Arc::new(hook));
        self
    }

    /// Declares the timeout that was passed to tonic's `Server::timeout`; the default is none.
    ///
    /// That timeout fires outside all layers, so this layer only sees that the call is dropped, as if the
    /// caller had left. With this, such a call is logged as `DEADLINE_EXCEEDED` at `WARN` instead of
    /// `CANCELLED` at `INFO`. See [`ObserveLayer::server_timeout`].
    #[must_use]
    pub fn server_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self { server_timeout: timeout.into(), ..self }
    }

    /// The observer of this layer, for an [`ObserveLayer`] of your own:
    /// `ObserveLayer::server((other, logging.observer())).known(logging.known_methods())`. To combine layers, use
    /// [`observe!`](tonic_call::observe).
    ///
    /// The [`server_timeout`](Self::server_timeout) is not part of it: set that of the [`ObserveLayer`].
    pub fn observer(&self) -> Logging {
        Logging::new(self.settings.clone())
    }

    /// The known methods, which all clones share.
    pub fn known_methods(&self) -> Arc<KnownMethods> {
        Arc::clone(&self.known)
    }
}

impl Observing for LoggingLayer {
    type Observer = Logging;

    fn declare(&self, pass: &mut Pass) {
        pass.add::<Self>(self.settings.side, &self.known, self.server_timeout);
    }

    fn into_observer(self, _: &Arc<KnownMethods>) -> Logging {
        self.observer()
    }
}

impl<S> Layer<S> for LoggingLayer {
    type Service = Observe<S, Logging>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveLayer::new(self.settings.side, self.observer())
            .known(self.known_methods())
            .server_timeout(self.server_timeout)
            .layer(inner)
    }
}

impl fmt::Debug for LoggingLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggingLayer").field("side", &self.settings.side).finish_non_exhaustive()
    }
}
