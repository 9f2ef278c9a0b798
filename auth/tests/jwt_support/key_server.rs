//! A scripted key server on loopback.

#![allow(unreachable_pub)]

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The response to a request for the keys.
#[derive(Clone)]
pub enum Answer {
    Keys(Vec<Value>),
    /// Any other text, with `200 OK`.
    Text(String),
    Status(u16),
    Redirect(String),
    /// This many bytes, with or without a `content-length`.
    Bytes {
        bytes: usize,
        says_so: bool,
    },
    /// No response, with the connection open.
    Hang,
    /// Half of a response, and then the connection is closed.
    Half,
}

#[derive(Clone)]
pub struct KeyServer {
    pub address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

struct State {
    answer: Answer,
    /// The issuer in the discovery document, instead of the correct one.
    issuer: Option<String>,
    /// The URL of the keys in the discovery document, instead of the correct one.
    keys: Option<String>,
    requests: Vec<String>,
}

impl KeyServer {
    pub async fn start(answer: Answer) -> Self {
        Self::serve(answer, None).await
    }

    pub async fn with_tls(answer: Answer, tls: TlsAcceptor) -> Self {
        Self::serve(answer, Some(tls)).await
    }

    async fn serve(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State { answer, issuer: None, keys: None, requests: Vec::new() };
        let server = Self {
            address: listener.local_addr().unwrap(),
            scheme: if tls.is_some() { "https" } else { "http" },
            state: Arc::new(Mutex::new(state)),
        };
        let served = server.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (served, tls) = (served.clone(), tls.clone());
                tokio::spawn(async move {
                    // Errors of the client are not errors of the server.
                    let _ = match tls {
                        None => served.answer(socket).await,
                        Some(tls) => match tls.accept(socket).await {
                            Ok(socket) => served.answer(socket).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        });
        server
    }

    pub fn issuer(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    pub fn keys(&self) -> String {
        format!("{}/keys", self.issuer())
    }

    pub fn now(&self, answer: Answer) {
        self.state.lock().unwrap().answer = answer;
    }

    pub fn pretend_to_be(&self, issuer: &str) {
        self.state.lock().unwrap().issuer = Some(issuer.to_owned());
    }

    pub fn point_to(&self, keys: &str) {
        self.state.lock().unwrap().keys = Some(keys.to_owned());
    }

    /// The heads of the requests for this path.
    pub fn requests(&self, path: &str) -> Vec<String> {
        let start = format!("GET {path} ");
        let state = self.state.lock().unwrap();
        state.requests.iter().filter(|head| head.starts_with(&start)).cloned().collect()
    }

    pub fn fetches(&self) -> usize {
        self.requests("/keys").len()
    }

    async fn answer(&self, mut socket: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let discovery = head.starts_with("GET /.well-known/openid-configuration ");
        // As Kubernetes does: it has one content type for each.
        let own_type = if discovery { "application/json" } else { "application/jwk-set+json" };
        let accepted = head.lines().any(|line| {
            let is = |one: &str| [own_type, "*/*"].contains(&one.trim());
            line.strip_prefix("accept: ").is_some_and(|types| types.split(',').any(is))
        });
        let (answer, document) = {
            let mut state = self.state.lock().unwrap();
            state.requests.push(head);
            let issuer = state.issuer.clone().unwrap_or_else(|| self.issuer());
            let keys = state.keys.clone().unwrap_or_else(|| self.keys());
            (state.answer.clone(), json!({ "issuer": issuer, "jwks_uri": keys }))
        };
        let answer = match (accepted, discovery) {
            (false, _) => Answer::Status(406),
            (true, true) => Answer::Text(document.to_string()),
            (true, false) => answer,
        };
        match answer {
            Answer::Keys(keys) => ok(&mut socket, &json!({ "keys": keys }).to_string()).await?,
            Answer::Text(text) => ok(&mut socket, &text).await?,
            Answer::Status(status) => {
                let head = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
                socket.write_all(head.as_bytes()).await?;
            }
            Answer::Redirect(to) => {
                let head =
                    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
                socket.write_all(head.as_bytes()).await?;
            }
            Answer::Bytes { bytes, says_so } => {
                let length =
                    if says_so { format!("content-length: {bytes}\r\n") } else { String::new() };
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{length}\r\n");
                socket.write_all(head.as_bytes()).await?;
                for _ in 0..bytes / 1_024 {
                    socket.write_all(&[b' '; 1_024]).await?;
                }
            }
            Answer::Hang => std::future::pending::<()>().await,
            Answer::Half => {
                socket
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":[")
                    .await?;
            }
        }
        socket.shutdown().await
    }
}

async fn ok(socket: &mut (impl AsyncWrite + Unpin), text: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    socket.write_all(head.as_bytes()).await
}
