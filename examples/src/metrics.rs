//! What is counted and timed, and where it can be read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::net::TcpListener;
use tonic_metrics_layer::exporter::{Prometheus, Scrape};

use crate::log_writer;

/// What is read at each scrape.
pub(crate) type Gauges = Arc<dyn Fn() + Send + Sync>;

/// A server takes its own away when it ends; the recorder is that of the process.
static READ: Mutex<Vec<Weak<dyn Fn() + Send + Sync>>> = Mutex::new(Vec::new());

/// Counts for the whole process from here on. To be called inside the runtime.
pub(crate) fn install() -> Result<Scrape, String> {
    let scrape = Prometheus::new().install().map_err(|error| error.to_string())?;
    scrape.before_render(|| {
        let read: Vec<_> = locked().iter().filter_map(Weak::upgrade).collect();
        read.into_iter().for_each(|gauges| gauges());
    });
    log_writer::count();
    Ok(scrape)
}

/// Reads gauges at each scrape, for as long as what is returned lives.
pub(crate) fn at_each_scrape(gauges: impl Fn() + Send + Sync + 'static) -> Gauges {
    let gauges: Gauges = Arc::new(gauges);
    let mut read = locked();
    read.retain(|gauges| gauges.strong_count() > 0);
    read.push(Arc::downgrade(&gauges));
    gauges
}

fn locked() -> MutexGuard<'static, Vec<Weak<dyn Fn() + Send + Sync>>> {
    READ.lock().unwrap_or_else(PoisonError::into_inner)
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
