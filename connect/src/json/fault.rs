//! What is wrong with JSON, and where.

use std::borrow::Cow;
use std::fmt::Write as _;

use tonic::Status;

/// Longest part of the caller's text in an error message.
const SHOWN: usize = 64;
/// Longest path of fields in an error message.
const PATH: usize = 256;

/// An error in JSON text. It becomes a status when the whole text is at hand.
///
/// It is in a box because nearly every function returns one, or none: so the result of each fits into a register.
#[derive(Debug)]
pub(super) struct Fault(Box<Details>);

#[derive(Debug)]
struct Details {
    at: usize,
    message: Cow<'static, str>,
    /// The fields around, from the outermost: `order.items`.
    path: String,
}

impl Fault {
    pub(super) fn new(at: usize, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Details { at, message: message.into(), path: String::new() }))
    }

    /// The same error, in this field.
    pub(super) fn within(mut self, field: &str) -> Self {
        let path = &mut self.0.path;
        if path.len() + field.len() < PATH {
            if !path.is_empty() {
                path.insert(0, '.');
            }
            path.insert_str(0, field);
        }
        self
    }

    /// The status that the caller gets: what, in which field, at which line and column.
    pub(super) fn into_status(self, message: &str, json: &str) -> Status {
        let Details { at, message: reason, path } = *self.0;
        let before = json.get(..at).unwrap_or(json);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let mut text = format!("invalid JSON for {message}: {reason}");
        if !path.is_empty() {
            let _ = write!(text, " in `{path}`");
        }
        let _ = write!(text, " (line {line}, column {column})");
        Status::invalid_argument(text)
    }
}

/// The caller's text as an error message shows it: in quotes, escaped, and not more than a part.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}
