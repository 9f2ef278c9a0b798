//! Calls through a layer, and how long they take.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response};
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic_ratelimit_layer::RateLimitLayer;
use tower::{Layer as _, ServiceExt as _, service_fn};

/// The metadata that names a caller.
pub(crate) const CALLER: &str = "x-caller";

/// Makes a call of this caller; returns whether it passes.
pub(crate) fn call(layer: &RateLimitLayer, caller: usize) -> impl Future<Output = bool> + use<> {
    let answer = |_| ready(Ok::<_, Infallible>(Response::new(Body::empty())));
    let service = layer.layer(service_fn(answer));
    async move {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static("/test.v1.Kinds/Unary");
        request.headers_mut().insert(CALLER, HeaderValue::from(caller));
        let response = service.oneshot(request).await.expect("infallible");
        !response.headers().contains_key("grpc-status")
    }
}

/// How long calls took.
pub(crate) struct Times {
    sorted: Vec<Duration>,
    elapsed: Duration,
}

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>, elapsed: Duration) -> Self {
        times.sort_unstable();
        Self { sorted: times, elapsed }
    }

    pub(crate) fn at(&self, permille: usize) -> Duration {
        let last = self.sorted.len().saturating_sub(1);
        self.sorted.get(last * permille / 1_000).copied().unwrap_or_default()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.sorted.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Lets so many callers at once make so many calls together.
pub(crate) async fn run<F>(
    callers: usize,
    calls: usize,
    make: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Times
where
    F: Future<Output = ()> + Send + 'static,
{
    let (began, mut tasks) = (Instant::now(), JoinSet::new());
    for caller in 0..callers {
        let make = make.clone();
        tasks.spawn(async move {
            let mut times = Vec::with_capacity(calls / callers);
            for _ in 0..calls / callers {
                let began = Instant::now();
                make(caller).await;
                times.push(began.elapsed());
            }
            times
        });
    }
    let times = tasks.join_all().await.into_iter().flatten().collect();
    Times::new(times, began.elapsed())
}
