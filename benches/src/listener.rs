use std::process::Command;

use opentelemetry::trace::TracerProvider as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::spans;

/// Who listens to the events and spans of `tracing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Nobody does.
    Nobody,
    /// Whoever writes what is `INFO` or louder as JSON, to where nothing takes it.
    Json,
    /// Whoever makes OpenTelemetry spans of those of `tracing`, which nobody exports.
    Spans,
}

/// Says which of them the bench runs with now.
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

    /// Runs the bench once for each of them, in a process of its own, since who listens in a process
    /// listens to its end.
    ///
    /// # Panics
    ///
    /// If one of those fails.
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
                // The peer's spans have levels and targets of their own.
                let heard = EnvFilter::new("info,otel::tracing=trace");
                tracing_subscriber::registry().with(heard).with(layer).init();
            }
        }
    }
}
