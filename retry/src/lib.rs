//! Retries the calls of a tonic client as gRPC defines it.

mod attempt;
mod hook;
mod layer;
mod policy;
mod replay;
mod response;
mod service;
mod settings;

pub use self::hook::{Attempt, AttemptKind, AttemptOutcome, Final, Retries, RetryHook};
pub use self::layer::RetryLayer;
pub use self::response::{ResponseBody, ResponseFuture};
pub use self::service::RetryChannel;
pub use tonic_call::{
    BoxChannel, ConfigError, OptionLayer, Rpc, ServiceConfig, WaitForReady, option_layer,
};
