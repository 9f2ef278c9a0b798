use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status, Streaming};
use tonic_call::{BoxChannel, ObserveLayer, parse_timeout};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::Kinds;
use tonic_call_test_kit::v1::{Ask, Note};
use tonic_call_test_kit::{KindsService, Recorder};
use tonic_deadline_layer::{ClientDeadlineLayer, Deadline, DeadlineLayer};
use tower::{Layer as _, ServiceBuilder};

use super::common::serve;

/// Where and how a handler calls the next service.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Calls {
    InTheHandler,
    InASpawnedTask,
    InASpawnedTaskInAScope,
    InASpawnedTaskWithADeadlineInTheRequest,
    Detached,
    WithoutALayer,
}

/// Three services; the last one does what the request asks.
pub(crate) struct Chain {
    pub(crate) hops: Vec<Hop>,
    /// What the last one does.
    pub(crate) service: KindsService,
}

/// One of the services. It is stopped when this is dropped.
pub(crate) struct Hop {
    pub(crate) outside: Recorder,
    pub(crate) inside: Recorder,
    seen: Arc<Mutex<Option<Seen>>>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// What a handler saw of its deadline.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The `grpc-timeout` of the request.
    pub(crate) header: Option<String>,
    /// What was left by [`Deadline::current`].
    pub(crate) current: Option<Duration>,
    /// What was left by the deadline in the request's extensions.
    pub(crate) of_request: Option<Duration>,
}

impl Seen {
    pub(crate) fn timeout(&self) -> Option<Duration> {
        Some(parse_timeout(&self.header.as_ref()?.parse().unwrap()).unwrap())
    }
}

impl Chain {
    /// Starts the services; each calls the next one through this layer, in this way.
    pub(crate) fn start(layer: &ClientDeadlineLayer, calls: Calls) -> Self {
        let service = KindsService::default();
        let third = Hop::start(Handler::new(None, calls, service.clone()));
        let second =
            Hop::start(Handler::new(Some(third.client(layer, calls)), calls, service.clone()));
        let first =
            Hop::start(Handler::new(Some(second.client(layer, calls)), calls, service.clone()));
        Self { hops: vec![first, second, third], service }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.hops[0].address
    }
}

impl Hop {
    fn start(handler: Handler) -> Self {
        let (outside, inside, seen) = (Recorder::new(), Recorder::new(), Arc::clone(&handler.seen));
        let layers = ServiceBuilder::new()
            .layer(ObserveLayer::server(outside.clone()))
            .layer(DeadlineLayer::server())
            .layer(ObserveLayer::server(inside.clone()));
        let (address, task) = serve(layers, handler);
        Self { outside, inside, seen, address, task }
    }

    fn client(&self, layer: &ClientDeadlineLayer, calls: Calls) -> KindsClient<BoxChannel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        let channel = endpoint.connect_lazy();
        KindsClient::new(match calls {
            Calls::WithoutALayer => BoxChannel::new(channel),
            _ => BoxChannel::new(layer.layer(channel)),
        })
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone().unwrap()
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The handler of one of the services.
struct Handler {
    next: Option<KindsClient<BoxChannel>>,
    calls: Calls,
    service: KindsService,
    seen: Arc<Mutex<Option<Seen>>>,
}

impl Handler {
    fn new(next: Option<KindsClient<BoxChannel>>, calls: Calls, service: KindsService) -> Self {
        Self { next, calls, service, seen: Arc::default() }
    }
}

type NoStream = tokio_stream::Pending<Result<Note, Status>>;

#[tonic::async_trait]
impl Kinds for Handler {
    type ServerStreamStream = NoStream;
    type BidiStreamStream = NoStream;

    async fn unary(&self, request: Request<Ask>) -> Result<Response<Note>, Status> {
        let header = request.metadata().get("grpc-timeout");
        let header = header.map(|value| value.to_str().unwrap().to_owned());
        let current = Deadline::current().map(Deadline::remaining);
        let of_request = Deadline::of(request.extensions()).map(Deadline::remaining);
        *self.seen.lock().unwrap() = Some(Seen { header, current, of_request });
        let Some(mut next) = self.next.clone() else { return self.service.unary(request).await };

        let deadline = Deadline::current();
        let mut outbound = Request::new(request.into_inner());
        if let (Calls::InASpawnedTaskWithADeadlineInTheRequest, Some(deadline)) =
            (self.calls, deadline)
        {
            outbound.extensions_mut().insert(deadline);
        }
        let call = async move { next.unary(outbound).await };
        match self.calls {
            Calls::InTheHandler | Calls::WithoutALayer => call.await,
            Calls::InASpawnedTask | Calls::InASpawnedTaskWithADeadlineInTheRequest => {
                tokio::spawn(call).await.unwrap()
            }
            Calls::InASpawnedTaskInAScope => {
                tokio::spawn(Deadline::scope(deadline, call)).await.unwrap()
            }
            Calls::Detached => Deadline::detached(call).await,
        }
    }

    async fn peek(&self, _: Request<Ask>) -> Result<Response<Note>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn client_stream(&self, _: Request<Streaming<Ask>>) -> Result<Response<Note>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn server_stream(&self, _: Request<Ask>) -> Result<Response<NoStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn bidi_stream(&self, _: Request<Streaming<Ask>>) -> Result<Response<NoStream>, Status> {
        Err(Status::unimplemented(""))
    }
}
