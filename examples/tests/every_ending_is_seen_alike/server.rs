//! A server with all layers, in the order that the README recommends.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Server as TonicServer};
use tonic_auth_layer::{Access, ApiKeys, AuthBuilder, AuthLayer, Identity, Jwt, any_of, jwt};
use tonic_call::{Cut, Side, observe};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, KindsService, Script, drain, listen, methods};
use tonic_connect_layer::ConnectLayer;
use tonic_deadline_layer::DeadlineLayer;
use tonic_ratelimit_layer::{Limits, RateLimitLayer};
use tonic_recovery_layer::RecoveryLayer;
use tonic_web::GrpcWebLayer;
use tower::{ServiceBuilder, ServiceExt};

use crate::observed::{Layers, Log, Observed};
use crate::table::Row;

/// The API key of a caller without scopes.
pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";
/// What tokens are signed with.
pub(crate) const SECRET: &str = "a secret of at least thirty-two bytes";
pub(crate) const ISSUER: &str = "https://id.example";
pub(crate) const AUDIENCE: &str = "kinds";
/// What the messages of panics begin with.
pub(crate) const PANICS: [&str; 4] = ["in a handler,", "in a stream,", "in a body,", "in drop,"];

/// The largest request message.
pub(crate) const MAX_REQUEST: usize = 1024;

type Respond = Arc<dyn Fn() -> Response<Script> + Send + Sync>;

/// The settings of one server.
pub(crate) struct Setup {
    pub(crate) auth: AuthBuilder,
    pub(crate) deadlines: DeadlineLayer,
    pub(crate) before_auth: RateLimitLayer,
    pub(crate) after_auth: RateLimitLayer,
    /// What answers in place of the service.
    pub(crate) respond: Option<Respond>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let key = jwt::Key::secret(jwt::Algorithm::HS256, SECRET).unwrap();
        let tokens = Jwt::keys(ISSUER, [key]).audience(AUDIENCE).build().unwrap();
        let keys = ApiKeys::new().key(KEY, Identity::new("api-key").with_subject("ann")).unwrap();
        let auth = AuthLayer::new(any_of(tokens).or(keys)).method(
            "test.v1.Kinds",
            "Peek",
            Access::scope("kinds.peek"),
        );
        let unlimited = RateLimitLayer::server(Limits::none()).build().unwrap();
        Self {
            auth,
            deadlines: DeadlineLayer::server(),
            before_auth: unlimited.clone(),
            after_auth: unlimited,
            respond: None,
        }
    }

    pub(crate) fn responding(
        respond: impl Fn() -> Response<Script> + Send + Sync + 'static,
    ) -> Self {
        Self { respond: Some(Arc::new(respond)), ..Self::new() }
    }
}

/// A running server.
pub(crate) struct Server<'l> {
    pub(crate) observed: Observed<'l>,
    pub(crate) service: KindsService,
    pub(crate) endpoint: Endpoint,
    /// The calls that are open, as a drain ends them.
    pub(crate) cuts: Arc<Mutex<Vec<Cut>>>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl<'l> Server<'l> {
    /// A server with the usual settings.
    pub(crate) async fn usual(log: &'l Log, layers: Layers) -> Self {
        Self::start(log, layers, Setup::new()).await
    }

    pub(crate) async fn start(log: &'l Log, layers: Layers, setup: Setup) -> Self {
        let observed = Observed::new(Side::Server, log);
        let tracing = observed.traces.described(Side::Server);
        let (metrics, logging) = (observed.metrics.layer.clone(), observed.logging());
        let (service, cuts) = (KindsService::default(), Arc::<Mutex<Vec<Cut>>>::default());
        let kinds = KindsServer::new(service.clone()).max_decoding_message_size(MAX_REQUEST);
        let outer = ServiceBuilder::new()
            .layer(ConnectLayer::new(FILE_DESCRIPTOR_SET).unwrap())
            .layer(GrpcWebLayer::new());
        let inner = ServiceBuilder::new()
            .layer(RecoveryLayer::server())
            .layer(setup.deadlines.methods(&methods()))
            .layer(setup.before_auth)
            .layer(setup.auth.methods(&methods()).build().unwrap())
            .layer(setup.after_auth)
            .layer(innermost(setup.respond, Arc::clone(&cuts)));
        let (incoming, endpoint) = listen();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { _ = stopped.await };
        macro_rules! serve {
            ($observe:expr) => {{
                let layers = outer.layer($observe).layer(inner).into_inner();
                let mut server = TonicServer::builder().accept_http1(true).layer(layers);
                let serve = server.add_service(kinds);
                let serve = serve.serve_with_incoming_shutdown(incoming, stopped);
                tokio::spawn(async move { serve.await.unwrap() })
            }};
        }
        let serving = match layers {
            Layers::InOnePass => serve!(observe![tracing, metrics, logging].unwrap()),
            Layers::Stacked => serve!(
                ServiceBuilder::new().layer(tracing).layer(metrics).layer(logging).into_inner()
            ),
        };
        Self { observed, service, endpoint, cuts, stop: Some(stop), serving }
    }

    pub(crate) async fn client(&self) -> KindsClient<Channel> {
        KindsClient::new(self.endpoint.connect().await.unwrap())
    }

    pub(crate) fn address(&self) -> String {
        self.endpoint.uri().authority().unwrap().to_string()
    }

    /// Begins a graceful shutdown: no new calls are accepted, and running calls may finish.
    pub(crate) fn stop(&mut self) {
        _ = self.stop.take().unwrap().send(());
    }

    /// The row of the only call, after it has ended and its handler was dropped.
    pub(crate) async fn row(mut self, ending: &str, caller: impl Into<String>) -> Row {
        self.observed.until_ended().await;
        self.service.until_alive(0).await;
        if self.stop.is_some() {
            self.stop();
        }
        // A connection that still hangs would hide a call that has not ended.
        let limit = Duration::from_secs(60);
        let served = tokio::time::timeout(limit, &mut self.serving).await;
        served.unwrap_or_else(|_| panic!("{ending}: a connection hangs")).unwrap();
        self.observed.row(ending, caller.into())
    }
}

/// Keeps a [`Cut`] of each call, and answers in place of the service, if it shall.
fn innermost(
    respond: Option<Respond>,
    cuts: Arc<Mutex<Vec<Cut>>>,
) -> impl tower::Layer<
    Routes,
    Service: tower::Service<
        Request<Body>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
                 + Send
                 + Sync
                 + 'static,
> + Clone {
    tower::layer::layer_fn(move |routes: Routes| {
        let (respond, cuts) = (respond.clone(), Arc::clone(&cuts));
        tower::service_fn(move |request: Request<Body>| {
            let (respond, cuts, mut routes) = (respond.clone(), Arc::clone(&cuts), routes.clone());
            async move {
                if let Some(respond) = respond {
                    drain(request.into_body()).await;
                    return Ok(respond().map(Body::new));
                }
                let routes = ServiceExt::<Request<Body>>::ready(&mut routes).await?;
                let (cut, response) = Cut::call(routes, request);
                cuts.lock().unwrap().push(cut);
                Ok(response.await?.map(Body::new))
            }
        })
    })
}
