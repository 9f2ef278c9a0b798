//! One table for the layers that observe, authenticate and limit: each verb and content type, each kind of response,
//! each position, over a real connection to tonic's server.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::body::Body;
use tonic::transport::Server;
use tonic_auth_layer::{ApiKeys, AuthLayer, Identity};
use tonic_call::{EndedBy, Methods, ObserveLayer};
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{
    FILE_DESCRIPTOR_SET, KindsService, Recorded, Recorder, ask, frame_of, listen,
};
use tonic_ratelimit_layer::{Quota, RateLimitLayer};
use tower::util::MapRequestLayer;

const VERBS: [&str; 6] = ["POST", "GET", "OPTIONS", "PUT", "DELETE", "BREW"];
const TYPES: [Option<&str>; 7] = [
    None,
    Some(""),
    Some("application/grpc"),
    Some("APPLICATION/GRPC"),
    Some("application/grpc-web"),
    Some("application/json"),
    Some("text/plain"),
];
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Which layer is outside.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outside {
    Observer,
    Auth,
    Limit,
}

/// How tonic responds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Well,
    Fails,
    /// No response: the caller resets the stream.
    None,
}

struct Service {
    recorder: Recorder,
    reached: Arc<AtomicUsize>,
    kinds: KindsService,
    requests: SendRequest<Bytes>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Service {
    async fn start(outside: Outside, described: bool, quota: Quota) -> Self {
        let recorder = Recorder::new();
        let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
        let auth = AuthLayer::new(ApiKeys::new().key(KEY, Identity::new("tests")).unwrap());
        let limit = RateLimitLayer::server(quota);
        let observer = ObserveLayer::server(recorder.clone());
        let (auth, limit, observer) = match described {
            true => (auth.methods(&methods), limit.methods(&methods), observer.methods(&methods)),
            false => (auth, limit, observer),
        };
        let (auth, limit) = (auth.build().unwrap(), limit.build().unwrap());
        let reached = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&reached);
        let kinds = KindsService::default();
        let (incoming, _) = listen();
        let address = incoming.local_addr().unwrap();
        let count = MapRequestLayer::new(move |request: Request<Body>| {
            counter.fetch_add(1, Ordering::SeqCst);
            request
        });
        macro_rules! serve {
            ($($layer:expr),*) => {{
                let mut server = Server::builder()$(.layer($layer))*.layer(count);
                let server = server.add_service(KindsServer::new(kinds.clone()));
                tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() })
            }};
        }
        let serve = match outside {
            Outside::Observer => serve!(observer, auth, limit),
            Outside::Auth => serve!(auth, observer, limit),
            Outside::Limit => serve!(limit, observer, auth),
        };
        let stream = TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move { _ = connection.await });
        Self { recorder, reached, kinds, requests, tasks: vec![serve, connection] }
    }

    /// Sends one request. Returns the status of the response, or `None` if the caller did not wait for one.
    async fn send(&mut self, sent: Sent) -> Option<Status> {
        let Sent { verb, kind, path, key, answer } = sent;
        let uri = format!("http://localhost{path}");
        let mut request = Request::builder().method(verb).uri(uri).header("te", "trailers");
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let act = match answer {
            Answer::Well => ask(Act::Unspecified, 0),
            Answer::Fails => Ask { code: Code::DataLoss as i32, ..ask(Act::Fail, 0) },
            Answer::None => ask(Act::Hang, 0),
        };
        let request = request.body(()).unwrap();
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (response, mut body) = requests.send_request(request, false).unwrap();
        body.send_data(frame_of(&act.encode_to_vec()), true).unwrap();
        if answer == Answer::None && key.is_some() {
            self.kinds.until_alive(1).await;
            body.send_reset(h2::Reason::CANCEL);
            self.kinds.until_alive(0).await;
            return None;
        }
        let (head, mut body) = response.await.unwrap().into_parts();
        let code = |headers: &HeaderMap| {
            headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
        };
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data.unwrap().len()).unwrap();
        }
        let trailers = body.trailers().await.unwrap();
        let code = code(&head.headers).or_else(|| code(&trailers?));
        Some(Status { http: head.status.as_u16(), code })
    }

    fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Status {
    http: u16,
    code: Option<Code>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    verb: &'static str,
    kind: Option<&'static str>,
    path: &'static str,
    key: Option<&'static str>,
    answer: Answer,
}

const UNARY: &str = "/test.v1.Kinds/Unary";
const WELL: Sent =
    Sent { verb: "POST", kind: None, path: UNARY, key: Some(KEY), answer: Answer::Well };

fn plenty() -> Quota {
    Quota::per_second(1_000_000)
}

