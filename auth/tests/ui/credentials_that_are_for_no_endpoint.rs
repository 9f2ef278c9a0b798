use tonic::transport::Channel;
use tonic_auth_layer::{BearerToken, CredentialsLayer};
use tower::ServiceBuilder;

fn channel(token: BearerToken, channel: Channel) {
    let _ = ServiceBuilder::new().layer(CredentialsLayer::bearer(token)).service(channel);
}

fn main() {}
