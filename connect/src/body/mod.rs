//! Translates the bodies of requests and responses.

mod decoding;
mod gathered;
mod incoming;
mod prefixed;
mod progress;
mod request;
mod response;
mod response_stream;
mod stream_request;
mod unary_request;
mod unary_response;

pub(crate) use self::incoming::Incoming;
pub(crate) use self::progress::Progress;
pub(crate) use self::request::RequestBody;
pub use self::response::ResponseBody;
pub(crate) use self::response_stream::ResponseStream;
pub(crate) use self::unary_response::{Collected, UnaryResponse};
