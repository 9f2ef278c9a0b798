use std::fmt;

use metrics_exporter_prometheus::PrometheusHandle;

use super::sorted::sorted;

/// What [`Scrape::render`] gives: Prometheus' text format. Prometheus 3 fails a scrape that does not
/// say so.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Reads what was counted. Clones read the same.
#[derive(Clone)]
pub struct Scrape(PrometheusHandle);

impl Scrape {
    pub(super) fn new(handle: PrometheusHandle) -> Self {
        Self(handle)
    }

    /// All there is, in Prometheus' text format: families in the order of their names, and the series of each
    /// in that of their labels.
    ///
    /// It takes as long as there are series, and samples since the last upkeep.
    pub fn render(&self) -> String {
        sorted(&self.0.render())
    }
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}
