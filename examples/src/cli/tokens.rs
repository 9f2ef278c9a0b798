//! Whether a token is needed, which one is sent, and which one is made.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tonic_auth_layer::BearerToken;

use super::FOR_ALL;
use super::values::scope;
use crate::auth::DEV_KEY;
use crate::duration;

/// Whether callers need a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// They do
    On,
    /// They don't: nobody is asked for anything
    Off,
}

/// Which token to send. By default one of the development key, if that is in this folder and the server is on
/// this machine.
#[derive(Args, Clone, Debug)]
pub struct CredentialArgs {
    /// Token to send, to a server on this machine only, as are those of the next two; other users of this machine may see it in the list of its processes
    #[arg(long, value_name = "TOKEN", global = true, help_heading = FOR_ALL, conflicts_with_all = ["token_file", "dev_key"])]
    pub token: Option<BearerToken>,

    /// File with the token to send; `-` is standard input
    #[arg(long, value_name = "FILE", global = true, help_heading = FOR_ALL, conflicts_with = "dev_key")]
    pub token_file: Option<PathBuf>,

    /// Development key of the server, by which to make the token to send [default: orders.db-dev-key, if that
    /// is in this folder and the server is on this machine]
    #[arg(long, value_name = "FILE", global = true, help_heading = FOR_ALL)]
    pub dev_key: Option<PathBuf>,
}

impl CredentialArgs {
    /// Whether somebody has said which.
    pub(crate) fn given(&self) -> bool {
        self.token.is_some() || self.token_file.is_some() || self.dev_key.is_some()
    }
}

/// How long a token may be good for.
pub(crate) const LONGEST_TTL: Duration = duration::LONGEST;

/// Which token to make.
#[derive(Args, Debug)]
pub struct TokenArgs {
    /// What the token lets its holder do, which without any is nothing: orders.read, orders.write; may be given
    /// more than once
    #[arg(long, value_name = "SCOPE", value_parser = scope)]
    pub scope: Vec<String>,

    /// How long the token is good for, such as 90s, 15m or 2h: in whole seconds, rounded up, and at most 24h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration::parse)]
    pub ttl: Duration,

    /// File with the development key, which `orders serve` makes
    #[arg(long, value_name = "FILE", default_value = DEV_KEY)]
    pub dev_key: PathBuf,
}
