//! The metrics recorder of the process, and its HTTP endpoint.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::net::TcpListener;
use tonic_metrics_layer::exporter::metrics_exporter_prometheus::PrometheusBuilder;
use tonic_metrics_layer::exporter::{Prometheus, Scrape};

use crate::logs::writer;
use crate::tls::Tls;

/// Sets gauges at each scrape, until it is dropped.
pub(crate) type Gauges = Arc<dyn Fn() + Send + Sync>;

/// The recorder belongs to the process, the gauges to a server that may end before it.
static GAUGES: Mutex<Vec<Weak<dyn Fn() + Send + Sync>>> = Mutex::new(Vec::new());

/// Installs the recorder of the process, with settings of the exporter such as the buckets of histograms. Must be called
/// inside a Tokio runtime.
pub(crate) fn install(
    set: impl FnOnce(PrometheusBuilder) -> PrometheusBuilder,
) -> Result<Scrape, String> {
    let scrape = Prometheus::new().configure(set).install().map_err(|error| error.to_string())?;
    scrape.before_render(|| {
        let read: Vec<_> = locked().iter().filter_map(Weak::upgrade).collect();
        read.into_iter().for_each(|gauges| gauges());
    });
    writer::describe_metrics();
    Ok(scrape)
}

/// Calls `gauges` at each scrape, until the returned value is dropped.
pub(crate) fn at_each_scrape(gauges: impl Fn() + Send + Sync + 'static) -> Gauges {
    let gauges: Gauges = Arc::new(gauges);
    let mut read = locked();
    read.retain(|gauges| gauges.strong_count() > 0);
    read.push(Arc::downgrade(&gauges));
    gauges
}

fn locked() -> MutexGuard<'static, Vec<Weak<dyn Fn() + Send + Sync>>> {
    GAUGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves `/metrics` until the process ends, over TLS if there is any.
pub(crate) fn serve(scrape: Scrape, listener: TcpListener, tls: Option<Tls>) {
    match tls {
        None => tokio::spawn(scrape.serve(listener)),
        Some(tls) => tokio::spawn(scrape.serve_over(listener, move |tcp| {
            let tls = tls.clone();
            async move { tls.accept_http1(tcp).await }
        })),
    };
}

/// The samples as lines, without those that are zero and without the buckets of histograms.
pub(crate) fn samples(scrape: &Scrape) -> Vec<String> {
    let text = scrape.render();
    let is_shown = |line: &&str| {
        let zero = line.rsplit_once(' ').is_none_or(|(_, value)| value == "0");
        !zero && !line.starts_with('#') && !line.contains("_bucket{")
    };
    let mut samples: Vec<_> = text.lines().filter(is_shown).map(str::to_owned).collect();
    samples.sort_unstable();
    samples
}
