//! Reads and checks certificates, keys and revocation lists.

mod certificate;
mod date;
mod error;
mod file;
mod identity;
mod pem;
mod read;
mod roots;

pub use self::certificate::Validity;
pub(crate) use self::date::date;
pub use self::error::{Problem, TlsError};
pub use self::file::FileRole;
pub(crate) use self::file::TlsFile;
pub(crate) use self::identity::identity;
pub(crate) use self::pem::revocation_lists;
pub(crate) use self::read::{Contents, read, read_stable};
pub(crate) use self::roots::roots;
