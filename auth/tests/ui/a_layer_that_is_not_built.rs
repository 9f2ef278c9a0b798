use tonic::transport::Server;
use tonic_auth_layer::{ApiKeys, AuthLayer};
use tonic_call_test_kit::KindsService;
use tonic_call_test_kit::v1::kinds_server::KindsServer;

async fn serve(keys: ApiKeys) -> Result<(), Box<dyn std::error::Error>> {
    Server::builder()
        .layer(AuthLayer::new(keys).public_health())
        .add_service(KindsServer::new(KindsService::default()))
        .serve("127.0.0.1:50051".parse()?)
        .await?;
    Ok(())
}

fn main() {}
