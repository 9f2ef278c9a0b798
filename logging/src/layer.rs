use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic_call::{
    AllowedMetadata, KnownMethods, MethodTable, Methods, Observe, ObserveLayer, Side,
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

    /// Knows exactly these methods: their kind is then in every line, and a call of any other path is
    /// `INFO`, however it ends.
    ///
    /// Without them methods are learnt from traffic; their kind is not known, and only a call that
    /// ends `UNIMPLEMENTED` is taken for one of an unknown path.
    #[must_use]
    pub fn methods(self, methods: &Methods) -> Self {
        self.known(Arc::new(KnownMethods::from(methods)))
    }

    /// Shares what is known of the methods with other layers.
    #[must_use]
    pub fn known(self, known: Arc<KnownMethods>) -> Self {
        Self { known, ..self }
    }

    /// Chooses the level of each call's line; `None` writes none. [`default_level`] is what it is
    /// without this.
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

    /// Writes a line only for calls of which this is true.
    #[must_use]
    pub fn filter(mut self, keep: impl Fn(&Finished<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.settings.filter = Some(Arc::new(keep));
        self
    }

    /// Keeps this share, from 0 to 1, of the lines of calls that ended `OK`; by default all.
    ///
    /// Failures and slow calls are always kept.
    #[must_use]
    pub fn sample_successes(mut self, share: f64) -> Self {
        self.settings.sample = Arc::new(Sample::share(share));
        self
    }

    /// Raises calls that take longer to `WARN`, and always keeps them. By default no call is slow.
    ///
    /// A stream takes as long as it takes: where the kind of a method is known, this is for those that
    /// answer with one message. [`slow_per_method`](Self::slow_per_method) says it for each.
    #[must_use]
    pub fn slow_after(mut self, limit: Duration) -> Self {
        self.settings.slow = Slow::SingleResponse(limit);
        self
    }

    /// Like [`slow_after`](Self::slow_after), with a limit per method; for a `None` no call is slow.
    /// [`MethodTable::checked`] refuses a rule for a method that does not exist:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tonic_call::{MethodTable, Methods};
    /// # use tonic_logging_layer::LoggingLayer;
    /// # let descriptor_set = tonic_call_test_kit::FILE_DESCRIPTOR_SET;
    /// let methods = Methods::from_descriptor_set(descriptor_set)?;
    /// let limits = MethodTable::new(Some(Duration::from_secs(1)))
    ///     .method("test.v1.Kinds", "ServerStream", None)
    ///     .checked(&methods)?;
    /// let layer = LoggingLayer::server().methods(&methods).slow_per_method(limits);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn slow_per_method(mut self, limits: MethodTable<Option<Duration>>) -> Self {
        self.settings.slow = Slow::PerMethod(Arc::new(limits));
        self
    }

    /// Writes at most so many lines of refusals per second, for each method and reason. By default there is
    /// no limit, and one stranger without credentials fills a disk with them.
    ///
    /// The lines beyond it are left out. One line, `refusals left out`, says how many there were:
    /// `grpc.refusals_left_out`, with `rpc.method`, `grpc.refused_by` and `grpc.refused_reason`, at the level
    /// of the loudest of them. It comes when that second is over, whether or not another refusal comes; when
    /// the runtime ends before, it comes then. Outside a tokio runtime with time it comes with the next refusal.
    /// [`on_finished`](Self::on_finished) is still given every call.
    ///
    /// Refused is what another layer refused (auth, a rate limit); and on a server also what fails for anybody
    /// who sends it, without credentials: calls of unknown paths, what is answered by HTTP 4xx without a
    /// `grpc-status`, and failed calls of the health and reflection services. Their reason is their code.
    /// A second begins with its first refusal, by tokio's clock. All methods that are not known count as one,
    /// and so do all methods and reasons beyond 1,024. With 0 only the counts are written.
    #[must_use]
    pub fn refusals_per_second(mut self, lines: u32) -> Self {
        self.settings.refusals = Some(RefusalLimit::per_second(lines));
        self
    }

    /// Writes a line when a call starts, too.
    #[must_use]
    pub fn starts(mut self, level: Level) -> Self {
        self.settings.starts = Some(level);
        self
    }

    /// Writes a line for each message that passes, too: with its number, and with its size, which is
    /// that on the wire.
    #[must_use]
    pub fn messages(mut self, level: Level) -> Self {
        self.settings.messages = Some(level);
        self
    }

    /// Logs calls of the health and reflection services like any other; by default only when they fail.
    #[must_use]
    pub fn include_infrastructure(mut self) -> Self {
        self.settings.infrastructure = true;
        self
    }

    /// Whether a span of `tracing` is around the handler of a server; by default it is.
    #[must_use]
    pub fn handler_span(mut self, on: bool) -> Self {
        self.settings.handler_span = on;
        self
    }

    /// Gives these of the [fields](tonic_call::CallInfo::add_field) that handlers add a key of their
    /// own. Others go into the one key `fields`, as JSON. What the layers of this workspace add, `auth.…` and
    /// `ratelimit.…`, has keys of its own without being declared.
    ///
    /// There is room for 40 keys, those of metadata included. What is declared beyond them goes into
    /// `fields`, too.
    ///
    /// # Errors
    ///
    /// When a key is one that lines have anyway, or that formatters write beside them, or when it is
    /// not made of letters, digits, `_`, `-`, `.` and `/`.
    pub fn fields<K: Into<String>>(
        mut self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Self, KeyError> {
        self.settings.fields = key::declare(keys)?;
        Ok(self)
    }

    /// Logs these of the request's metadata, as `rpc.request.metadata.<name>`.
    #[must_use]
    pub fn request_metadata<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.request_metadata = AllowedMetadata::new(names);
        self
    }

    /// Logs these of the response's metadata, from its head or trailers, as
    /// `rpc.response.metadata.<name>`.
    #[must_use]
    pub fn response_metadata<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.response_metadata = AllowedMetadata::new(names);
        self
    }

    /// Is given every call when it is over: also those of which no line is written.
    ///
    /// For what this layer does not do, an audit trail for example. It runs where the call is polled
    /// or dropped: it must not block, nor panic.
    #[must_use]
    pub fn on_finished(mut self, hook: impl Fn(&Finished<'_>) + Send + Sync + 'static) -> Self {
        self.settings.hook = Some(Arc::new(hook));
        self
    }

    /// Names the time-out of the server that this layer is in: what was given to tonic's
    /// `Server::timeout`. By default none is known.
    ///
    /// That time-out stands outside all layers, which see their call dropped as if its caller had left.
    /// With it named, a call that it ends is logged as `DEADLINE_EXCEEDED` at `WARN`, and not
    /// as `CANCELLED` by its caller at `INFO`. See
    /// [`ObserveLayer::server_timeout`].
    #[must_use]
    pub fn server_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self { server_timeout: timeout.into(), ..self }
    }

    /// The observer alone, to let several share one pass over each call:
    /// `ObserveLayer::server((other, logging.observer())).known(logging.known_methods())`.
    pub fn observer(&self) -> Logging {
        Logging::new(self.settings.clone())
    }

    /// What is known of the methods: shared with all clones.
    pub fn known_methods(&self) -> Arc<KnownMethods> {
        Arc::clone(&self.known)
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
