//! A client with a service config, and a server that follows a script: how many attempts does a call make?
//!
//! ```sh
//! cargo run -p tonic-retry-layer --example retry-attempts
//! ```
//!
//! Prints:
//!
//! ```text
//! UNAVAILABLE twice, then an answer: Ok after 3 attempts
//! UNAVAILABLE without end: Unavailable after 4 attempts
//! a code that the policy does not name: Internal after 1 attempts
//! ```
//!
//! `examples/e2e/retries.py` uses both parts to compare this client with those of other gRPC libraries:
//! `serve` and `call` are its commands.
#![allow(clippy::print_stdout)]

use std::collections::HashSet;
use std::error::Error;
use std::io::BufRead as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tonic::transport::Endpoint;
use tonic::{Code, Request, Status, Streaming};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::{Ask, Note};
use tonic_call_test_kit::{Event, FrameServer, Received, Reply};
use tonic_retry_layer::{BoxChannel, RetryLayer, ServiceConfig};
use tower::ServiceBuilder;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const CONFIG: &str = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
    "maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.01s",
    "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]
}}]}"#;

#[tokio::main]
async fn main() -> Result {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => demonstrate().await,
        ["serve"] => serve().await,
        ["call", address, config, method, seconds, calls, bytes] => {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
            let mut client = client(&endpoint, config)?;
            for _ in 0..calls.parse()? {
                let time = Duration::from_secs_f64(seconds.parse()?);
                println!("{}", call(&mut client, method, time, bytes.parse()?).await as i32);
            }
            Ok(())
        }
        _ => Err("serve, or call ADDRESS CONFIG METHOD SECONDS CALLS BYTES".into()),
    }
}

async fn demonstrate() -> Result {
    for (what, script) in [
        ("UNAVAILABLE twice, then an answer", "status 14; status 14; ok"),
        ("UNAVAILABLE without end", "status 14"),
        ("a code that the policy does not name", "status 13"),
    ] {
        let server = Scripted::start(script).await;
        let mut client = client(&server.frames.endpoint(), CONFIG)?;
        let code = call(&mut client, "Unary", Duration::from_secs(5), 0).await;
        println!("{what}: {code:?} after {} attempts", server.requests.load(Ordering::SeqCst));
    }
    Ok(())
}

/// Starts a server for each line with a script, and prints its address. An empty line stops it, and prints the number
/// of requests that it has received.
async fn serve() -> Result {
    let mut server = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.is_empty() {
            let started = Scripted::start(&line).await;
            println!("{}", started.frames.endpoint().uri().authority().ok_or("an address")?);
            server = Some(started);
        } else if let Some(server) = server.take() {
            println!("{}", server.requests.load(Ordering::SeqCst));
        }
    }
    Ok(())
}

struct Scripted {
    frames: FrameServer,
    requests: Arc<AtomicUsize>,
}

impl Scripted {
    /// A script has a step for each request, separated by `;`. The last step repeats.
    async fn start(script: &str) -> Self {
        let steps: Vec<_> = script.split(';').map(|step| step.trim().to_owned()).collect();
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        let reacted = Mutex::new(HashSet::new());
        let react = move |received: &Received| {
            seen.fetch_max(received.request, Ordering::SeqCst);
            let Event::Data(stream, is_end) = received.event else { return Vec::new() };
            let step = &steps[(received.request - 1).min(steps.len() - 1)];
            let (is_early, step) = match step.strip_prefix("early ") {
                Some(step) => (true, step),
                None => (false, &**step),
            };
            let mut reacted = reacted.lock().expect("a lock");
            if (is_early || is_end) && reacted.insert((received.connection, stream)) {
                return sends(step, stream);
            }
            Vec::new()
        };
        Self { frames: FrameServer::start(react).await, requests }
    }
}

/// What a step sends when the request has ended, or after the first of its data if the step begins with `early`.
fn sends(step: &str, stream: u32) -> Vec<Reply> {
    let code = |code: &str| Code::from_bytes(code.as_bytes());
    let trailers_only = |status, more| vec![Reply::TrailersOnly(stream, code(status), more)];
    let words: Vec<_> = step.split(' ').collect();
    match words[..] {
        ["ok"] => {
            vec![
                Reply::Head(stream),
                Reply::Message(stream, b""),
                Reply::Trailers(stream, Code::Ok),
            ]
        }
        ["status", status] => trailers_only(status, Vec::new()),
        ["status", status, "pushback", value] => {
            trailers_only(status, vec![("grpc-retry-pushback-ms", value.to_owned())])
        }
        ["head", "status", status] => {
            vec![Reply::Head(stream), Reply::Trailers(stream, code(status))]
        }
        ["message", "status", status] => vec![
            Reply::Head(stream),
            Reply::Message(stream, b""),
            Reply::Trailers(stream, code(status)),
        ],
        ["reset", reason] => vec![Reply::Reset(stream, reason.parse().expect("an error code"))],
        // It names an earlier stream as the last one.
        ["goaway"] => vec![Reply::GoAway(stream.saturating_sub(2), 0), Reply::Close],
        ["close"] => vec![Reply::Close],
        ["hang"] => Vec::new(),
        _ => panic!("an unknown step: {step}"),
    }
}

fn client(endpoint: &Endpoint, config: &str) -> Result<KindsClient<BoxChannel>> {
    let retries = RetryLayer::new(&ServiceConfig::from_json(config)?);
    let channel = ServiceBuilder::new().layer(retries).service(endpoint.connect_lazy());
    Ok(KindsClient::new(BoxChannel::new(channel)))
}

/// The code of a call. A stream sends three messages.
async fn call(
    client: &mut KindsClient<BoxChannel>,
    method: &str,
    time: Duration,
    bytes: usize,
) -> Code {
    let ask = Ask { text: "x".repeat(bytes), ..Ask::default() };
    let asks = tokio_stream::iter(vec![ask.clone(); 3]);
    let result = match method {
        "Unary" => client.unary(with_timeout(ask, time)).await.map(|_| ()),
        "ClientStream" => client.client_stream(with_timeout(asks, time)).await.map(|_| ()),
        "ServerStream" => read(client.server_stream(with_timeout(ask, time)).await).await,
        "BidiStream" => read(client.bidi_stream(with_timeout(asks, time)).await).await,
        _ => panic!("an unknown method: {method}"),
    };
    result.map_or_else(|status| status.code(), |()| Code::Ok)
}

fn with_timeout<T>(message: T, time: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

async fn read(
    response: std::result::Result<tonic::Response<Streaming<Note>>, Status>,
) -> std::result::Result<(), Status> {
    let mut notes = response?.into_inner();
    while notes.message().await?.is_some() {}
    Ok(())
}
