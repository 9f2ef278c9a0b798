use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, request};
use opentelemetry::logs::LoggerProvider;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Tracer, TracerProvider};
use tonic_call::{
    AllowedMetadata, KnownMethods, MethodTable, Methods, Observe, ObserveLayer, Observing, Pass,
    Rpc, Side,
};
use tower_layer::Layer;

use crate::conventions::Conventions;
use crate::exception::exception_loggers;
use crate::observer::Tracing;
use crate::propagation::Propagation;
use crate::settings::{PublicEndpoint, Settings};
use crate::target::Target;
use crate::tracer::Provider;

/// Makes one span per call: see the [crate's page](crate).
///
/// Clones, and the services that they build, share the methods that they learn.
#[derive(Clone)]
pub struct TracingLayer {
    settings: Settings,
}

impl TracingLayer {
    /// Traces the calls of a server, with SERVER spans.
    pub fn server() -> Self {
        Self { settings: Settings::new(Side::Server, None) }
    }

    /// Traces the calls of a client, with CLIENT spans. The [`Target`] is their `server.address` and
    /// `server.port`.
    pub fn client(target: impl Into<Target>) -> Self {
        Self { settings: Settings::new(Side::Client, Some(target.into())) }
    }

    /// Sets the known methods, instead of learning them from traffic. A call of any other method is `_OTHER`.
    #[must_use]
    pub fn methods(self, methods: &Methods) -> Self {
        self.known(Arc::new(KnownMethods::from(methods)))
    }

    /// Shares the known methods with other layers. By default each layer learns its own.
    #[must_use]
    pub fn known(mut self, known: Arc<KnownMethods>) -> Self {
        self.settings.known = known;
        self
    }

    /// Makes spans with this provider instead of the global one.
    ///
    /// The layer looks up the global provider until one is set, and again after that one was shut down. If
    /// another one replaces it before, the layer keeps the first one.
    #[must_use]
    pub fn with_tracer_provider<P>(mut self, provider: &P) -> Self
    where
        P: TracerProvider + Clone + Send + Sync + 'static,
        P::Tracer: Send + Sync + 'static,
        <P::Tracer as Tracer>::Span: Send + Sync + 'static,
    {
        self.settings.provider = Provider::given(provider);
        self
    }

    /// Logs panics, and errors instead of a response, with OpenTelemetry's log API: as
    /// `rpc.server.call.exception` or `rpc.client.call.exception`, with the ids of the call's span. By default
    /// they are not logged, because OpenTelemetry has no global logger provider.
    ///
    /// With the [old](Conventions::Old) conventions they are always events of the span, too.
    #[must_use]
    pub fn with_logger_provider<P>(mut self, provider: &P) -> Self
    where
        P: LoggerProvider + Clone + Send + Sync + 'static,
        P::Logger: Send + Sync + 'static,
    {
        self.settings.exceptions = Some(exception_loggers(provider));
        self
    }

    /// Propagates the trace with this propagator instead of W3C Trace Context and W3C Baggage.
    #[must_use]
    pub fn with_propagator(
        mut self,
        propagator: impl TextMapPropagator + Send + Sync + 'static,
    ) -> Self {
        self.settings.propagation = Propagation::Given(Arc::new(propagator));
        self
    }

    /// Propagates the trace with the global propagator, set by
    /// [`set_text_map_propagator`](opentelemetry::global::set_text_map_propagator). Until one is set, nothing
    /// is propagated.
    #[must_use]
    pub fn with_global_propagator(mut self) -> Self {
        self.settings.propagation = Propagation::Global;
        self
    }

    /// Sets the semantic conventions; the default is [`Conventions::from_env`].
    #[must_use]
    pub fn conventions(mut self, conventions: Conventions) -> Self {
        self.settings.conventions = conventions;
        self
    }

    /// Does not trust the trace of any caller: each call of a server is the root of a new trace, with a link
    /// to the caller's span. The caller's baggage is ignored, too. By default callers are trusted.
    ///
    /// Of the three `public_endpoint` methods, the last call wins. On a client they have no effect.
    #[must_use]
    pub fn public_endpoint(mut self) -> Self {
        self.settings.public = PublicEndpoint::All;
        self
    }

