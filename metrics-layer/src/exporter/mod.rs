//! Sets up [`metrics_exporter_prometheus`] and serves `/metrics` (feature `exporter`).
//!
//! That exporter must be told three things, or it harms a server that runs for long: buckets, else
//! its histograms are summaries, which can't be added up; that upkeep is to run, else every sample
//! is kept until somebody scrapes; and no idle timeout, since a series that was idle for that long is
//! dropped for good while its handle is still held. [`Prometheus`] tells it all three.
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
//! A program has one recorder: a second [`install`](Prometheus::install) gives the scrape of the first. Gauges
//! that are read when somebody asks are set by [`Scrape::before_render`].
//!
//! Who has an HTTP server already answers [`Scrape::render`] from a route of it, with
//! [`CONTENT_TYPE`]. Rendering takes its time; `tokio::task::spawn_blocking` is the place for it.

mod error;
mod installed;
mod places;
mod prometheus;
mod scrape;
mod serve;
mod sorted;

pub use metrics_exporter_prometheus;

pub use self::error::{BucketsError, InstallError};
pub use self::prometheus::Prometheus;
pub use self::scrape::{CONTENT_TYPE, Scrape};
