//! What a layer fits around: services and channels, a channel with a name, a layer that is on or off.

mod box_channel;
mod grpc_service;
mod option;

pub use self::box_channel::BoxChannel;
pub use self::grpc_service::{BoxError, GrpcService};
pub use self::option::{OptionBody, OptionFuture, OptionLayer, OptionService, option_layer};
