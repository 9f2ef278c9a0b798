//! What is counted and timed, and where it can be read.

use tokio::net::TcpListener;
use tonic_metrics_layer::exporter::{Prometheus, Scrape};

/// Counts for the whole process from here on. To be called once, inside the runtime.
pub(crate) fn install() -> Result<Scrape, String> {
    Prometheus::new().install().map_err(|error| error.to_string())
}

/// Serves `/metrics` until the process ends.
pub(crate) fn serve(scrape: Scrape, listener: TcpListener) {
    tokio::spawn(scrape.serve(listener));
}

/// The samples that say something, one a line: not those that are zero, nor the buckets of histograms.
pub(crate) fn samples(scrape: &Scrape) -> Vec<String> {
    let text = scrape.render();
    let says_something = |line: &&str| {
        let zero = line.rsplit_once(' ').is_none_or(|(_, value)| value == "0");
        !zero && !line.starts_with('#') && !line.contains("_bucket{")
    };
    let mut samples: Vec<_> = text.lines().filter(says_something).map(str::to_owned).collect();
    samples.sort_unstable();
    samples
}
