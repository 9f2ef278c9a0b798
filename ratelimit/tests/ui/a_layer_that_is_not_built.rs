use tonic::transport::Server;
use tonic_call_test_kit::KindsService;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_ratelimit_layer::{Quota, RateLimitLayer};

async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    Server::builder()
        .layer(RateLimitLayer::server(Quota::per_second(100)))
        .add_service(KindsServer::new(KindsService::default()))
        .serve("127.0.0.1:50051".parse()?)
        .await?;
    Ok(())
}

fn main() {}
