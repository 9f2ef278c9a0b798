//! gRPC-Web and CORS: layers outside tonic-web refuse in the caller's protocol, and let no preflight pass.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_auth_layer::{Access, ApiKeys, AuthLayer, Identity};
use tonic_call::{CallInfo, EndedBy, ObserveLayer, Side};
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KindsService, Recorder, ask, frame_of, listen};
use tonic_ratelimit_layer::{Quota, RateLimitLayer};
use tonic_web::GrpcWebLayer;
use tower::util::MapRequestLayer;
use tower_http::cors::CorsLayer;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const ORIGIN: &str = "https://shop.example";

struct Service {
    address: String,
    recorder: Recorder,
    reached: Arc<AtomicUsize>,
    http: Client<HttpConnector, Full<Bytes>>,
    serve: JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serve.abort();
    }
}

impl Service {
    /// Observer, limits and auth outside tonic-web; CORS is the outermost layer.
    async fn start(quota: Quota) -> Self {
        let recorder = Recorder::new();
        let reached = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&reached);
        let auth = AuthLayer::new(ApiKeys::new().key(KEY, Identity::new("tests")).unwrap());
        let auth = auth.build().unwrap();
        let (incoming, _) = listen();
        let address = incoming.local_addr().unwrap().to_string();
        let layers = tower::ServiceBuilder::new()
            .layer(ObserveLayer::server(recorder.clone()))
            .layer(RateLimitLayer::server(quota).build().unwrap())
            .layer(auth)
            .layer(GrpcWebLayer::new())
            .layer(MapRequestLayer::new(move |request: Request<Body>| {
                counter.fetch_add(1, Ordering::SeqCst);
                request
            }))
            .into_inner();
        let kinds = KindsServer::new(KindsService::default());
        let server = Server::builder().accept_http1(true).layer(CorsLayer::very_permissive());
        let serve = tokio::spawn(async move {
            let mut server = server.layer(layers);
            server.add_service(kinds).serve_with_incoming(incoming).await.unwrap();
        });
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { address, recorder, reached, http, serve }
    }
}

impl Service {
    async fn send(&self, request: http::request::Builder, body: Bytes) -> Response<Bytes> {
        let request = request.body(Full::from(body)).unwrap();
        let (head, body) = self.http.request(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    fn uri(&self) -> String {
        format!("http://{}/test.v1.Kinds/Unary", self.address)
    }

    /// A call as a browser sends it.
    async fn call(&self, kind: &str, key: Option<&str>) -> Response<Bytes> {
        let mut request = Request::post(self.uri()).header("content-type", kind);
        request = request.header("accept", kind).header("origin", ORIGIN);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let frame = frame_of(&ask(Act::Unspecified, 0).encode_to_vec());
        let body = match kind.contains("text") {
            true => {
                base64::Engine::encode(&base64::engine::general_purpose::STANDARD, frame).into()
            }
            false => frame,
        };
        self.send(request, body).await
    }

    async fn preflight(&self) -> Response<Bytes> {
        let request = Request::options(self.uri())
            .header("origin", ORIGIN)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,x-api-key,x-grpc-web");
        self.send(request, Bytes::new()).await
    }

    fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }
}

fn plenty() -> Quota {
    Quota::per_second(1_000_000)
}

#[tokio::test]
async fn a_browsers_call_passes_all_layers_and_is_seen_as_what_it_is() {
    let service = Service::start(plenty()).await;
    for (n, kind) in ["application/grpc-web+proto", "application/grpc-web-text"].iter().enumerate()
    {
        let answer = service.call(kind, Some(KEY)).await;
        assert_eq!(answer.status(), 200);
        let call = service.recorder.until_ended(n + 1).await.remove(n);
        assert_eq!((call.code, call.by), (Code::Ok, EndedBy::Service), "{kind}");
        assert_eq!((call.requests.len(), call.responses.len()), (1, 1), "{kind}");
    }
}

#[tokio::test]
async fn refusals_are_answered_in_the_form_in_which_they_are_read() {
    for (kind, answered) in [
        ("application/grpc-web", "application/grpc-web+proto"),
        ("application/grpc-web+proto", "application/grpc-web+proto"),
        ("application/grpc-web-text", "application/grpc-web-text+proto"),
        ("application/grpc-web-text+proto", "application/grpc-web-text+proto"),
    ] {
        let once = Quota::every(Duration::from_secs(3_600)).burst(2);
        let service = Service::start(once).await;
        let answer = service.call(kind, None).await;
        assert_eq!(answer.headers()["grpc-status"], "16", "{kind}");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &answered.parse().unwrap())
        );
        service.call(kind, Some(KEY)).await;
        let answer = service.call(kind, Some(KEY)).await;
        assert_eq!(answer.headers()["grpc-status"], "8", "{kind}");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &answered.parse().unwrap())
        );
        let seen = service.recorder.until_ended(3).await;
        let seen: Vec<_> = seen.iter().map(|call| (call.code, call.by)).collect();
        let refusal = |by| EndedBy::Refusal { by };
        assert_eq!(
            seen,
            [
                (Code::Unauthenticated, refusal("auth")),
                (Code::Ok, EndedBy::Service),
                (Code::ResourceExhausted, refusal("ratelimit")),
            ]
        );
    }
}

#[tokio::test]
async fn a_preflight_is_answered_by_the_cors_layer_outside_and_is_no_call() {
    let service = Service::start(plenty()).await;
    let answer = service.preflight().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], ORIGIN);
    assert_eq!((service.reached(), service.recorder.begun()), (0, 0));
}

/// tonic would call the method, without credentials: over HTTP/2, tonic-web forwards the preflight.
#[tokio::test]
async fn a_preflight_that_no_cors_layer_outside_has_answered_reaches_no_method() {
    let auth = |default| {
        let keys = ApiKeys::new().key(KEY, Identity::new("tests")).unwrap();
        AuthLayer::new(keys).default_access(default).build().unwrap()
    };
    let limit = || RateLimitLayer::server(plenty()).build().unwrap();
    preflights(auth(Access::authenticated()), 401, "auth", "CREDENTIALS_MISSING").await;
    preflights(auth(Access::public()), 401, "auth", "CREDENTIALS_MISSING").await;
    preflights(limit(), 403, "ratelimit", "PREFLIGHT").await;
}

/// A preflight, and an `OPTIONS` request that is not one, in front of a tonic service.
async fn preflights<L>(layer: L, http: u16, by: &'static str, reason: &str)
where
    L: tower::Layer<Routes>,
    L::Service: tower::Service<Request<Body>, Error = std::convert::Infallible>,
    <L::Service as tower::Service<Request<Body>>>::Response: IntoStatus,
{
    let kinds = Routes::new(KindsServer::new(KindsService::default()));
    let mut service = layer.layer(kinds);
    let request = Request::options("/test.v1.Kinds/ClientStream")
        .version(http::Version::HTTP_2)
        .header("origin", ORIGIN)
        .header("access-control-request-method", "POST");
    let mut request = request.body(Body::empty()).unwrap();
    let info = CallInfo::get_or_insert(Side::Server, request.extensions_mut());
    let answer = tower::Service::call(&mut service, request).await.unwrap();
    assert_eq!(answer.status(), http);
    let refusal = info.refusal().unwrap();
    assert_eq!((refusal.by, &*refusal.reason), (by, reason));
}

trait IntoStatus {
    fn status(&self) -> http::StatusCode;
}

impl<B> IntoStatus for Response<B> {
    fn status(&self) -> http::StatusCode {
        Self::status(self)
    }
}
