//! A server for clients of other languages: see `examples/e2e/tls.py`.
//!
//! ```sh
//! cargo run -p tonic-tls-reload --features tls-aws-lc --example tls-server -- CERTIFICATE KEY [CLIENT_CA [optional]]
//! ```
//!
//! Serves `test.v1.Kinds` on a free port of loopback, by HTTP/2 and, with the environment variable `HTTP1`, by HTTP/1.1.
//! For each line of the standard input it reads the files again, and it ends with its input. Without arguments, it
//! says how to call it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::env;
use std::error::Error;
use std::io;

use tonic::transport::Server;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KindsService, listen};
use tonic_tls_reload::{ClientCa, ServerTls};

/// A line of the standard input; `None` at its end.
async fn line() -> Result<Option<String>, Box<dyn Error>> {
    let line = tokio::task::spawn_blocking(|| io::stdin().lines().next().transpose()).await??;
    Ok(line)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (certificate, key, client_ca) = match arguments[..] {
        [certificate, key] => (certificate, key, None),
        [certificate, key, ca] => (certificate, key, Some(ClientCa::bundle(ca))),
        [certificate, key, ca, "optional"] => {
            (certificate, key, Some(ClientCa::bundle(ca).optional()))
        }
        _ => {
            println!("tls-server CERTIFICATE KEY [CLIENT_CA [optional]]");
            return Ok(());
        }
    };
    let http1 = env::var_os("HTTP1").is_some();
    let mut tls = ServerTls::from_files(certificate, key).accept_http1(http1);
    if let Some(ca) = client_ca {
        tls = tls.client_ca(ca);
    }
    let tls = tls.build()?;

    let (incoming, _) = listen();
    println!("{}", incoming.local_addr()?.port());
    let routes = Server::builder()
        .accept_http1(http1)
        .add_service(KindsServer::new(KindsService::default()));
    let incoming = tls.incoming(incoming.with_nodelay(Some(true)));
    let incoming = incoming.on_failure(|error| eprintln!("{error}"));
    tokio::spawn(routes.serve_with_incoming(incoming));
    while line().await?.is_some() {
        match tls.reload().await {
            Ok(renewed) => println!("{}", if renewed { "renewed" } else { "unchanged" }),
            Err(error) => println!("refused: {error}"),
        }
    }
    Ok(())
}
