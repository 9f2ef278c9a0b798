//! Errors: read from gRPC's headers, and written in JSON.

mod code;
mod details;
mod failure;
mod json;

pub(crate) use self::code::http_status;
pub(crate) use self::details::retry_after;
pub(crate) use self::failure::Failure;
pub(crate) use self::json::{end_of_stream, error_body};
