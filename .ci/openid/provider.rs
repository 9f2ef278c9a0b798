//! The OpenID provider of `provider.js`, for the tests of several crates: each includes this file by its path.
//!
//! It needs Node.js 22 or newer, and what `npm ci --prefix .ci/openid` installs.

#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/openid/provider.js");

/// What the script knows: its one client, and what it may ask a token for.
const CLIENT: &str = "orders-caller:known-to-everybody";
pub const ORDERS: &str = "urn:test:orders";
pub const ORDERS_BY_EC: &str = "urn:test:orders:ec";
pub const BILLING: &str = "urn:test:billing";

/// A provider that runs until it is dropped.
pub struct Provider {
    pub issuer: String,
    pub tokens: Tokens,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Provider {
    pub async fn start() -> Self {
        let mut child = Command::new("node")
            .arg(SCRIPT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Node.js is installed");
        let commands = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let issuer = soon(answers.next_line()).await.unwrap();
        let issuer = issuer.expect("it runs once `npm ci --prefix .ci/openid` has");
        let tokens = Tokens::of(&issuer).await;
        Self { issuer, tokens, commands, answers, _child: child }
    }

    /// Has it do something, and waits until that is done.
    pub async fn tell(&mut self, command: &str) {
        let line = format!("{command}\n");
        soon(self.commands.write_all(line.as_bytes())).await.unwrap();
        assert_eq!(soon(self.answers.next_line()).await.unwrap().as_deref(), Some(command));
    }
}

/// Where the client gets tokens.
#[derive(Clone)]
pub struct Tokens {
    http: Client<HttpConnector, Full<Bytes>>,
    endpoint: String,
}

impl Tokens {
    async fn of(issuer: &str) -> Self {
        let http = Client::builder(TokioExecutor::new()).build_http();
        let document = format!("{issuer}/.well-known/openid-configuration");
        let document = Request::get(document).body(Full::default()).unwrap();
        let document = json(&http, document).await;
        Self { http, endpoint: document["token_endpoint"].as_str().unwrap().to_owned() }
    }

    /// A token of the client's own; without a resource one that only the provider can read.
    pub async fn get(&self, resource: Option<&str>, scope: &str) -> String {
        let resource = resource.map(|resource| format!("&resource={resource}")).unwrap_or_default();
        let form = format!("grant_type=client_credentials&scope={scope}{resource}");
        let request = Request::post(&self.endpoint)
            .header("authorization", format!("Basic {}", STANDARD.encode(CLIENT)))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.into())
            .unwrap();
        json(&self.http, request).await["access_token"].as_str().unwrap().to_owned()
    }
}

async fn json(http: &Client<HttpConnector, Full<Bytes>>, request: Request<Full<Bytes>>) -> Value {
    let response = soon(http.request(request)).await.unwrap();
    let status = response.status();
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// Nothing here takes long, unless it never ends.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("it should not take so long")
}

/// The name of the key that has signed a token.
pub fn key_of(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}
