use http::Request;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic_call::{Call, End, ObserveLayer, Observer, Rpc, Side};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tower::{Layer, Service};

#[derive(Clone)]
struct Nothing;

impl Observer for Nothing {
    type Call = Nothing;

    fn begin(&self, _: Side, _: &Rpc, _: &mut http::request::Parts) -> Option<Nothing> {
        None
    }
}

impl Call for Nothing {
    fn end(&self, _: End<'_>) {}
}

fn a_channel<S: Service<Request<Body>>>(_: S) {}

fn main() {
    // The layer belongs around the channel, not around the client.
    let channel: Channel = Endpoint::from_static("http://orders.svc:8080").connect_lazy();
    let client = KindsClient::new(channel);
    a_channel(ObserveLayer::client(Nothing).layer(client));
}
