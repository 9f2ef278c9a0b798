//! A service that answers each attempt as scripted, and records what it gets. Each test uses a part of it.
#![allow(dead_code, unreachable_pub, missing_docs, missing_debug_implementations)]

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_call::{BoxError, CallInfo, Side};
use tonic_call_test_kit::Script;
use tonic_retry_layer::{RetryChannel, RetryLayer, ServiceConfig};
use tower::{Layer as _, Service};

/// What the service does with one attempt.
pub enum Act {
    /// Answers in the head alone, with these headers.
    Refuse(Code, &'static [(&'static str, &'static str)]),
    /// Answers with a head and this body.
    Respond(Script),
    /// Fails.
    Fail(Box<dyn FnOnce() -> BoxError + Send>),
    /// Never answers.
    Hang,
    /// Answers with an HTTP status.
    Http(u16),
    /// Reads this number of frames first.
    Read(usize, Box<Act>),
}

impl Act {
    pub fn unavailable() -> Self {
        Self::Refuse(Code::Unavailable, &[])
    }

    pub fn ok() -> Self {
        Self::Respond(Script::new().messages(1).trailers(Code::Ok))
    }

    pub fn fail(error: impl FnOnce() -> BoxError + Send + 'static) -> Self {
        Self::Fail(Box::new(error))
    }

    pub fn after(self, frames: usize) -> Self {
        Self::Read(frames, Box::new(self))
    }
}

/// What an attempt has sent.
pub struct Seen {
    /// Since the server was made.
    pub at: Duration,
    pub headers: HeaderMap,
    pub extensions: http::Extensions,
    pub frames: Vec<Bytes>,
}

#[derive(Clone)]
pub struct Server {
    acts: Arc<Mutex<VecDeque<Act>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Keeps what hangs.
    made: Instant,
}

pub type Answer = Result<Response<Script>, BoxError>;

impl Server {
    /// The last act is not repeated: an attempt too many hangs the test's assertion, not the test.
    pub fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        let acts = acts.into_iter().collect();
        Self { acts: Arc::new(Mutex::new(acts)), seen: Arc::default(), made: Instant::now() }
    }

    /// The number of attempts.
    pub fn attempts(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// The times of the attempts, in milliseconds.
    pub fn times(&self) -> Vec<u128> {
        self.seen.lock().unwrap().iter().map(|seen| seen.at.as_millis()).collect()
    }

    /// A header of each attempt.
    pub fn header(&self, name: &str) -> Vec<Option<String>> {
        let seen = self.seen.lock().unwrap();
        let value = |seen: &Seen| Some(seen.headers.get(name)?.to_str().unwrap().to_owned());
        seen.iter().map(value).collect()
    }

    /// What each attempt has sent.
    pub fn frames(&self) -> Vec<Vec<Bytes>> {
        self.seen.lock().unwrap().iter().map(|seen| seen.frames.clone()).collect()
    }

    /// The slot of each attempt.
    pub fn infos(&self) -> Vec<CallInfo> {
        let seen = self.seen.lock().unwrap();
        let info = |seen: &Seen| CallInfo::of_side(Side::Client, &seen.extensions).unwrap().clone();
        seen.iter().map(info).collect()
    }

    pub fn channel(&self, layer: &RetryLayer) -> RetryChannel<Self> {
        layer.layer(self.clone())
    }
}

impl Service<Request<Body>> for Server {
    type Response = Response<Script>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (head, mut body) = request.into_parts();
        let act = self.acts.lock().unwrap().pop_front().expect("an attempt too many");
        let mut seen = self.seen.lock().unwrap();
        let number = seen.len();
        seen.push(Seen {
            at: self.made.elapsed(),
            headers: head.headers,
            extensions: head.extensions,
            frames: Vec::new(),
        });
        let seen = Arc::clone(&self.seen);
        Box::pin(async move {
            let mut act = act;
            let mut frames = usize::MAX;
            if let Act::Read(first, then) = act {
                (frames, act) = (first, *then);
            }
            for _ in 0..frames {
                match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                    Some(Ok(frame)) => {
                        let data = frame.into_data().unwrap();
                        seen.lock().unwrap()[number].frames.push(data);
                    }
                    Some(Err(status)) => return Err(status.into()),
                    None => break,
                }
            }
            match act {
                Act::Refuse(code, headers) => {
                    let mut response = Status::new(code, "on purpose").into_http::<()>();
                    for (name, value) in headers {
                        response.headers_mut().append(*name, value.parse().unwrap());
                    }
                    Ok(response.map(|()| Script::new().says_end()))
                }
                Act::Respond(script) => Ok(script.respond()),
                Act::Fail(error) => Err(error()),
                Act::Http(status) => {
                    let response = Response::builder().status(status);
                    Ok(response.body(Script::new().data(Bytes::from_static(b"<html>"))).unwrap())
                }
                Act::Hang => std::future::pending().await,
                Act::Read(..) => panic!("read twice"),
            }
        })
    }
}

