//! The layers fit every place where they can be used.

use tonic::transport::Channel;
use tonic_auth_layer::{
    AuthLayer, BearerToken, Credentials, CredentialsLayer, Identity, authenticate_fn,
};

fn server() -> AuthLayer {
    let anybody = authenticate_fn(|_| Identity::new("test").with_subject("anybody"));
    AuthLayer::new(anybody).end_streams_at_expiry().build().unwrap()
}

fn client() -> CredentialsLayer {
    CredentialsLayer::bearer(BearerToken::new("token").unwrap()).allow_unencrypted()
}

tonic_call_test_kit::fits! {
    server: server(),
    client: client(),
    channel: Credentials<Channel>,
}

/// As a layer that a setting turns on or off.
mod turned_on {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(server())),
        client: option_layer(Some(client())),
        channel: OptionService<Credentials<Channel>, Channel>,
    }
}

mod turned_off {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(server()).filter(|_| false)),
        client: option_layer(Some(client()).filter(|_| false)),
        channel: OptionService<Credentials<Channel>, Channel>,
    }
}
