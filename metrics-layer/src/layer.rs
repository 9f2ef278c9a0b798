use std::sync::Arc;
use std::time::Duration;

use metrics::Recorder;
use tonic_call::{KnownMethods, Methods, Observe, ObserveLayer, Observing, Pass, Side};
use tower_layer::Layer;

use crate::labels::Labels;
use crate::names::{CodeSpelling, Names};
use crate::observer::Metrics;
use crate::settings::{RecorderSource, Settings};

/// Counts and times calls: see the [crate's page](crate).
///
/// Clones, and the services that they build, share their series and the methods that they learn.
#[derive(Clone, Debug)]
pub struct MetricsLayer {
    metrics: Metrics,
}

impl MetricsLayer {
    /// Counts the calls of a server, in the families `grpc_server_*`.
    pub fn server() -> Self {
        Self { metrics: Metrics::new(Settings::new(Side::Server)) }
    }

    /// Counts the calls of a client, in the families `grpc_client_*`.
    pub fn client() -> Self {
        Self { metrics: Metrics::new(Settings::new(Side::Client)) }
    }

    /// Sets the known methods, instead of learning them from traffic. Each is registered at zero with all
    /// status codes, and `grpc_type` is its kind.
    #[must_use]
    pub fn methods(self, methods: &Methods) -> Self {
        self.known(Arc::new(KnownMethods::from(methods)))
    }

    /// Shares the known methods with other layers. By default each layer learns its own.
    #[must_use]
    pub fn known(self, known: Arc<KnownMethods>) -> Self {
        self.with(|settings| settings.known = known)
    }

    /// Sets the spelling of the codes in `grpc_code`; the default is [`CodeSpelling::Go`].
    #[must_use]
    pub fn code_spelling(self, spelling: CodeSpelling) -> Self {
        self.with(|settings| settings.spelling = spelling)
    }

    /// Sets the naming convention of families and labels; the default is [`Names::Prometheus`].
    #[must_use]
    pub fn names(self, names: Names) -> Self {
        self.with(|settings| settings.names = names)
    }

    /// Adds labels to all families; the default is none.
    #[must_use]
    pub fn labels(self, labels: Labels) -> Self {
        self.with(|settings| settings.labels = labels)
    }

    /// Adds histograms of message sizes in bytes on the wire, after compression:
    /// `grpc_{server,client}_msg_{received,sent}_bytes`. Off by default, because every message is a sample,
    /// and a sample costs several times as much as a count.
    #[must_use]
    pub fn message_bytes(self) -> Self {
        self.with(|settings| settings.message_bytes = true)
    }

    /// Excludes the standard health and reflection services, and registers no series for them. By default
    /// they are counted, so that failing and missing probes are visible.
    ///
    /// With [methods](Self::methods), a call to a method that these services do not have is still counted, as
    /// unknown.
    #[must_use]
    pub fn exclude_infrastructure(self) -> Self {
        self.with(|settings| settings.infrastructure = false)
    }

    /// Counts in this recorder instead of the installed one: for tests, and for several registries. An
    /// `Arc` of a recorder is a recorder, too.
    ///
    /// A zero-sized recorder works only here: if it is installed instead, it is treated as missing.
    #[must_use]
    pub fn with_recorder(self, recorder: impl Recorder + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.recorder = RecorderSource::Given(Arc::new(recorder)))
    }

    /// Declares the timeout that was passed to tonic's `Server::timeout`; the default is none.
    ///
    /// That timeout fires outside all layers, so this layer only sees that the call is dropped, as if the
    /// caller had left. With this, such a call counts as `DeadlineExceeded` instead of `Canceled`. See
    /// [`ObserveLayer::server_timeout`].
    #[must_use]
    pub fn server_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|settings| settings.server_timeout = timeout.into())
    }

    /// The observer of this layer, for an [`ObserveLayer`] of your own. It counts for this layer's side.
    /// [`observe!`](tonic_call::observe) does all of the following by itself.
    ///
    /// Pass this layer's [`known_methods`](Self::known_methods) to that [`ObserveLayer`]: if it numbers the
    /// methods differently, counts are still right, but every call looks up its handles again. The
    /// [`server_timeout`](Self::server_timeout) is not part of the observer: set that of the [`ObserveLayer`].
    pub fn observer(&self) -> Metrics {
        // Registers the described methods before the first call.
        self.metrics.register();
        self.metrics.clone()
    }

    /// The known methods, which all clones share.
    pub fn known_methods(&self) -> Arc<KnownMethods> {
        Arc::clone(&self.metrics.settings().known)
    }

    /// Changes a setting. The result shares no series with earlier clones.
    fn with(self, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::clone(self.metrics.settings());
        set(&mut settings);
        Self { metrics: Metrics::new(settings) }
    }
}

impl Observing for MetricsLayer {
    type Observer = Metrics;

    fn declare(&self, pass: &mut Pass) {
        let settings = self.metrics.settings();
        pass.add::<Self>(settings.side, &settings.known, settings.server_timeout);
    }

    fn into_observer(self, known: &Arc<KnownMethods>) -> Metrics {
        let has_them = Arc::ptr_eq(&self.metrics.settings().known, known);
        // Handles are found by the numbers of the known methods, which must be those of the pass.
        let layer = if has_them { self } else { self.known(Arc::clone(known)) };
        layer.observer()
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Observe<S, Metrics>;

    fn layer(&self, inner: S) -> Self::Service {
        let settings = self.metrics.settings();
        ObserveLayer::new(settings.side, self.observer())
            .known(self.known_methods())
            .server_timeout(settings.server_timeout)
            .layer(inner)
    }
}
