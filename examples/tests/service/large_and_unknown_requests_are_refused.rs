use orders::v1::{GetOrderRequest, Order};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::common::server::Server;

#[tokio::test]
async fn a_request_of_more_than_64_kib() {
    let server = Server::start().await;
    let mut client = server.client.clone();
    let fits = GetOrderRequest { id: "x".repeat(65_000) };
    assert_eq!(client.get_order(fits).await.unwrap_err().code(), Code::NotFound);
    let large = GetOrderRequest { id: "x".repeat(70_000) };
    // tonic responds OUT_OF_RANGE; gRPC's own libraries respond RESOURCE_EXHAUSTED.
    assert_eq!(client.get_order(large).await.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_method_that_is_not_there() {
    let server = Server::start().await;
    let mut grpc = Grpc::new(server.channel().await);
    for path in
        ["/orders.v1.OrderService/EraseOrder", "/orders.v9.OrderService/GetOrder", "/nothing"]
    {
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<GetOrderRequest, Order>::default();
        let request = Request::new(GetOrderRequest::default());
        let answer = grpc.unary(request, PathAndQuery::from_static(path), codec).await;
        assert_eq!(answer.unwrap_err().code(), Code::Unimplemented, "{path}");
    }
}
