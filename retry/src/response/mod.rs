//! What the caller of a channel gets.

mod body;
mod future;
mod watch;

pub use self::body::ResponseBody;
pub use self::future::ResponseFuture;
pub(crate) use self::watch::Watch;
