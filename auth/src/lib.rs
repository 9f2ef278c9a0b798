//! Who is calling, and may they.

mod authenticate;
mod clock;
mod failure;
mod identity;
mod incoming;
pub mod jwt;

pub use self::authenticate::{Authenticate, Authenticating, Outcome};
pub use self::clock::Clock;
pub use self::failure::{Failure, RECEIVED_AT_MOST, Reason};
pub use self::identity::{Identity, NoIdentity};
pub use self::incoming::{CREDENTIALS_AT_MOST, Head, Incoming};
