//! The server under test of `connectconformance`: `.ci/connect` runs it.
//!
//! Reads one `ServerCompatRequest` from the standard input, serves
//! `connectrpc.conformance.v1.ConformanceService` on a free port of loopback, writes one
//! `ServerCompatResponse`, and serves until it is killed. With `RUST_LOG` it writes its log to the standard error.

mod compat;
mod info;
mod log;
mod proto;
mod reply;
mod server;
mod service;
mod streams;
mod tls;
mod trailers;

use std::error::Error;
use std::io;

use crate::server::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    log::install();
    let request = compat::read(&mut io::stdin().lock())?;
    let server = Server::bind(&request)?;
    compat::write(&mut io::stdout().lock(), &server.response()?)?;
    server.serve().await
}
