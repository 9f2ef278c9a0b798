//! Metrics of retries, by the names of gRFC A96.

use metrics::{Label, Unit, counter, describe_counter, describe_histogram, histogram};
use tonic_call::{Rpc, code_name};
use tonic_metrics_layer::exporter::metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tonic_retry_layer::{Attempt, AttemptOutcome, Retries, RetryHook};

const ATTEMPTS: &str = "grpc_client_attempts_total";
const RETRIES: &str = "grpc_client_call_retries";
const TRANSPARENT_RETRIES: &str = "grpc_client_call_transparent_retries";
const RETRY_DELAY: &str = "grpc_client_call_retry_delay_seconds";

/// The buckets of gRFC A96 for numbers of retries.
const RETRY_BUCKETS: [f64; 5] = [1.0, 2.0, 3.0, 4.0, 5.0];
const TRANSPARENT_RETRY_BUCKETS: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 10.0];

/// Those of gRFC A66 for latencies, without the ones below 1 ms: no policy waits for less.
const DELAY_BUCKETS: [f64; 32] = [
    0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04,
    0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 2.0, 5.0, 10.0,
    20.0,
];

/// Sets the buckets of the histograms.
pub(super) fn set_buckets(exporter: PrometheusBuilder) -> PrometheusBuilder {
    let buckets: [(&str, &[f64]); 3] = [
        (RETRIES, &RETRY_BUCKETS),
        (TRANSPARENT_RETRIES, &TRANSPARENT_RETRY_BUCKETS),
        (RETRY_DELAY, &DELAY_BUCKETS),
    ];
    buckets.into_iter().fold(exporter, |exporter, (name, buckets)| {
        let name = Matcher::Full(name.to_owned());
        exporter.set_buckets_for_metric(name, buckets).expect("there are buckets")
    })
}

/// Counts attempts and retries.
pub(super) struct CountRetries(());

impl CountRetries {
    pub(super) fn new() -> Self {
        describe_counter!(ATTEMPTS, "Attempts of calls that have ended.");
        describe_histogram!(RETRIES, "Retries of each call that had any.");
        describe_histogram!(
            TRANSPARENT_RETRIES,
            "Retries of each call that had any because the server had not processed it."
        );
        describe_histogram!(
            RETRY_DELAY,
            Unit::Seconds,
            "Time between the attempts of each call that had several."
        );
        Self(())
    }
}

impl RetryHook for CountRetries {
    fn attempt(&self, rpc: &Rpc, attempt: Attempt) {
        let (outcome, code) = match attempt.outcome {
            AttemptOutcome::Answered => ("answered", None),
            AttemptOutcome::Retried(code) => ("retried", Some(code)),
            AttemptOutcome::Failed(code, reason) => (reason.as_str(), Some(code)),
            _ => ("ended", None),
        };
        let mut labels = labels_of(rpc);
        labels.extend(code.map(|code| Label::from_static_parts("grpc_status", code_name(code))));
        labels.push(Label::from_static_parts("outcome", outcome));
        counter!(ATTEMPTS, labels).increment(1);
    }

    fn call(&self, rpc: &Rpc, retries: Retries) {
        let labels = labels_of(rpc);
        // As in gRFC A96, a call without retries is not recorded.
        if retries.retries > 0 {
            histogram!(RETRIES, labels.clone()).record(retries.retries);
        }
        if retries.transparent_retries > 0 {
            histogram!(TRANSPARENT_RETRIES, labels.clone()).record(retries.transparent_retries);
        }
        if !retries.retry_delay.is_zero() {
            histogram!(RETRY_DELAY, labels).record(retries.retry_delay.as_secs_f64());
        }
    }
}

fn labels_of(rpc: &Rpc) -> Vec<Label> {
    let (service, method) = (rpc.service().to_owned(), rpc.method().to_owned());
    vec![Label::new("grpc_service", service), Label::new("grpc_method", method)]
}
