use std::process::Command;

use opentelemetry::trace::TracerProvider as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::spans;

/// The `tracing` subscriber of a bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// No subscriber.
    Nobody,
    /// Writes events at `INFO` and above as JSON to a sink.
    Json,
    /// Converts `tracing` spans to OpenTelemetry spans, which are not exported.
    Spans,
}

/// The environment variable that selects the subscriber.
const LISTENER: &str = "BENCH_LISTENER";

impl Listener {
    const ALL: [Self; 3] = [Self::Nobody, Self::Json, Self::Spans];

    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nobody => "no subscriber",
            Self::Json => "JSON to a sink",
            Self::Spans => "spans",
        }
    }

    /// Runs the bench once for each subscriber, each in its own process, because a process cannot replace its
    /// subscriber.
    ///
    /// # Panics
    ///
    /// If the bench fails with one of them.
    pub fn each(run: impl FnOnce(Self)) {
        let asked = std::env::var(LISTENER).unwrap_or_default();
        if let Some(listener) = Self::ALL.into_iter().find(|listener| listener.name() == asked) {
            listener.listen();
            return run(listener);
        }
        let program = std::env::current_exe().expect("this program");
        for listener in Self::ALL {
            let mut run = Command::new(&program);
            run.args(std::env::args_os().skip(1)).env(LISTENER, listener.name());
            assert!(run.status().expect("it runs").success(), "with {}", listener.name());
        }
    }

    fn listen(self) {
        match self {
            Self::Nobody => {}
            Self::Json => tracing_subscriber::fmt()
                .json()
                .flatten_event(true)
                .with_env_filter(EnvFilter::new("info"))
                .with_writer(std::io::sink)
                .init(),
            Self::Spans => {
                let tracer = spans::provider().tracer("tracing");
                let layer = tracing_opentelemetry::layer().with_tracer(tracer);
                // The spans of the alternative have their own levels and targets.
                let heard = EnvFilter::new("info,otel::tracing=trace");
                tracing_subscriber::registry().with(heard).with(layer).init();
            }
        }
    }
}
