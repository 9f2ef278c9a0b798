use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body::Body;
use prost::Message as _;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic_call::{CallInfo, GRPC_TIMEOUT};
use tonic_call_test_kit::frame_of;
use tonic_call_test_kit::v1::Ask;
use tower::layer::util::Identity;
use tower::{Layer, Service};

use crate::callers::Callers;
use crate::service::InProcess;

/// The kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// One message in each direction.
    Unary,
    /// One request message, a hundred response messages, all of them in one frame.
    Stream,
    /// The same, with a frame for each message, as if they came one by one.
    Frames,
}

impl Call {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Unary, Self::Stream, Self::Frames];

    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Stream => "stream of 100",
            Self::Frames => "100 frames",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Unary => "/test.v1.Kinds/Unary",
            Self::Stream => "/test.v1.Kinds/ServerStream",
            Self::Frames => "/test.v1.Kinds/BidiStream",
        }
    }
}

/// The service, bare or behind a layer, called in process.
///
/// Everything is ready at once and nothing is sent over a network. This measures the work of tonic and the
/// layers per call: decoding, the handler, encoding, and reading the response to its end.
pub struct Subject {
    /// The name of the layer around the service.
    pub name: &'static str,
    service: Box<dyn Serve>,
    expects: Answer,
    message: Bytes,
    callers: Callers,
    credentials: Option<(HeaderName, HeaderValue)>,
    connection: Option<TlsConnectInfo<TcpConnectInfo>>,
    timeout: Option<HeaderValue>,
    known: Option<CallInfo>,
    /// The paths of unary calls, in turn; if there are none, that of the service.
    paths: Vec<Uri>,
    at: usize,
}

/// The response of a call whose messages were not all read.
pub(crate) type Open = Pin<Box<dyn Any>>;

/// Where the response has its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Trailers,
    Head,
}

impl Subject {
    /// The service without layers.
    pub(crate) fn alone() -> Self {
        Self::new("bare", Identity::new())
    }

    /// The service without layers, called with the same requests as this one.
    pub fn bare(&self) -> Self {
        Self {
            callers: self.callers.clone(),
            credentials: self.credentials.clone(),
            connection: self.connection.clone(),
            timeout: self.timeout.clone(),
            known: self.known.clone(),
            paths: self.paths.clone(),
            ..Self::alone()
        }
    }

    pub(crate) fn new<L, B>(name: &'static str, layer: L) -> Self
    where
        L: Layer<InProcess>,
        L::Service: Service<Request<tonic::body::Body>, Response = Response<B>> + 'static,
        B: Body<Data = Bytes> + 'static,
    {
        let service = Box::new(layer.layer(InProcess::new()));
        let message = frame_of(&Ask::default().encode_to_vec());
        Self {
            name,
            service,
            expects: Answer::Trailers,
            message,
            callers: Callers::of(0..1),
            credentials: None,
            connection: None,
            timeout: None,
            known: None,
            paths: Vec::new(),
            at: 0,
        }
    }

    /// Sends this token with each call.
    pub(crate) fn authorized(self, authorization: HeaderValue) -> Self {
        self.with_header(AUTHORIZATION, authorization)
    }

    /// Sends this header with each call.
    pub(crate) fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { credentials: Some((name, value)), ..self }
    }

    /// Makes each call over this connection.
    pub(crate) fn over_tls(self, connection: TlsConnectInfo<TcpConnectInfo>) -> Self {
        Self { connection: Some(connection), ..self }
    }

    /// Sends this `grpc-timeout` with each call.
    pub(crate) fn with_timeout(self, timeout: &'static str) -> Self {
        Self { timeout: Some(HeaderValue::from_static(timeout)), ..self }
    }

    /// Adds the `CallInfo` of an outer authentication layer to each call.
    pub(crate) fn known(self, info: CallInfo) -> Self {
        Self { known: Some(info), ..self }
    }

    /// Expects that all calls are refused.
    pub(crate) fn refused(self) -> Self {
        Self { expects: Answer::Head, ..self }
    }

    /// From now on, callers with these numbers call in turn.
    pub fn called_by(&mut self, numbers: Range<u32>) {
        self.callers = Callers::of(numbers);
    }

    /// From now on, unary calls have these paths in turn.
    pub(crate) fn calling(&mut self, paths: Vec<Uri>) {
        self.paths = paths;
    }

    /// Makes one call with the headers and extensions of a server's requests, and reads the response to its end.
    pub fn call(&mut self, call: Call) {
        let request = self.request(call);
        assert_eq!(self.service.run(request), self.expects, "where the status of {} is", self.name);
    }

    /// Makes one call, and reads only the first message of the response.
    pub(crate) fn open(&mut self) -> Open {
        let request = self.request(Call::Frames);
        self.service.open(request)
    }

    fn request(&mut self, call: Call) -> Request<tonic::body::Body> {
        let body = tonic::body::Body::new(Once(Some(self.message.clone())));
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri(call);
        // As tonic's client sends them.
        let headers = request.headers_mut();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        if let Some((name, value)) = &self.credentials {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(timeout) = &self.timeout {
            headers.insert(GRPC_TIMEOUT, timeout.clone());
        }
        headers.insert(USER_AGENT, HeaderValue::from_static("grpc-rust/1.0 tonic/0.14"));
        let address = Some(self.callers.next());
        let peer = TcpConnectInfo { local_addr: address, remote_addr: address };
        request.extensions_mut().insert(peer);
        if let Some(connection) = &self.connection {
            request.extensions_mut().insert(connection.clone());
        }
        if let Some(info) = &self.known {
            request.extensions_mut().insert(info.clone());
        }
        request
    }

    fn uri(&mut self, call: Call) -> Uri {
        if call != Call::Unary || self.paths.is_empty() {
            return Uri::from_static(call.path());
        }
        // A prime: the order of the calls is not that of the memory of their methods.
        self.at = (self.at + 7_919) % self.paths.len();
        self.paths[self.at].clone()
    }
}

/// A service of any type.
trait Serve {
    fn run(&mut self, request: Request<tonic::body::Body>) -> Answer;
    fn open(&mut self, request: Request<tonic::body::Body>) -> Open;
}

impl<S, B> Serve for S
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>>,
    B: Body<Data = Bytes> + 'static,
{
    fn run(&mut self, request: Request<tonic::body::Body>) -> Answer {
        run(self, request)
    }

    fn open(&mut self, request: Request<tonic::body::Body>) -> Open {
        let mut body = Box::pin(respond(self, request).into_body());
        let first = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(first, Poll::Ready(Some(Ok(frame))) if frame.is_data()), "a message");
        body
    }
}

/// Polls a call to the head of its response. It never waits.
fn respond<S, B>(service: &mut S, request: Request<tonic::body::Body>) -> Response<B>
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let response = pin!(service.call(request));
    let Poll::Ready(Ok(response)) = response.poll(&mut cx) else { panic!("it answers at once") };
    response
}

/// Polls a call to its end. It never waits.
fn run<S, B>(service: &mut S, request: Request<tonic::body::Body>) -> Answer
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>>,
    B: Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let response = respond(service, request);
    if response.headers().contains_key("grpc-status") {
        return Answer::Head;
    }
    let mut body = pin!(response.into_body());
    loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => return Answer::Trailers,
            Poll::Ready(Some(Ok(frame))) => {
                std::hint::black_box(frame);
            }
            _ => panic!("it ends with trailers"),
        }
    }
}

/// The request's body: one frame.
struct Once(Option<Bytes>);

impl Body for Once {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|data| Ok(http_body::Frame::data(data))))
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).finish_non_exhaustive()
    }
}
