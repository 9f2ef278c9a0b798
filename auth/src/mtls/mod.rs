#![doc = include_str!("../../docs/mtls.md")]

pub(crate) mod allowed;
pub(crate) mod authenticator;
pub(crate) mod builder;
pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod leaf;
#[cfg(feature = "jwt")]
pub(crate) mod presented;
pub(crate) mod proxies;
pub(crate) mod xfcc;

pub use self::allowed::MtlsCaller;
pub use self::authenticator::Mtls;
pub use self::builder::MtlsBuilder;
pub use self::error::MtlsError;
pub use self::proxies::MeshProxies;
