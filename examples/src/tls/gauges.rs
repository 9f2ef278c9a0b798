//! When the certificate in use expires, at each scrape.

use super::handshake::Tls;
use super::metrics;
use crate::metrics::{Gauges, at_each_scrape};

impl Tls {
    /// Describes the metrics of TLS, and sets the gauge at each scrape, until the returned value is dropped.
    pub(crate) fn gauges(&self) -> Gauges {
        metrics::describe();
        let server = self.server.clone();
        at_each_scrape(move || {
            if let Some(validity) = server.status().validity {
                metrics::set_not_after(validity.not_after);
            }
        })
    }
}
