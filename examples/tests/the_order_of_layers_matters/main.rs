//! What changes when two layers are swapped: the claims of `docs/order.md`, each in both orders.

#![allow(clippy::unwrap_used, unreachable_pub)]

/// A channel to a service in this process: layers, the outermost first, around the service.
macro_rules! channel {
    ($($layer:expr),+ => $service:expr) => {
        tonic_call::BoxChannel::new(
            tower::ServiceBuilder::new()$(.layer($layer.clone()))+.service($service),
        )
    };
}

mod finished;
mod on_a_client;
mod on_a_server;

use tonic::{Code, Request};
use tonic_call::BoxChannel;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{KindsService, ask};

/// The service inside the layers.
fn kinds() -> KindsServer<KindsService> {
    KindsServer::new(KindsService::default())
}

/// The code of a unary call.
async fn code(channel: &BoxChannel, request: Request<Ask>) -> Code {
    let answer = KindsClient::new(channel.clone()).unary(request).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// A call for this, with this token.
fn with_token(act: Act, token: &str) -> Request<Ask> {
    let mut request = Request::new(ask(act, 0));
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}
