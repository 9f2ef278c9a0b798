//! Two parts of a program install the exporter: both get the same scrape.
//!
//! In its own process, because a program has one recorder.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::{Arc, Mutex};

use tonic_metrics_layer::exporter::{Prometheus, Scrape};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn warnings(&self) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains("WARN") && line.contains("other settings")).count()
    }
}

fn configured(label: &str) -> Prometheus {
    let label = label.to_owned();
    Prometheus::new().buckets(&[0.1, 1.0]).unwrap().configure(move |builder| {
        builder.add_global_label("cluster", label).add_global_label("zone", "a")
    })
}

/// Installs the exporter in its own runtime, like each test of a program does.
fn install(prometheus: Prometheus) -> Scrape {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { prometheus.install().unwrap() })
}

/// The value of a gauge that is set before each scrape.
fn metrics_read() -> f64 {
    5.0
}

#[test]
fn the_second_install_gives_the_first_and_warns_if_its_settings_differ() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        let first = install(configured("one"));
        let second = install(configured("one"));
        assert_eq!(log.warnings(), 0);
        metrics::counter!("things_total").increment(1);
        assert!(first.render().contains("things_total{cluster=\"one\",zone=\"a\"} 1\n"));
        assert_eq!(first.render(), second.render());
        second.before_render(|| metrics::gauge!("things").set(metrics_read()));
        assert!(first.render().contains("things{cluster=\"one\",zone=\"a\"} 5\n"));

        for (count, other) in
            [configured("two"), Prometheus::new(), configured("one").buckets(&[1.0]).unwrap()]
                .into_iter()
                .enumerate()
        {
            let scrape = install(other);
            assert_eq!(log.warnings(), count + 1);
            assert_eq!(scrape.render(), first.render());
        }
    });
}
