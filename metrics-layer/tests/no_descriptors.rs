//! A process that ran out of file descriptors serves its metrics again once some are free.
//!
//! This is the only test in its file, because the limit applies to the whole process.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::net::TcpListener;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic_metrics_layer::exporter::Prometheus;

#[tokio::test(start_paused = true)]
async fn without_descriptors_nothing_spins_and_with_them_it_goes_on() {
    let (_recorder, scrape) = Prometheus::new().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    tokio::spawn(scrape.serve(tokio::net::TcpListener::from_std(listener).unwrap()));

    // The kernel has accepted the connection; the server has not.
    let stream = std::net::TcpStream::connect(address).unwrap();
    let limit = getrlimit(Resource::Nofile);
    let low = Rlimit { current: Some(64), maximum: limit.maximum };
    setrlimit(Resource::Nofile, low).unwrap();
    let mut files = Vec::new();
    let error = loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => break error,
        }
    };
    assert_eq!(error.raw_os_error(), Some(24), "EMFILE: {error}");

    // The paused clock advances only while all tasks wait: if the server retried without waiting,
    // this sleep would not end.
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(files);

    stream.set_nonblocking(true).unwrap();
    let mut stream = tokio::net::TcpStream::from_std(stream).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    setrlimit(Resource::Nofile, limit).unwrap();
}
