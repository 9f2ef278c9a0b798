//! Fits layers to services and channels: the service trait, a nameable client channel, an optional layer, and what a
//! call wants of its channel.

mod box_channel;
mod encrypted;
mod grpc_service;
mod option;
mod wait_for_ready;

pub use self::box_channel::BoxChannel;
pub use self::encrypted::Encrypted;
pub use self::grpc_service::{BoxError, GrpcService};
pub use self::option::{OptionBody, OptionFuture, OptionLayer, OptionService, option_layer};
pub use self::wait_for_ready::WaitForReady;
