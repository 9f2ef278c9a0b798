use std::sync::Arc;
use std::time::Duration;

use metrics::Recorder;
use tonic_call::{KnownMethods, Methods, Observe, ObserveLayer, Side};
use tower_layer::Layer;

use crate::labels::Labels;
use crate::names::{CodeSpelling, Names};
use crate::observer::Metrics;
use crate::settings::{Registry, Settings};

/// Counts and times calls: see the [crate's page](crate).
///
/// Clones, and the services they make, share their series and what they learn of the methods.
#[derive(Clone, Debug)]
pub struct MetricsLayer {
    metrics: Metrics,
}

impl MetricsLayer {
    /// Watches the calls of a server: the families `grpc_server_*`.
    pub fn server() -> Self {
        Self { metrics: Metrics::new(Settings::new(Side::Server)) }
    }

    /// Watches the calls of a client: the families `grpc_client_*`.
    pub fn client() -> Self {
        Self { metrics: Metrics::new(Settings::new(Side::Client)) }
    }

    /// Knows exactly these methods, instead of learning them from traffic: each is registered with
    /// all its codes before it is called, and `grpc_type` says its kind.
    #[must_use]
    pub fn methods(self, methods: &Methods) -> Self {
        self.known(Arc::new(KnownMethods::from(methods)))
    }

    /// Shares what is known of the methods with other layers. By default each layer learns for
    /// itself.
    #[must_use]
    pub fn known(self, known: Arc<KnownMethods>) -> Self {
        self.with(|settings| settings.known = known)
    }

    /// How `grpc_code` spells the codes; [`CodeSpelling::Go`] by default.
    #[must_use]
    pub fn code_spelling(self, spelling: CodeSpelling) -> Self {
        self.with(|settings| settings.spelling = spelling)
    }

    /// By which convention families and labels are named; [`Names::Prometheus`] by default.
    #[must_use]
    pub fn names(self, names: Names) -> Self {
        self.with(|settings| settings.names = names)
    }

    /// Adds labels to all families. By default there are none.
    #[must_use]
    pub fn labels(self, labels: Labels) -> Self {
        self.with(|settings| settings.labels = labels)
    }

    /// Adds histograms of the messages' sizes, in bytes as they are on the wire, compressed or not:
    /// `grpc_{server,client}_msg_{received,sent}_bytes`. They are off by default: a sample costs
    /// several times what a count does, and each message is one.
    #[must_use]
    pub fn message_bytes(self) -> Self {
        self.with(|settings| settings.message_bytes = true)
    }

    /// Leaves calls of the standard health and reflection services out, and registers no series of theirs.
    /// By default they are counted like any other: a probe that fails, or that never comes, is seen so.
    ///
    /// A method that those services do not have is still counted, among the unknown ones, where the
    /// [methods](Self::methods) are known.
    #[must_use]
    pub fn exclude_infrastructure(self) -> Self {
        self.with(|settings| settings.infrastructure = false)
    }

    /// Counts in this recorder, instead of the one that is installed: for tests, and for more than
    /// one registry. An `Arc` of a recorder is a recorder too.
    ///
    /// A recorder of no size is taken for a missing one where it is installed; given here it counts.
    #[must_use]
    pub fn with_recorder(self, recorder: impl Recorder + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.recorder = Registry::Given(Arc::new(recorder)))
    }

    /// Names the time-out of the server that this layer is in: what was given to tonic's
    /// `Server::timeout`. By default none is known.
    ///
    /// That time-out stands outside all layers, which see their call dropped as if its caller had left.
    /// With it named, a call that it ends is counted as `DeadlineExceeded`, and not as
    /// `Canceled`. See
    /// [`ObserveLayer::server_timeout`].
    #[must_use]
    pub fn server_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|settings| settings.server_timeout = timeout.into())
    }

    /// What watches the calls, to share one pass with other observers:
    /// `ObserveLayer::server((metrics.observer(), other))`. It counts by the side that this layer is
    /// for.
    ///
    /// Give that [`ObserveLayer`] this layer's [`known_methods`](Self::known_methods): one that
    /// numbers its methods in another way counts right, and looks every handle up again for each
    /// call.
    pub fn observer(&self) -> Metrics {
        // What is known beforehand is there before the first call.
        let _ = self.metrics.table();
        self.metrics.clone()
    }

    /// What is known of the methods: shared with all clones.
    pub fn known_methods(&self) -> Arc<KnownMethods> {
        Arc::clone(&self.metrics.settings().known)
    }

    /// With other settings there are other series: nothing is shared with what was cloned before.
    fn with(self, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::clone(self.metrics.settings());
        set(&mut settings);
        Self { metrics: Metrics::new(settings) }
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
