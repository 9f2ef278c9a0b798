use tonic::service::LayerExt as _;
use tonic_call_test_kit::KindsService;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_ratelimit_layer::{Quota, RateLimitLayer};

fn main() {
    let orders = KindsServer::new(KindsService::default());
    let _ = RateLimitLayer::server(Quota::per_second(100)).named_layer(orders);
}
