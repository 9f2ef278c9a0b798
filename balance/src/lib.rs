//! Round robin over connections whose state is known.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod backoff;
mod balanced;
mod builder;
mod call;
mod connect;
mod discover;
mod error_text;
mod manager;
mod picture;
mod policy;
mod random;
mod rotation;
mod slot;
mod state;
mod wait_for_ready;

pub use self::address::Address;
pub use self::balanced::{Balanced, ResponseFuture};
pub use self::builder::BalancedBuilder;
pub use self::discover::Change;
pub use self::policy::Policy;
pub use self::state::{State, StateChange};
pub use self::wait_for_ready::WaitForReady;
pub use tonic_call::BoxChannel;
