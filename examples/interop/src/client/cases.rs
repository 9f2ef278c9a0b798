//! The test cases by their names.

use super::check::{Outcome, Stop};
use super::connect::Channel;
use super::endings::Endings;
use crate::proto::test_service_client::TestServiceClient;
use crate::proto::unimplemented_service_client::UnimplementedServiceClient;

/// The cases that need no account of a cloud.
pub(super) const ALL: &[&str] = &[
    "empty_unary",
    "cacheable_unary",
    "large_unary",
    "client_compressed_unary",
    "server_compressed_unary",
    "client_streaming",
    "client_compressed_streaming",
    "server_streaming",
    "server_compressed_streaming",
    "ping_pong",
    "empty_stream",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "rpc_soak",
    "jwt_token_creds",
];

/// Plays the cases.
#[derive(Debug)]
pub(super) struct Tester {
    pub(super) client: TestServiceClient<Channel>,
    pub(super) unimplemented: UnimplementedServiceClient<Channel>,
    /// How calls ended, if there are layers.
    pub(super) endings: Option<Endings>,
    /// Whom the token names.
    pub(super) username: Option<String>,
}

impl Tester {
    /// Plays the case of this name.
    pub(super) async fn run(&self, case: &str) -> Outcome {
        match case {
            "empty_unary" => self.empty_unary().await,
            "cacheable_unary" => self.cacheable_unary().await,
            "large_unary" => self.large_unary().await,
            "client_compressed_unary" => self.client_compressed_unary().await,
            "server_compressed_unary" => self.server_compressed_unary().await,
            "client_streaming" => self.client_streaming().await,
            "client_compressed_streaming" => self.client_compressed_streaming().await,
            "server_streaming" => self.server_streaming().await,
            "server_compressed_streaming" => self.server_compressed_streaming().await,
            "ping_pong" => self.ping_pong().await,
            "empty_stream" => self.empty_stream().await,
            "custom_metadata" => self.custom_metadata().await,
            "status_code_and_message" => self.status_code_and_message().await,
            "special_status_message" => self.special_status_message().await,
            "unimplemented_method" => self.unimplemented_method().await,
            "unimplemented_service" => self.unimplemented_service().await,
            "cancel_after_begin" => self.cancel_after_begin().await,
            "cancel_after_first_response" => self.cancel_after_first_response().await,
            "timeout_on_sleeping_server" => self.timeout_on_sleeping_server().await,
            "rpc_soak" => self.rpc_soak().await,
            "jwt_token_creds" => self.jwt_token_creds().await,
            _ => Err(Stop::Failed("there is no such case".to_owned())),
        }
    }
}