/// What a caller sees.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub code: Code,
    pub message: String,
    /// The messages of the response.
    pub messages: usize,
    /// When it ended, in milliseconds.
    pub at: u128,
}

/// Reads a response to its end.
pub async fn read<B>(result: Result<Response<B>, BoxError>, began: Instant) -> Outcome
where
    B: http_body::Body<Data = Bytes, Error = Status> + Unpin,
{
    let ended = |code, message: String, messages| Outcome {
        code,
        message,
        messages,
        at: began.elapsed().as_millis(),
    };
    let of = |headers: &HeaderMap, messages| {
        let code = Code::from_bytes(headers["grpc-status"].as_bytes());
        let message = headers.get("grpc-message").map_or("", |text| text.to_str().unwrap());
        ended(code, message.replace("%20", " ").replace("%2C", ","), messages)
    };
    let (head, mut body) = match result {
        Ok(response) => response.into_parts(),
        Err(error) => {
            // As the caller reads it.
            let status = Status::from_error(error);
            return ended(status.code(), status.message().to_owned(), 0);
        }
    };
    let mut messages = 0;
    while !body.is_end_stream() {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            Some(Ok(frame)) if frame.is_data() => messages += 1,
            Some(Ok(frame)) => return of(frame.trailers_ref().unwrap(), messages),
            Some(Err(status)) => {
                return ended(status.code(), status.message().to_owned(), messages);
            }
            None => break,
        }
    }
    match head.headers.contains_key("grpc-status") {
        true => of(&head.headers, messages),
        false => ended(Code::Unknown, head.status.to_string(), messages),
    }
}

/// Makes a call and reads its response.
pub async fn call(server: &Server, layer: &RetryLayer, request: Request<Script>) -> Outcome {
    let began = Instant::now();
    let mut channel = server.channel(layer);
    read(channel.call(request).await, began).await
}

/// Four attempts after 100, 200, 400 ms on average, when the code is UNAVAILABLE.
pub fn config() -> ServiceConfig {
    with_policy("UNAVAILABLE", "")
}

/// That policy for these codes, with more fields of the entry, each behind a comma.
pub fn with_policy(codes: &str, more: &str) -> ServiceConfig {
    let codes = codes.split(' ').map(|code| format!("{code:?}")).collect::<Vec<_>>().join(", ");
    let json = format!(
        r#"{{"methodConfig": [{{"name": [{{"service": "a.B"}}], "retryPolicy": {{
            "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "0.3s",
            "backoffMultiplier": 2, "retryableStatusCodes": [{codes}]
        }}{more}}}]}}"#
    );
    ServiceConfig::from_json(&json).unwrap()
}

/// A layer without jitter.
pub fn layer(config: &ServiceConfig) -> RetryLayer {
    RetryLayer::new(config).with_random(|| 0.5)
}
