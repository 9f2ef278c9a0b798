//! A client can retry only what comes before a stream: errors that are known then must not be its first item.

use futures_util::stream;
use orders::faults::Faults;
use orders::v1::{ListOrdersRequest, QuoteRequest, WatchOrderRequest};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::common::server::Server;
use crate::common::soon;

/// The status of a response without a stream: tonic returns that of a stream as one of its items instead.
async fn status_in_head<T>(
    call: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
) -> Status {
    match soon(call).await {
        Ok(_) => panic!("the response has a stream"),
        Err(status) => status,
    }
}

#[tokio::test]
async fn a_page_that_does_not_exist_has_no_stream() {
    let mut client = Server::start().await.client;
    let requests = [
        ListOrdersRequest { page_token: "not a token".to_owned(), ..Default::default() },
        ListOrdersRequest { page_size: -1, ..Default::default() },
    ];
    for request in requests {
        let status = status_in_head(client.list_orders(request)).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
}

#[tokio::test]
async fn an_order_that_does_not_exist_has_no_stream() {
    let mut client = Server::start().await.client;
    for (id, code) in [("", Code::InvalidArgument), ("x", Code::NotFound)] {
        let request = WatchOrderRequest { id: id.to_owned() };
        let status = status_in_head(client.watch_order(request)).await;
        assert_eq!(status.code(), code, "{status:?}");
    }
}

#[tokio::test]
async fn a_failure_before_the_first_message_has_no_stream() {
    fn failing<T>(message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("x-fault", "status=UNAVAILABLE".parse().unwrap());
        request
    }
    let mut client = Server::with_faults(Faults::Enabled).await.client;
    let watch = WatchOrderRequest { id: "x".to_owned() };
    let quotes = stream::pending::<QuoteRequest>();
    for status in [
        status_in_head(client.list_orders(failing(ListOrdersRequest::default()))).await,
        status_in_head(client.watch_order(failing(watch))).await,
        status_in_head(client.quote_orders(failing(quotes))).await,
    ] {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
}
