//! What a logging layer and a metrics layer have seen.

use std::sync::{Arc, Mutex};

use tonic::Code;
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::MetricsLayer;
use tonic_metrics_layer::exporter::{Prometheus, Scrape};

/// The codes of finished calls, as a logging layer reports them.
#[derive(Clone, Default)]
pub struct Finished(Arc<Mutex<Vec<Code>>>);

impl Finished {
    /// A logging layer that reports here.
    pub fn by(&self, layer: LoggingLayer) -> LoggingLayer {
        let codes = Arc::clone(&self.0);
        layer.on_finished(move |call| codes.lock().unwrap().push(call.code()))
    }

    /// What was reported since the last time.
    pub fn take(&self) -> Vec<Code> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A metrics layer, and the number of calls that it has counted as finished.
pub struct Counted {
    pub layer: MetricsLayer,
    scrape: Scrape,
}

impl Counted {
    pub fn by(layer: MetricsLayer) -> Self {
        let (recorder, scrape) = Prometheus::new().build().unwrap();
        Self { layer: layer.with_recorder(recorder), scrape }
    }

    pub fn finished(&self) -> f64 {
        let text = self.scrape.render();
        let lines = text.lines().filter(|line| line.contains("_handled_total{"));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }
}
