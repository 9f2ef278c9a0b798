use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, request};
use opentelemetry::logs::LoggerProvider;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Tracer, TracerProvider};
use tonic_call::{
    AllowedMetadata, KnownMethods, MethodTable, Methods, Observe, ObserveLayer, Rpc, Side,
};
use tower_layer::Layer;

use crate::conventions::Conventions;
use crate::exception::tellers;
use crate::observer::Tracing;
use crate::propagation::Propagation;
use crate::settings::{Public, Settings};
use crate::target::Target;
use crate::tracer::Provider;

/// Gives each call a span: see the [crate's page](crate).
///
/// Clones, and the services they make, share what they learn of the methods.
#[derive(Clone)]
pub struct TracingLayer {
    settings: Settings,
}

impl TracingLayer {
    /// Gives the calls of a server SERVER spans.
    pub fn server() -> Self {
        Self { settings: Settings::new(Side::Server, None) }
    }

    /// Gives the calls of a client CLIENT spans, with [that](Target) as `server.address` and
    /// `server.port`.
    pub fn client(target: impl Into<Target>) -> Self {
        Self { settings: Settings::new(Side::Client, Some(target.into())) }
    }

    /// Knows exactly these methods, instead of learning them from traffic: a call of any other is
    /// `_OTHER`.
    #[must_use]
    pub fn methods(self, methods: &Methods) -> Self {
        self.known(Arc::new(KnownMethods::from(methods)))
    }

    /// Shares what is known of the methods with other layers. By default each layer learns for
    /// itself.
    #[must_use]
    pub fn known(mut self, known: Arc<KnownMethods>) -> Self {
        self.settings.known = known;
        self
    }

    /// Makes spans with this provider, instead of the global one.
    ///
    /// The global one is looked up until there is one, and again when it has been shut down. One that is replaced
    /// while it still works is not noticed.
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

    /// Tells of panics, and of errors in place of an answer, in OpenTelemetry's log: as
    /// `rpc.server.call.exception` or `rpc.client.call.exception`, with the call's trace and span. There
    /// is no global provider of loggers, so without this they are not told.
    ///
    /// With the [old](Conventions::Old) conventions they are events of the span, with or without this.
    #[must_use]
    pub fn with_logger_provider<P>(mut self, provider: &P) -> Self
    where
        P: LoggerProvider + Clone + Send + Sync + 'static,
        P::Logger: Send + Sync + 'static,
    {
        self.settings.exceptions = Some(tellers(provider));
        self
    }

    /// Reads and writes the trace in another form than W3C Trace Context and W3C Baggage.
    #[must_use]
    pub fn with_propagator(
        mut self,
        propagator: impl TextMapPropagator + Send + Sync + 'static,
    ) -> Self {
        self.settings.propagation = Propagation::Given(Arc::new(propagator));
        self
    }

    /// Reads and writes the trace in the form that is set with
    /// [`set_text_map_propagator`](opentelemetry::global::set_text_map_propagator). Until one is set,
    /// nothing is read or written.
    #[must_use]
    pub fn with_global_propagator(mut self) -> Self {
        self.settings.propagation = Propagation::Global;
        self
    }

    /// Chooses how attributes are called; by default as the environment says, and if it does not,
    /// [`Conventions::Released`].
    #[must_use]
    pub fn conventions(mut self, conventions: Conventions) -> Self {
        self.settings.conventions = conventions;
        self
    }

    /// Trusts no caller's trace: each call of a server is the root of a new one, with a link to the span
    /// that the caller named. Its baggage is not taken either. By default callers are trusted.
    ///
    /// Of this and the two like it the last counts. On a client they do nothing.
    #[must_use]
    pub fn public_endpoint(mut self) -> Self {
        self.settings.public = Public::All;
        self
    }

    /// Like [`public_endpoint`](Self::public_endpoint), for the methods of which the table says so.
    /// [`MethodTable::checked`] refuses a rule for a method that does not exist:
    ///
    /// ```
    /// # use tonic_call::{MethodTable, Methods};
    /// # use tonic_tracing_layer::TracingLayer;
    /// # let descriptor_set = tonic_call_test_kit::FILE_DESCRIPTOR_SET;
    /// let methods = Methods::from_descriptor_set(descriptor_set)?;
    /// let public = MethodTable::new(false)
    ///     .method("test.v1.Kinds", "Unary", true)
    ///     .checked(&methods)?;
    /// let layer = TracingLayer::server().methods(&methods).public_endpoint_per_method(public);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn public_endpoint_per_method(mut self, public: MethodTable<bool>) -> Self {
        self.settings.public = Public::PerMethod(Arc::new(public));
        self
    }

    /// Like [`public_endpoint`](Self::public_endpoint), for the calls of which this is true: by the
    /// address they come from, for example. It must not panic.
    #[must_use]
    pub fn public_endpoint_if(
        mut self,
        is_public: impl Fn(&Rpc, &request::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.settings.public = Public::If(Arc::new(is_public));
        self
    }

    /// Gives only those calls a span of which this is true. The others are not touched at all: what their
    /// callers sent of a trace is not current in them, and nothing is sent along.
    ///
    /// It runs before the call does, and must not panic.
    #[must_use]
    pub fn filter(
        mut self,
        keep: impl Fn(&Rpc, &request::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.settings.filter = Some(Arc::new(keep));
        self
    }

    /// Gives calls of the health and reflection services spans too; by default they have none.
    #[must_use]
    pub fn include_infrastructure(mut self) -> Self {
        self.settings.infrastructure = true;
        self
    }

    /// Shows these of the request's metadata, as `rpc.request.metadata.<name>`. By default none. What
    /// may hold a secret is [never shown](AllowedMetadata).
    #[must_use]
    pub fn request_metadata<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.request_metadata = AllowedMetadata::new(names);
        self
    }

    /// Shows these of the response's metadata, from its head or trailers, as
    /// `rpc.response.metadata.<name>`. By default none.
    #[must_use]
    pub fn response_metadata<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.response_metadata = AllowedMetadata::new(names);
        self
    }

    /// Tells each caller the trace of its call: 32 hexadecimal digits in this header of the response, for
    /// example `x-trace-id`. A header that is there already stays. By default callers are told nothing. On a
    /// client the header is added to what the program itself receives.
    #[must_use]
    pub fn return_trace_id(mut self, header: HeaderName) -> Self {
        self.settings.trace_id = Some(header);
        self
    }

    /// Names the time-out of the server that this layer is in: what was given to tonic's
    /// `Server::timeout`. By default none is known.
    ///
    /// That time-out stands outside all layers, which see their call dropped as if its caller had left.
    /// With it named, a call that it ends is `DEADLINE_EXCEEDED`, an error, and not
    /// `CANCELLED` by its caller. See
    /// [`ObserveLayer::server_timeout`].
    #[must_use]
    pub fn server_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.server_timeout = timeout.into();
        self
    }

    /// The observer alone, to let several share one pass over each call:
    /// `ObserveLayer::server((tracing.observer(), other)).known(tracing.known_methods())`.
    pub fn observer(&self) -> Tracing {
        Tracing::new(self.settings.clone())
    }

    /// What is known of the methods: shared with all clones.
    pub fn known_methods(&self) -> Arc<KnownMethods> {
        Arc::clone(&self.settings.known)
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