#[tokio::test]
async fn what_runs_a_method_is_seen_whatever_it_says_it_is() {
    for outside in [Outside::Observer, Outside::Auth, Outside::Limit] {
        for described in [true, false] {
            for answer in [Answer::Well, Answer::Fails, Answer::None] {
                // A server for each, so that no method is known yet without descriptors.
                for verb in VERBS {
                    for kind in TYPES {
                        let mut service = Service::start(outside, described, plenty()).await;
                        let sent = Sent { verb, kind, answer, ..WELL };
                        let case = format!("{outside:?} {described} {sent:?}");
                        let told = service.send(sent).await;
                        assert_eq!(service.reached(), 1, "tonic runs it: {case}");
                        let grpc = |kind: &str| {
                            kind.is_empty() || kind.to_lowercase().starts_with("application/grpc")
                        };
                        let is_certain = described || verb == "POST" && kind.is_none_or(grpc);
                        if answer == Answer::None && !is_certain {
                            assert_eq!(service.recorder.begun(), 0, "{case}");
                            continue;
                        }
                        let call = service.recorder.until_ended(1).await.remove(0);
                        let (code, by) = match answer {
                            Answer::Well => (Code::Ok, EndedBy::Service),
                            Answer::Fails => (Code::DataLoss, EndedBy::Service),
                            Answer::None => (Code::Cancelled, EndedBy::Caller),
                        };
                        assert_eq!((call.code, call.by), (code, by), "{case}");
                        assert_eq!(call.requests.len(), 1, "{case}");
                        if let Some(told) = told {
                            assert_eq!((told.http, told.code), (200, Some(code)), "{case}");
                        }
                    }
                }
            }
        }
    }
}

fn refused(call: &Recorded, code: Code, by: &'static str, case: &str) {
    assert_eq!((call.code, call.by), (code, EndedBy::Refusal { by }), "{case}");
}

#[tokio::test]
async fn a_guess_at_a_key_is_refused_and_seen_whatever_it_says_it_is() {
    for outside in [Outside::Observer, Outside::Auth, Outside::Limit] {
        for described in [true, false] {
            let mut service = Service::start(outside, described, plenty()).await;
            let mut seen = 0;
            for verb in VERBS {
                for kind in TYPES {
                    for key in [None, Some("a-guess-at-a-key-of-thirty-two-b")] {
                        for path in [UNARY, "/test.v1.Kinds/Nothing", "/", "/.env"] {
                            let sent = Sent { verb, kind, path, key, ..WELL };
                            let case = format!("{outside:?} {described} {sent:?}");
                            let told = service.send(sent).await.unwrap();
                            assert_eq!(told.code, Some(Code::Unauthenticated), "{case}");
                            if outside != Outside::Auth {
                                seen += 1;
                                let calls = service.recorder.until_ended(seen).await;
                                refused(&calls[seen - 1], Code::Unauthenticated, "auth", &case);
                            }
                        }
                    }
                }
            }
            assert_eq!(service.reached(), 0, "no method ran");
        }
    }
}

#[tokio::test]
async fn what_is_over_a_limit_is_refused_and_seen_whatever_it_says_it_is() {
    for outside in [Outside::Observer, Outside::Auth, Outside::Limit] {
        for described in [true, false] {
            let once = Quota::every(std::time::Duration::from_secs(3_600));
            let mut service = Service::start(outside, described, once).await;
            assert_eq!(service.send(WELL).await.unwrap().code, Some(Code::Ok));
            let mut seen = service.recorder.until_ended(1).await.len();
            for verb in VERBS {
                for kind in TYPES {
                    let sent = Sent { verb, kind, ..WELL };
                    let case = format!("{outside:?} {described} {sent:?}");
                    let told = service.send(sent).await.unwrap();
                    assert_eq!(told.code, Some(Code::ResourceExhausted), "{case}");
                    if outside != Outside::Limit {
                        seen += 1;
                        let calls = service.recorder.until_ended(seen).await;
                        refused(&calls[seen - 1], Code::ResourceExhausted, "ratelimit", &case);
                    }
                }
            }
            assert_eq!(service.reached(), 1, "every verb counts");
        }
    }
}

#[tokio::test]
async fn probes_that_nothing_answers_as_grpc_are_no_calls() {
    let recorder = Recorder::new();
    let (incoming, _) = listen();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder()
        .layer(ObserveLayer::server(recorder.clone()))
        .add_service(KindsServer::new(KindsService::default()));
    let serve = tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
    let stream = TcpStream::connect(address).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(async move { _ = connection.await });
    // Envoy, Google's load balancer and HAProxy: `GET`, without `accept`.
    for (verb, path) in [("GET", "/"), ("GET", "/healthz"), ("HEAD", "/"), ("OPTIONS", "/")] {
        let request = Request::builder().method(verb).uri(format!("http://localhost{path}"));
        let mut requests = requests.clone().ready().await.unwrap();
        let (response, _) = requests.send_request(request.body(()).unwrap(), true).unwrap();
        response.await.unwrap();
    }
    assert_eq!((recorder.begun(), recorder.ended().len()), (0, 0));
    serve.abort();
    connection.abort();
}
