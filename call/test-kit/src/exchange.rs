use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use http::{HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use tonic::Status;
use tonic_call::MethodKind;
use tower::{Service, service_fn};

use crate::call::method_of;
use crate::script::Script;

/// The result of a scripted service.
pub type Answer = Result<Response<Script>, Status>;

/// A request with one message and no metadata.
///
/// # Panics
///
/// If the path is invalid.
pub fn to(path: &str) -> Request<Script> {
    Request::post(path).body(Script::new().messages(1)).expect("a path")
}

/// A request to the method of this kind.
pub fn to_kind(kind: MethodKind) -> Request<Script> {
    to(&format!("/{}", method_of(kind)))
}

/// Adds metadata. The values may be any bytes that HTTP allows.
///
/// # Panics
///
/// If a value contains other bytes.
pub fn with<B>(
    mut request: Request<B>,
    headers: &[(&'static str, &(impl AsRef<[u8]> + ?Sized))],
) -> Request<B> {
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a header");
        request.headers_mut().append(HeaderName::from_static(name), value);
    }
    request
}

/// A streaming response that ends with this status.
pub fn stream(messages: usize, status: &Status) -> Response<Script> {
    let trailers = status.clone().into_http::<()>().headers().clone();
    Script::new().messages(messages).pending().trailers_of(trailers).respond()
}

/// A response with only a head.
pub fn trailers_only(status: &Status) -> Response<Script> {
    status.clone().into_http::<()>().map(|()| Script::new().says_end())
}

/// Reads a body to its end.
pub async fn drain<B: Body>(body: B) {
    let mut body = pin!(body);
    while let Some(Ok(_)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {}
}

/// Reads the next frame.
///
/// # Panics
///
/// If the body has ended or fails.
pub async fn frame<B>(body: &mut B) -> Frame<B::Data>
where
    B: Body<Error: Debug> + Unpin,
{
    let mut body = Pin::new(body);
    poll_fn(|cx| body.as_mut().poll_frame(cx)).await.expect("a frame").expect("good")
}

/// A service that reads its request, and then returns this answer.
pub fn answers<F>(
    answer: F,
) -> impl Service<
    Request<tonic::body::Body>,
    Response = Response<Script>,
    Error = Status,
    Future: Future<Output = Answer> + Send,
> + Clone
where
    F: Fn() -> Answer + Clone + Send + 'static,
{
    service_fn(move |request: Request<tonic::body::Body>| {
        let answer = answer.clone();
        async move {
            drain(request.into_body()).await;
            answer()
        }
    })
}

/// Makes one call, reads the response to its end, and returns the head.
///
/// # Panics
///
/// If the service is not ready.
pub async fn run<S, B>(mut service: S, request: Request<Script>) -> Option<Response<()>>
where
    S: Service<Request<Script>, Response = Response<B>>,
    B: Body,
{
    let ready = poll_fn(|cx| service.poll_ready(cx)).await;
    assert!(ready.is_ok());
    let (head, body) = service.call(request).await.ok()?.into_parts();
    drain(body).await;
    Some(Response::from_parts(head, ()))
}

/// Polls once, with a waker that does nothing.
pub fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
