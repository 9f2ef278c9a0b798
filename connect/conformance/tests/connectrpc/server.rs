//! The server under test, as a process.

use std::process::Stdio;
use std::time::Duration;

use prost::Message as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::proto::grpc::{ServerCompatRequest, ServerCompatResponse};

/// How long a record of the log may take. Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Dropping it kills the process.
pub(crate) struct Server {
    pub(crate) uri: http::Uri,
    log: UnboundedReceiver<Value>,
    _process: Child,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(&ServerCompatRequest::default()).await
    }

    pub(crate) async fn start_with(request: &ServerCompatRequest) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_connect-conformance"))
            .env("RUST_LOG", "info")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let request = request.encode_to_vec();
        let mut input = process.stdin.take().unwrap();
        input.write_u32(request.len() as u32).await.unwrap();
        input.write_all(&request).await.unwrap();
        let mut output = process.stdout.take().unwrap();
        let mut response = vec![0; output.read_u32().await.unwrap() as usize];
        output.read_exact(&mut response).await.unwrap();
        let ServerCompatResponse { host, port, .. } =
            ServerCompatResponse::decode(response.as_slice()).unwrap();
        let log = read(process.stderr.take().unwrap());
        Self { uri: format!("http://{host}:{port}").parse().unwrap(), log, _process: process }
    }

    /// Waits until the log has a call of this method that has started.
    pub(crate) async fn start_of(&mut self, method: &str) {
        while self.next_of(method).await["fields"]["message"] != "started call" {}
    }

    /// The code with which the next call of this method ends, by the log.
    pub(crate) async fn ending_of(&mut self, method: &str) -> String {
        loop {
            let record = self.next_of(method).await;
            if let Some(code) = record["fields"]["rpc.response.status_code"].as_str() {
                return code.to_owned();
            }
        }
    }

    /// The next record of the log about this method.
    async fn next_of(&mut self, method: &str) -> Value {
        let method = format!("connectrpc.conformance.v1.ConformanceService/{method}");
        loop {
            let record = timeout(PATIENCE, self.log.recv()).await.expect("a record in time");
            let record = record.expect("the server runs");
            if record["fields"]["rpc.method"] == *method {
                return record;
            }
        }
    }
}

/// Reads all the time, so that the server never waits for a reader.
fn read(errors: ChildStderr) -> UnboundedReceiver<Value> {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        let mut lines = BufReader::new(errors).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Ok(record) = serde_json::from_str(&line) {
                _ = sender.send(record);
            }
        }
    });
    receiver
}
