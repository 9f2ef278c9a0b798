//! Configures [`metrics_exporter_prometheus`] and serves `/metrics` (feature `exporter`).
//!
//! By its defaults that exporter does not suit a server that runs for a long time. [`Prometheus`] sets:
//!
//! - buckets: without them histograms become summaries, which cannot be aggregated;
//! - periodic upkeep: without it every sample is kept in memory until the next scrape;
//! - no idle timeout: an idle series would be removed for good while the layer still holds its handle.
//!
//! ```no_run
//! use tokio::net::TcpListener;
//! use tonic_metrics_layer::exporter::Prometheus;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scrape = Prometheus::new().install()?;
//! tokio::spawn(scrape.serve(TcpListener::bind("127.0.0.1:9464").await?));
//! # Ok(())
//! # }
//! ```
//!
//! A program has one recorder: a second [`install`](Prometheus::install) returns the scrape of the first. To
//! update gauges at each scrape, use [`Scrape::before_render`].
//!
//! To serve the metrics from an HTTP server of your own, answer a route with [`Scrape::render`] and
//! [`CONTENT_TYPE`]. With many series rendering is slow: call it in `tokio::task::spawn_blocking`.

mod connections;
mod error;
mod install;
mod prometheus;
mod scrape;
mod serve;
mod sorted;
mod upkeep;

pub use metrics_exporter_prometheus;

pub use self::error::{BucketsError, InstallError};
pub use self::prometheus::Prometheus;
pub use self::scrape::{CONTENT_TYPE, Scrape};
