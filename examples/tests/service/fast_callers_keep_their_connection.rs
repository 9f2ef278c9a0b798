use bytes::Bytes;
use orders::faults::Faults;
use orders::v1::ImportOrdersResponse;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::codegen::http::{HeaderMap, Request};

use crate::common::server::Server;
use crate::common::{frames, soon};

/// Guards against: h2's limit of small unread frames, which closes the whole connection (`ENHANCE_YOUR_CALM`): a
/// client like grpcio sends a frame for each message, and does not wait until they are read.
#[tokio::test]
async fn many_small_messages_at_once_are_only_held_back() {
    const MESSAGES: usize = 20_000;
    // The smallest message: it is empty, and refused.
    let message = Bytes::from_static(&[0; 5]);
    let server = Server::with_faults(Faults::Enabled).await;
    let socket = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post("http://orders/orders.v1.OrderService/ImportOrders")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        // All frames have arrived before the first message is read.
        .header("x-fault", "delay=500ms")
        .body(())
        .unwrap();
    let mut client = client.ready().await.unwrap();
    let (response, mut stream) = client.send_request(request, false).unwrap();
    for _ in 0..MESSAGES {
        stream.send_data(message.clone(), false).unwrap();
    }
    stream.send_trailers(HeaderMap::new()).unwrap();

    let mut body = soon(response).await.unwrap().into_body();
    let mut answer = Vec::new();
    while let Some(data) = soon(body.data()).await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        answer.extend_from_slice(&data);
    }
    let trailers = soon(body.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    let answer = ImportOrdersResponse::decode(&answer[5..]).unwrap();
    assert_eq!(answer.rejected, i64::try_from(MESSAGES).unwrap());
    assert!(!connection.is_finished());
}

/// Guards against: h2's limit of calls that were cancelled before they were accepted, which closes the whole
/// connection: 20 by default.
#[tokio::test]
async fn a_burst_of_cancels_does_not_hit_the_other_calls() {
    const GET: &str = "/orders.v1.OrderService/GetOrder";
    let server = Server::start().await;
    let mut bytes = frames::hello();
    for call in 0..300 {
        bytes.extend(frames::headers(2 * call + 1, GET));
        bytes.extend(frames::cancel(2 * call + 1));
    }
    let good = 601;
    bytes.extend(frames::headers(good, GET));
    bytes.extend(frames::empty_message(good));
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(&bytes).await.unwrap();

    let mut heard = Vec::new();
    let mut answered = false;
    while !answered {
        assert_ne!(soon(socket.read_buf(&mut heard)).await.unwrap(), 0);
        let all = frames::read(&heard);
        assert!(!all.iter().any(|(kind, _)| *kind == frames::GO_AWAY), "{all:?}");
        answered = all.contains(&(frames::HEADERS, good));
    }
}
