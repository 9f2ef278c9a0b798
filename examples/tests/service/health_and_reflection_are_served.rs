use futures_util::stream;
use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::common::server::Server;

#[tokio::test]
async fn the_server_and_the_service_are_healthy() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel().await);
    for service in ["", "orders.v1.OrderService", "orders.v2.OrderService"] {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
}

#[tokio::test]
async fn every_service_can_be_found() {
    let server = Server::start().await;
    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection.server_reflection_info(stream::iter([request])).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "orders.v1.OrderService",
            "orders.v2.OrderService"
        ]
    );
}

/// Guards against: `grpcurl` that prints the details of a status as bytes.
#[tokio::test]
async fn the_types_of_a_status_and_its_details_are_described_with_all_they_import() {
    let server = Server::start().await;
    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let ask =
        |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    for (request, file) in [
        (MessageRequest::FileContainingSymbol("google.rpc.Status".into()), "status.proto"),
        (
            MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".into()),
            "error_details.proto",
        ),
        (
            MessageRequest::FileContainingSymbol("google.rpc.RetryInfo".into()),
            "error_details.proto",
        ),
        (
            MessageRequest::FileByFilename("google/protobuf/any.proto".into()),
            "google/protobuf/any.proto",
        ),
        (
            MessageRequest::FileByFilename("google/protobuf/duration.proto".into()),
            "google/protobuf/duration.proto",
        ),
    ] {
        let answers = reflection.server_reflection_info(stream::iter([ask(request)])).await;
        let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
        let Some(MessageResponse::FileDescriptorResponse(files)) = answer.message_response else {
            panic!("{answer:?}")
        };
        let described = FileDescriptorProto::decode(&*files.file_descriptor_proto[0]).unwrap();
        assert_eq!(described.name(), file);
        // Clients request these by their names.
        for import in described.dependency {
            let by_name = ask(MessageRequest::FileByFilename(import.clone()));
            let answers = reflection.server_reflection_info(stream::iter([by_name])).await;
            let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
            let known =
                matches!(answer.message_response, Some(MessageResponse::FileDescriptorResponse(_)));
            assert!(known, "{import}: {answer:?}");
        }
    }
}
