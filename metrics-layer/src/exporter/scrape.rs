use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use metrics_exporter_prometheus::PrometheusHandle;

use super::sorted::sorted;

/// The content type of [`Scrape::render`]: Prometheus' text format. Prometheus 3 rejects a scrape without it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders the metrics of one recorder. Clones render the same.
#[derive(Clone)]
pub struct Scrape {
    handle: PrometheusHandle,
    before: Arc<RwLock<Vec<Hook>>>,
}

type Hook = Arc<dyn Fn() + Send + Sync>;

impl Scrape {
    pub(super) fn new(handle: PrometheusHandle) -> Self {
        Self { handle, before: Arc::default() }
    }

    /// Adds a hook that all clones call before each scrape: for gauges that are read at a scrape, like the
    /// collectors of other Prometheus clients.
    ///
    /// ```
    /// # use tonic_metrics_layer::exporter::Scrape;
    /// # fn pool_len() -> f64 { 7.0 }
    /// fn collect(scrape: &Scrape) {
    ///     scrape.before_render(|| metrics::gauge!("pool_connections").set(pool_len()));
    /// }
    /// ```
    ///
    /// The hook must not call [`render`](Self::render), and must not block for long.
    pub fn before_render(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.before.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(hook));
    }

    /// All metrics in Prometheus' text format: families sorted by name, and the series of each by their labels.
    ///
    /// The time grows with the number of series, and of samples since the last upkeep.
    pub fn render(&self) -> String {
        let hooks = self.before.read().unwrap_or_else(PoisonError::into_inner).clone();
        for hook in hooks {
            hook();
        }
        sorted(&self.handle.render())
    }
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}
