//! One call: the choice of a connection, and of the next one while the request was not processed.

mod caller;
mod connection;
mod future;
mod head;
mod next;
mod sends;

pub(crate) use self::connection::{Connections, Waiting};
pub use self::future::ResponseFuture;
