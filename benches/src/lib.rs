//! The subjects of the benches: one tonic service, bare and behind layers, called in process or over
//! loopback.

mod callers;
mod channels;
pub mod compare;
mod configured;
pub mod connect;
mod deadlines;
mod flood;
mod identities;
mod limiter;
mod limits;
mod listener;
mod many;
mod nothing;
mod one_core;
mod retries;
mod rounds;
mod server;
mod service;
mod spans;
mod subject;
mod subjects;
mod tls;
mod tokens;

pub use self::channels::Channels;
pub use self::flood::Flood;
pub use self::limiter::Limiter;
pub use self::listener::Listener;
pub use self::one_core::Core;
pub use self::rounds::{Rounds, quantile};
pub use self::server::{Server, bare_servers, servers, verifying_servers};
pub use self::subject::{Call, Subject};
pub use self::subjects::{enter_runtime, subjects};
pub use self::tls::{Certificates, Tls};
pub use self::tokens::{CALLER, Issuer};

/// Compiles the code of the pages; this crate depends on all crates that they name.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../docs/compare.md")]
    struct Compare;
    #[doc = include_str!("../../docs/order.md")]
    struct Order;
    #[doc = include_str!("../../docs/add-to-a-service.md")]
    struct AddToAService;
    #[doc = include_str!("../../docs/kubernetes.md")]
    struct Kubernetes;
    #[doc = include_str!("../../docs/limits-over-replicas.md")]
    struct LimitsOverReplicas;
}
