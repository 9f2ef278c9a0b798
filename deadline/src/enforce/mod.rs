//! Ends a call at its limits, on either side.

mod body;
mod future;
mod limit;
mod stall;
mod watchdog;

pub use self::body::ResponseBody;
pub use self::future::ResponseFuture;
pub(crate) use self::limit::{Limit, SetBy};
pub(crate) use self::watchdog::Watchdog;

use http::HeaderMap;
use tonic::{Code, Status};

/// The code of a status in a head or in trailers.
fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}
