use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use metrics_exporter_prometheus::PrometheusHandle;

use super::sorted::sorted;

/// What [`Scrape::render`] gives: Prometheus' text format. Prometheus 3 fails a scrape that does not
/// say so.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Reads what was counted. Clones read the same.
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

    /// Calls this before each scrape: for gauges that are read when somebody asks, as collectors of other
    /// Prometheus clients do, and not set whenever they change. All clones call it.
    ///
    /// ```
    /// # use tonic_metrics_layer::exporter::Scrape;
    /// # fn pool_len() -> f64 { 7.0 }
    /// fn collect(scrape: &Scrape) {
    ///     scrape.before_render(|| metrics::gauge!("pool_connections").set(pool_len()));
    /// }
    /// ```
    ///
    /// It must not render, and not block for long.
    pub fn before_render(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.before.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(hook));
    }

    /// All there is, in Prometheus' text format: families in the order of their names, and the series of each
    /// in that of their labels.
    ///
    /// It takes as long as there are series, and samples since the last upkeep.
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
