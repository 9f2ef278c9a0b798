//! Guards against: headers, messages and cancelled calls that cost a server more than its operator allows.

use orders::v1::CreateOrderRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use crate::common::client::client;
use crate::common::process::Served;
use crate::common::{frames, soon};

fn order() -> CreateOrderRequest {
    CreateOrderRequest {
        customer_email: "ann@example.org".into(),
        total_cents: 4200,
        currency: "EUR".into(),
        ..Default::default()
    }
}

/// A call with a header of this size.
fn with_header(bytes: usize) -> Request<CreateOrderRequest> {
    let mut request = Request::new(order());
    let value = MetadataValue::try_from("x".repeat(bytes)).unwrap();
    request.metadata_mut().insert("x-large", value);
    request
}

#[tokio::test]
async fn a_call_with_too_many_headers_is_refused_and_the_others_go_on() {
    let served = Served::start(&["--header-bytes", "4096"]).await;
    let mut client = client(&served, &[]).await;
    for _ in 0..3 {
        client.create_order(with_header(3_000)).await.unwrap();
        let status = client.create_order(with_header(5_000)).await.unwrap_err();
        assert!(status.message().contains("431"), "{status:?}");
    }
    let served = Served::start(&[]).await;
    let mut client = self::client(&served, &[]).await;
    client.create_order(with_header(5_000)).await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_its_call() {
    let served = Served::start(&["--request-bytes", "100"]).await;
    let mut client = client(&served, &[]).await;
    client.create_order(order()).await.unwrap();
    let large = CreateOrderRequest { customer_email: "x".repeat(200), ..order() };
    let status = client.create_order(large).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");

    let served = Served::start(&["--response-bytes", "10"]).await;
    let mut client = self::client(&served, &[]).await;
    let status = client.create_order(order()).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
}

#[tokio::test]
async fn more_streams_that_are_reset_than_allowed_end_the_connection() {
    const GET: &str = "/orders.v1.OrderService/GetOrder";
    let served = Served::start(&["--reset-streams", "10"]).await;
    let mut bytes = frames::hello();
    for call in 0..300 {
        bytes.extend(frames::headers(2 * call + 1, GET));
        bytes.extend(frames::cancel(2 * call + 1));
    }
    let mut socket = TcpStream::connect(&served.address).await.unwrap();
    socket.write_all(&bytes).await.unwrap();
    let mut heard = Vec::new();
    // It may be reset, because it was not read to its end.
    while soon(socket.read_buf(&mut heard)).await.is_ok_and(|bytes| bytes > 0) {}
    let all = frames::read(&heard);
    assert!(all.iter().any(|(kind, _)| *kind == frames::GO_AWAY), "{all:?}");
}
