//! gRPC's interoperability tests, with every layer of this workspace: `interop serve` serves `grpc.testing.TestService`,
//! and `interop client` plays the test cases against any server. With `--bare`, both are tonic without layers.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod client;
mod compression;
mod log;
mod proto;
mod server;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

#[tokio::main]
async fn main() -> ExitCode {
    log::install();
    let ended = match Cli::parse().command {
        Command::Serve(args) => server::serve(args).await.map(|()| true),
        Command::Client(args) => client::run(args).await,
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
