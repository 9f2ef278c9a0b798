//! A client with all layers, in the order that the README recommends, and one call by it.

use std::sync::{Arc, Mutex};

use tonic::transport::Endpoint;
use tonic_auth_layer::CredentialsLayer;
use tonic_call::{BoxChannel, MethodConfig, MethodKind, Rpc, ServiceConfig, Side, observe};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::{Outcome, call, methods};
use tonic_deadline_layer::DeadlineLayer;
use tonic_recovery_layer::RecoveryLayer;
use tonic_retry_layer::{Retries, RetryHook, RetryLayer};
use tower::ServiceBuilder;

use crate::client::shown;
use crate::clock;
use crate::observed::{Layers, Log, Observed};
use crate::table::Row;

/// What the retry layer reports for the call.
#[derive(Clone, Default)]
struct Reported(Arc<Mutex<Option<Retries>>>);

impl RetryHook for Reported {
    fn call(&self, _: &Rpc, retries: Retries) {
        *self.0.lock().unwrap() = Some(retries);
    }
}

/// A client with these settings. The token is sent without TLS, as only tests may.
pub(crate) struct Client<'l> {
    pub(crate) observed: Observed<'l>,
    pub(crate) kinds: KindsClient<BoxChannel>,
    reported: Reported,
}

impl<'l> Client<'l> {
    pub(crate) fn of(log: &'l Log, layers: Layers, endpoint: &Endpoint, config: &str) -> Self {
        let token = tonic_auth_layer::BearerToken::new("a-token-of-the-test").unwrap();
        let credentials = CredentialsLayer::bearer(token).allow_unencrypted();
        Self::with(log, layers, endpoint, config, credentials)
    }

    pub(crate) fn with(
        log: &'l Log,
        layers: Layers,
        endpoint: &Endpoint,
        config: &str,
        credentials: CredentialsLayer,
    ) -> Self {
        let observed = Observed::new(Side::Client, log);
        let config = ServiceConfig::from_json(config).unwrap();
        let reported = Reported::default();
        // All methods have the same settings.
        let any = Rpc::from_path("/test.v1.Kinds/Unary".parse().ok());
        let timeout = config.method(&any).and_then(MethodConfig::timeout);
        let tracing = observed.traces.described(Side::Client);
        let (metrics, logging) = (observed.metrics.layer.clone(), observed.logging());
        let inner = ServiceBuilder::new()
            .layer(RecoveryLayer::client())
            .layer(DeadlineLayer::client(timeout).methods(&methods()))
            .layer(RetryLayer::new(&config).with_random(|| 0.5).hook(reported.clone()))
            .layer(credentials)
            .service(endpoint.connect_lazy());
        let channel = match layers {
            Layers::InOnePass => {
                let observe = observe![tracing, metrics, logging].unwrap();
                BoxChannel::new(ServiceBuilder::new().layer(observe).service(inner))
            }
            Layers::Stacked => {
                let stacked = ServiceBuilder::new().layer(tracing).layer(metrics).layer(logging);
                BoxChannel::new(stacked.service(inner))
            }
        };
        Self { observed, kinds: KindsClient::new(channel), reported }
    }

    /// Makes a call to its end, while time passes.
    pub(crate) async fn call(mut self, ending: &str, kind: MethodKind, ask: Ask) -> Row {
        let outcome = clock::passing(call(&mut self.kinds, kind, ask, &[])).await;
        self.row(ending, Some(outcome)).await
    }

    /// The row of the only call.
    pub(crate) async fn row(self, ending: &str, outcome: Option<Outcome>) -> Row {
        self.observed.until_ended().await;
        drop(self.kinds);
        let mut caller = outcome.as_ref().map_or("—".to_owned(), shown);
        let retries = *self.reported.0.lock().unwrap();
        if let Some(retries) = retries {
            for (count, name) in
                [(retries.retries, "retries"), (retries.transparent_retries, "transparent retries")]
            {
                if count > 0 {
                    caller += &format!(" · {name}: {count}");
                }
            }
        }
        self.observed.row(ending, caller)
    }
}
