//! Reads and checks certificates, keys and revocation lists.

mod certificate;
mod error;
mod identity;
mod pem;
mod read;
mod roots;

#[cfg(feature = "server")]
pub(crate) use self::certificate::Leaf;
pub use self::certificate::Validity;
pub(crate) use self::certificate::date;
pub use self::error::{FileRole, Problem, TlsError};
pub(crate) use self::identity::identity;
pub(crate) use self::pem::revocation_lists;
pub(crate) use self::read::{Contents, TlsFile, read, read_stable};
pub(crate) use self::roots::roots;
