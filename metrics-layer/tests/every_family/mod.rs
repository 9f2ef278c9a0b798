//! A scrape in which every family has values.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::{Code, GrpcMethod, Status};
use tonic_call::{AnswerBody, Methods, Refusal, Rejection};
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, Script, silence_panics};
use tonic_metrics_layer::exporter::Prometheus;
use tonic_metrics_layer::{Labels, MetricsLayer, Names};
use tonic_recovery_layer::RecoveryLayer;
use tower::{Service as _, ServiceBuilder, service_fn};

/// The service, the method and the ending of each call.
const CALLS: [(&str, &str, Fate); 5] = [
    ("test.v1.Kinds", "ServerStream", Fate::Answered),
    ("test.v1.Kinds", "ServerStream", Fate::Fails),
    ("test.v1.Kinds", "Unary", Fate::Refused),
    ("test.v1.Kinds", "Unary", Fate::Panics),
    ("scan", "env", Fate::Refused),
];

#[derive(Clone, Copy)]
enum Fate {
    Answered,
    Fails,
    Refused,
    Panics,
}

/// Makes each call on both sides. Each call takes 30 ms by the clock, which must be paused.
pub(crate) async fn scrape(names: Names) -> Result<String, Box<dyn Error>> {
    silence_panics();
    let (recorder, scrape) = Prometheus::new().build()?;
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)?;
    let labels = Labels::new().constant("region", "eu-north-1")?.by(
        "tier",
        ["free", "\"paid\""],
        |head| head.headers.get("x-tier")?.to_str().ok(),
    )?;
    for layer in [MetricsLayer::server().methods(&methods), MetricsLayer::client()] {
        let layer = layer
            .names(names)
            .labels(labels.clone())
            .message_bytes()
            .with_recorder(recorder.clone());
        for (service, method, fate) in CALLS {
            let mut layered =
                ServiceBuilder::new().layer(&layer).layer(RecoveryLayer::server()).service(
                    service_fn(async |request| Ok::<_, Infallible>(meet(fate, request).await)),
                );
            let mut request = Request::post(format!("/{service}/{method}"))
                .header("x-tier", "\"paid\"")
                .body(Script::new().message(&[0; 2_000]))?;
            request.extensions_mut().insert(GrpcMethod::new(service, method));
            let mut body = layered.call(request).await?.into_body();
            while let Some(Ok(_)) = body.frame().await {}
        }
    }
    Ok(scrape.render())
}

async fn meet(fate: Fate, request: Request<Body>) -> Response<AnswerBody<Script>> {
    tokio::time::advance(Duration::from_millis(30)).await;
    let (head, mut body) = request.into_parts();
    let script = match fate {
        Fate::Answered => Script::new().messages(3).trailers(Code::Ok),
        Fate::Fails => Script::new().messages(2).trailers(Code::Internal),
        Fate::Panics => Script::new().messages(1).panic(),
        Fate::Refused => {
            let refusal = Refusal::new("auth", "CREDENTIALS_MISSING");
            let status = Status::unauthenticated("");
            return Rejection::new(refusal, status).into_response(&head.extensions);
        }
    };
    while let Some(Ok(_)) = body.frame().await {}
    script.respond().map(AnswerBody::inner)
}
