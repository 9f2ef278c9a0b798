use std::fmt;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use tokio::runtime::{Builder, Runtime};
use tonic_connect_layer::ConnectLayer;
use tower::{Layer as _, Service};

use super::frames::Frames;
use super::request::Call;
use super::shop::v1::shop_server::ShopServer;
use super::{Format, peer, shop};

/// What stands in front of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// Nothing.
    Direct,
    /// `tonic-connect-layer`.
    Layer,
    /// `connectrpc`, with a service of its own that does the same.
    Connectrpc,
}

impl Through {
    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Layer => "tonic-connect-layer",
            Self::Connectrpc => "connectrpc",
        }
    }
}

/// The service, called in process: nothing is sent over a network.
pub struct Subject {
    run: Run,
}

/// Makes this many calls. Returns the bytes of an answer.
type Run = Box<dyn FnMut(&Call, u64) -> usize>;

impl Subject {
    /// The service behind this.
    ///
    /// # Panics
    ///
    /// Never: the descriptor set is built with this crate.
    pub fn new(through: Through) -> Self {
        let service = ShopServer::new(shop::AtOnce::default());
        let body = tonic::body::Body::new::<Frames>;
        match through {
            Through::Direct => Self::of(service, body),
            Through::Layer => {
                let layer = ConnectLayer::new(shop::FILE_DESCRIPTOR_SET).expect("it is one");
                Self::of(layer.layer(service), body)
            }
            Through::Connectrpc => Self::of(peer::service(), |frames| frames),
        }
    }

    fn of<S, A, B>(mut service: S, body: impl Fn(Frames) -> A + 'static) -> Self
    where
        S: Service<Request<A>, Response = Response<B>> + 'static,
        S::Error: fmt::Debug,
        B: Body<Data = Bytes>,
        B::Error: fmt::Debug,
    {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let run = move |call: &Call, times| run(&runtime, &mut service, &body, call, times);
        Self { run: Box::new(run) }
    }

    /// Makes so many calls, one after the other. Returns the number of bytes of the last answer's body.
    ///
    /// # Panics
    ///
    /// If one fails.
    pub fn run(&mut self, call: &Call, times: u64) -> usize {
        (self.run)(call, times)
    }

    /// The time that so many calls take.
    pub fn time(&mut self, call: &Call, times: u64) -> Duration {
        let start = Instant::now();
        self.run(call, times);
        start.elapsed()
    }
}

fn run<S, A, B>(
    runtime: &Runtime,
    service: &mut S,
    body: impl Fn(Frames) -> A,
    call: &Call,
    times: u64,
) -> usize
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Error: fmt::Debug,
    B: Body<Data = Bytes>,
    B::Error: fmt::Debug,
{
    runtime.block_on(async {
        let mut len = 0;
        for _ in 0..times {
            poll_fn(|cx| service.poll_ready(cx)).await.expect("it is ready");
            let mut request = call.request(None).map(&body);
            *request.version_mut() = Version::HTTP_2;
            let response = service.call(request).await.expect("it answers");
            assert_eq!(response.status(), 200, "{} in {}", call.kind.name(), call.format.name());
            len = read(response.into_body(), call.format == Format::Grpc).await;
        }
        len
    })
}

/// Reads an answer to its end.
async fn read<B: Body<Data = Bytes>>(body: B, is_grpc: bool) -> usize
where
    B::Error: fmt::Debug,
{
    let mut body = pin!(body);
    let mut len = 0;
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame.expect("it does not break off").into_data() {
            Ok(data) => len += black_box(data).len(),
            Err(trailers) => {
                let trailers = trailers.into_trailers().unwrap_or_default();
                assert!(!is_grpc || trailers["grpc-status"] == "0", "{trailers:?}");
            }
        }
    }
    len
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}
