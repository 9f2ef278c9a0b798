//! What may be shown of a call in logs and spans, and how.

mod code_name;
mod error_chain;
mod field;
mod hex;
pub(crate) mod inline_text;
mod metadata;
mod sanitize;
mod trace_ids;

pub use self::code_name::{CODES, code_from_name, code_name};
pub use self::error_chain::ErrorChain;
pub use self::field::FieldValue;
pub use self::hex::Hex;
pub(crate) use self::inline_text::InlineText;
pub use self::metadata::{AllowedMetadata, KeptMetadata, joined};
pub use self::sanitize::{MAX_LINES_BYTES, MAX_TEXT_BYTES, sanitize, sanitize_lines, sanitize_str};
pub use self::trace_ids::{TraceIds, TraceParent};
