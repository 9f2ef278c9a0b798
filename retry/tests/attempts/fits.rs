//! The layer fits every place where a client's layer can be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tonic::Code;
use tonic::transport::Channel;
use tonic_auth_layer::{BearerToken, CredentialsLayer, NoToken};
use tonic_deadline_layer::DeadlineLayer;
use tonic_retry_layer::{BoxChannel, RetryChannel, RetryLayer, ServiceConfig};
use tower::ServiceBuilder;
use tower::layer::util::Identity;

fn client() -> RetryLayer {
    RetryLayer::new(&ServiceConfig::default())
}

tonic_call_test_kit::fits! {
    server: Identity::new(),
    client: client(),
    channel: RetryChannel<Channel>,
}

/// The same with a policy, whose calls run in another way.
mod with_a_policy {
    use super::*;

    tonic_call_test_kit::fits! {
        server: Identity::new(),
        client: RetryLayer::new(&policy()),
        channel: RetryChannel<Channel>,
    }
}

/// The same as an optional layer.
mod turned_on {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: Identity::new(),
        client: option_layer(Some(client())),
        channel: OptionService<RetryChannel<Channel>, Channel>,
    }
}

mod turned_off {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: Identity::new(),
        client: option_layer(Some(client()).filter(|_| false)),
        channel: OptionService<RetryChannel<Channel>, Channel>,
    }
}

/// Three attempts, and almost no pause between them.
fn policy() -> ServiceConfig {
    let json = r#"{"methodConfig": [{"name": [{}], "timeout": "60s", "retryPolicy": {
        "maxAttempts": 3, "initialBackoff": "0.001s", "maxBackoff": "0.001s",
        "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]
    }}]}"#;
    ServiceConfig::from_json(json).unwrap()
}

#[tokio::test]
async fn deadlines_fit_outside_and_credentials_inside_are_asked_for_each_attempt() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let token = move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        BearerToken::new(&format!("token-{number}")).map_err(NoToken::new)
    };
    let channel = ServiceBuilder::new()
        .layer(DeadlineLayer::client(&policy()))
        .layer(RetryLayer::new(&policy()))
        .layer(CredentialsLayer::bearer(token).allow_unencrypted())
        .service(channel());
    let mut orders = KindsClient::with_interceptor(BoxChannel::new(channel), intercept);
    let status = orders.unary(Ask::default()).await.unwrap_err();
    assert_eq!((status.code(), asked.load(Ordering::Relaxed)), (Code::Unavailable, 3));
}
