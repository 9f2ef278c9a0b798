//! Calls three servers in turn, and goes on when one of them stops.
//!
//! ```sh
//! cargo run -p tonic-balance --example balance-client
//! ```
//!
//! Prints, with other ports:
//!
//! ```text
//! three servers, 9 calls:
//!   3 calls to 127.0.0.1:37499
//!   3 calls to 127.0.0.1:37703
//!   3 calls to 127.0.0.1:39985
//! one has stopped, 10 more calls:
//!   8 calls to 127.0.0.1:37499
//!   3 calls to 127.0.0.1:37703
//!   8 calls to 127.0.0.1:39985
//!   127.0.0.1:39985 is READY
//!   127.0.0.1:37499 is READY
//!   127.0.0.1:37703 is CONNECTING
//! ```
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use tonic::transport::{Endpoint, Server};
use tonic_balance::{Address, Balanced, State};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen, orders};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut addresses: Vec<Address> = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..3 {
        let (incoming, _) = listen();
        addresses.push(incoming.local_addr()?.into());
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::builder().add_service(OrderServiceServer::new(Orders::default()));
        tokio::spawn(server.serve_with_incoming_shutdown(incoming, async {
            let _ = stopped.await;
        }));
        servers.push(stop);
    }

    let picks: Arc<Mutex<BTreeMap<Address, usize>>> = Arc::default();
    let counts = Arc::clone(&picks);
    let channel = Balanced::list(Endpoint::from_static("http://orders.example"), addresses)
        .on_pick(move |address| {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(address.clone()).or_default() += 1;
        })
        .build();
    let show = |title: &str| {
        println!("{title}");
        for (address, count) in &*picks.lock().unwrap_or_else(PoisonError::into_inner) {
            println!("  {count} calls to {address}");
        }
    };

    let mut orders = OrderServiceClient::new(channel.clone());
    while channel.states().iter().any(|(_, state)| *state != State::Ready) {
        tokio::task::yield_now().await;
    }
    for _ in 0..9 {
        orders.unary(Ask::default()).await?;
    }
    show("three servers, 9 calls:");

    drop(servers.pop());
    while channel.states().iter().all(|(_, state)| *state == State::Ready) {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        orders.unary(Ask::default()).await?;
    }
    show("one has stopped, 10 more calls:");
    for (address, state) in channel.states() {
        println!("  {address} is {state}");
    }
    Ok(())
}
