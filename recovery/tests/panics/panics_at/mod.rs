//! A layer that panics in the place that a call's metadata names.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use tonic_call::GrpcService;
use tonic_call_test_kit::PanicsInDrop;
use tower::Service;

/// The metadata that names the place where [`PanicsAt`] panics in a call.
pub(crate) const PANIC_AT: &str = "x-panic-at";

/// A layer that panics in the place that a call's metadata names, and in `poll_ready` this number of times.
#[derive(Clone)]
pub(crate) struct PanicsAt<S> {
    inner: S,
    not_ready: Arc<AtomicUsize>,
}

pub(crate) fn panics_at<S>(
    not_ready: Arc<AtomicUsize>,
) -> impl tower::Layer<S, Service = PanicsAt<S>> + Clone {
    tower::layer::layer_fn(move |inner| PanicsAt { inner, not_ready: Arc::clone(&not_ready) })
}

impl<S> Service<Request<tonic::body::Body>> for PanicsAt<S>
where
    S: GrpcService,
    S::Future: Send + 'static,
    S::ResponseBody: Unpin,
    S::Error: 'static,
{
    type Response = Response<PanicsIn<S::ResponseBody>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let decrement = |left: usize| left.checked_sub(1);
        if self.not_ready.fetch_update(Ordering::SeqCst, Ordering::SeqCst, decrement).is_ok() {
            panic!("in poll_ready, on purpose");
        }
        self.inner.poll_grpc_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let at = request.headers().get(PANIC_AT).map(|at| at.to_str().unwrap().to_owned());
        let at = at.unwrap_or_default();
        assert!(at != "call", "in call, on purpose");
        let future = self.inner.call_grpc(request);
        let bomb = (at == "future_drop").then(|| PanicsInDrop);
        Box::pin(async move {
            let _bomb = bomb;
            assert!(at != "future", "in a future, on purpose");
            let response = future.await?;
            Ok(response.map(|inner| PanicsIn {
                inner,
                now: at == "body",
                _in_drop: (at == "body_drop").then(|| PanicsInDrop),
            }))
        })
    }
}

/// A body that panics at its first poll, or when it is dropped.
pub(crate) struct PanicsIn<B> {
    inner: B,
    now: bool,
    _in_drop: Option<PanicsInDrop>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for PanicsIn<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        assert!(!self.now, "in a body, on purpose");
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
