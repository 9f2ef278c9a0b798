//! The flags of `orders call` that select a token.

use std::path::PathBuf;

use clap::Args;
use tonic_auth_layer::BearerToken;

use super::help::CALL_OPTIONS;

/// The token to send. The default is a token of the development key, if its file is in this folder and all
/// servers are on this machine.
#[derive(Args, Clone, Debug)]
pub struct CredentialArgs {
    /// Token to send; other users of this machine can read it in the process list: prefer --token-file
    ///
    /// Like the tokens of --token-file and --dev-key, it is sent only over TLS, or if all servers are on this machine.
    #[arg(long, value_name = "TOKEN", global = true, help_heading = CALL_OPTIONS, conflicts_with_all = ["token_file", "dev_key"])]
    pub token: Option<BearerToken>,

    /// File with the token to send; `-` reads standard input
    #[arg(long, value_name = "FILE", global = true, help_heading = CALL_OPTIONS, conflicts_with = "dev_key")]
    pub token_file: Option<PathBuf>,

    /// Development key that signs the token to send [default: orders.db-dev-key, if that file is in this folder and
    /// all servers are on this machine]
    #[arg(long, value_name = "FILE", global = true, help_heading = CALL_OPTIONS)]
    pub dev_key: Option<PathBuf>,

    /// Send no token, even if there is a development key in this folder
    #[arg(long, global = true, help_heading = CALL_OPTIONS, conflicts_with_all = ["token", "token_file", "dev_key"])]
    pub no_token: bool,
}

impl CredentialArgs {
    /// Whether one of the flags is given.
    pub(crate) fn given(&self) -> bool {
        self.token.is_some() || self.token_file.is_some() || self.dev_key.is_some()
    }
}
