//! A tonic server with an access log of its own, in a file. It calls itself twice, then exits.
//!
//! ```sh
//! cargo run -p tonic-logging-layer --features json --example logging-lines [FILE]
//! ```
//!
//! It appends one line of JSON for each call to `access.log`, or to the given file: `OK` with three response messages,
//! and `NOT_FOUND`. Move the file away while such a server runs, and within a second it writes to a new one.

use std::error::Error;

use tonic::transport::Server;
use tonic_call_test_kit::orders::FILE_DESCRIPTOR_SET;
use tonic_call_test_kit::orders::order_service_client::OrderServiceClient;
use tonic_call_test_kit::orders::order_service_server::OrderServiceServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, listen};
use tonic_logging_layer::{Lines, LogFile, LoggingLayer, Methods};
use tracing_appender::non_blocking::NonBlockingBuilder;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "access.log".to_owned());
    let file = LogFile::append(path)?;
    // A queue, so that no call waits for the disk. Its guard writes what is left at the end of `main`.
    let queue = NonBlockingBuilder::default().buffered_lines_limit(10_000);
    let (writer, _guard) = queue.finish(file.clone());
    let not_queued = writer.error_counter();
    let lines = Lines::new(writer);

    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)?;
    let (incoming, endpoint) = listen(); // a free port, and its address
    tokio::spawn(
        Server::builder()
            .layer(LoggingLayer::server().methods(&methods).lines(lines.clone()))
            .add_service(OrderServiceServer::new(Orders::default()))
            .serve_with_incoming(incoming),
    );

    let mut orders = OrderServiceClient::new(endpoint.connect().await?);
    let mut stream = orders.server_stream(Ask { notes: 3, ..Ask::default() }).await?.into_inner();
    while stream.message().await?.is_some() {}
    let not_found = Ask { act: Act::Fail.into(), code: 5, ..Ask::default() };
    let _ = orders.unary(not_found).await; // logged as NOT_FOUND

    // For a metric, such as `log_lines_dropped_total`: each line that is lost is counted by one of them.
    let dropped = lines.dropped() + not_queued.dropped_lines() as u64 + file.dropped();
    if dropped != 0 {
        return Err(format!("{dropped} lines are lost").into());
    }
    Ok(())
}
