//! The series that one call has changed.

use tonic_call::Side;
use tonic_metrics_layer::MetricsLayer;
use tonic_metrics_layer::exporter::{Prometheus, Scrape};

/// A registry and the layer that counts into it.
pub(crate) struct Metrics {
    scrape: Scrape,
    pub(crate) layer: MetricsLayer,
}

/// A series that is not zero.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) family: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Series {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(label, _)| label == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Metrics {
    pub(crate) fn new(side: Side) -> Self {
        let (recorder, scrape) = Prometheus::new().build().unwrap();
        let layer = match side {
            Side::Server => MetricsLayer::server(),
            Side::Client => MetricsLayer::client(),
        };
        let layer = layer.methods(&tonic_call_test_kit::methods()).with_recorder(recorder);
        Self { scrape, layer }
    }

    /// All series that are not zero, by their names without `grpc_server_` or `grpc_client_`.
    pub(crate) fn changed(&self, side: Side) -> Vec<Series> {
        let prefix = format!("grpc_{}_", crate::log::name_of(side));
        let text = self.scrape.render();
        let samples = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix(&prefix)?.rsplit_once(' ')?;
            let (family, labels) = name.split_once('{').unwrap_or((name, "}"));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            let labels = labels.map(|label| {
                let (label, value) = label.split_once('=').unwrap();
                (label.to_owned(), value.trim_matches('"').to_owned())
            });
            let (family, labels) = (family.to_owned(), labels.collect());
            Some(Series { family, labels, value: value.parse().unwrap() })
        });
        samples.filter(|series| series.value != 0.0).collect()
    }

    /// The sum of a family's series.
    pub(crate) fn sum(changed: &[Series], family: &str) -> f64 {
        let of_family = changed.iter().filter(|series| series.family == family);
        of_family.map(|series| series.value).sum()
    }
}