    /// Like [`public_endpoint`](Self::public_endpoint), for the methods that are `true` in the table.
    /// [`MethodTable::checked`] rejects a rule for a method that does not exist:
    ///
    /// ```no_run
    /// # use tonic_call_test_kit::orders;
    /// use tonic_call::MethodTable;
    /// use tonic_tracing_layer::{Methods, TracingLayer};
    ///
    /// let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
    /// let public = MethodTable::new(false)
    ///     .method("orders.v1.OrderService", "GetOrder", true)
    ///     .checked(&methods)?;
    /// let layer = TracingLayer::server().methods(&methods).public_endpoint_per_method(public);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn public_endpoint_per_method(mut self, public: MethodTable<bool>) -> Self {
        self.settings.public = PublicEndpoint::PerMethod(Arc::new(public));
        self
    }

    /// Like [`public_endpoint`](Self::public_endpoint), for the calls for which this returns `true`, for
    /// example by their address. It must not panic.
    #[must_use]
    pub fn public_endpoint_if(
        mut self,
        is_public: impl Fn(&Rpc, &request::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.settings.public = PublicEndpoint::If(Arc::new(is_public));
        self
    }

    /// Traces only the calls for which this returns `true`. Others are left unchanged: the caller's trace is
    /// neither current in the handler nor propagated.
    ///
    /// It runs before the call, and must not panic.
    #[must_use]
    pub fn filter(
        mut self,
        keep: impl Fn(&Rpc, &request::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.settings.filter = Some(Arc::new(keep));
        self
    }

    /// Traces calls of the health and reflection services, too; by default they have no spans.
    #[must_use]
    pub fn include_infrastructure(mut self) -> Self {
        self.settings.infrastructure = true;
        self
    }

    /// Adds request metadata of these names, as `rpc.request.metadata.<name>`; the default is none. Metadata
    /// that may contain secrets is [never added](AllowedMetadata).
    #[must_use]
    pub fn request_metadata<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.request_metadata = AllowedMetadata::new(names);
        self
    }

    /// Adds response metadata of these names, from the head or the trailers, as
    /// `rpc.response.metadata.<name>`; the default is none.
    #[must_use]
    pub fn response_metadata<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.response_metadata = AllowedMetadata::new(names);
        self
    }

    /// Returns the trace id to the caller: 32 hexadecimal digits in this response header, for example
    /// `x-trace-id`. A header of that name in the response is kept. By default no header is added. On a client
    /// the header is added to the response that the program receives.
    #[must_use]
    pub fn return_trace_id(mut self, header: HeaderName) -> Self {
        self.settings.trace_id = Some(header);
        self
    }

    /// Declares the timeout that was passed to tonic's `Server::timeout`; the default is none.
    ///
    /// That timeout fires outside all layers, so this layer only sees that the call is dropped, as if the
    /// caller had left. With this, such a call is `DEADLINE_EXCEEDED`, an error, instead of `CANCELLED`. See
    /// [`ObserveLayer::server_timeout`].
    #[must_use]
    pub fn server_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.server_timeout = timeout.into();
        self
    }

    /// The observer of this layer, for an [`ObserveLayer`] of your own:
    /// `ObserveLayer::server((tracing.observer(), other)).known(tracing.known_methods())`. To combine layers, use
    /// [`observe!`](tonic_call::observe).
    ///
    /// The [`server_timeout`](Self::server_timeout) is not part of it: set that of the [`ObserveLayer`].
    pub fn observer(&self) -> Tracing {
        Tracing::new(self.settings.clone())
    }

    /// The known methods, which all clones share.
    pub fn known_methods(&self) -> Arc<KnownMethods> {
        Arc::clone(&self.settings.known)
    }
}

impl Observing for TracingLayer {
    type Observer = Tracing;

    fn declare(&self, pass: &mut Pass) {
        let Settings { side, known, server_timeout, .. } = &self.settings;
        pass.add::<Self>(*side, known, *server_timeout);
    }

    fn into_observer(self, known: &Arc<KnownMethods>) -> Tracing {
        self.known(Arc::clone(known)).observer()
    }
}

impl<S> Layer<S> for TracingLayer {
    type Service = Observe<S, Tracing>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveLayer::new(self.settings.side, self.observer())
            .known(self.known_methods())
            .server_timeout(self.settings.server_timeout)
            .layer(inner)
    }
}

impl fmt::Debug for TracingLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { side, conventions, provider, .. } = &self.settings;
        f.debug_struct("TracingLayer")
            .field("side", side)
            .field("conventions", conventions)
            .field("provider", provider)
            .finish_non_exhaustive()
    }
}
