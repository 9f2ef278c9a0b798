//! One row of the table: a call, how it should end, and how it ended.

use std::fmt;

use tonic::Code;
use tonic_call::code_name;

/// How a call ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// The code: of gRPC, or of HTTP.
    pub(super) code: String,
    /// What else is known, such as the reason of a refusal; may be empty.
    pub(super) detail: String,
}

/// A call, how it should end, and how it ended.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) expected: Ending,
    pub(super) seen: Ending,
}

impl Ending {
    pub(super) fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into() }
    }

    /// With a code of gRPC.
    pub(super) fn grpc(code: Code, detail: impl Into<String>) -> Self {
        Self::new(code_name(code), detail)
    }

    /// The code is `OK`.
    pub(super) fn ok(detail: impl Into<String>) -> Self {
        Self::grpc(Code::Ok, detail)
    }

    /// The call could not be made, or its ending could not be seen.
    pub(super) fn unknown(error: impl Into<String>) -> Self {
        Self::new("ERROR", error)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " {}", self.detail) }
    }
}

impl Row {
    pub(super) fn differs(&self) -> bool {
        self.expected != self.seen
    }
}

/// `1 message`, `2 messages`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_differs_by_its_code_and_by_its_detail() {
        let row = |seen| Row { name: "a call", expected: Ending::ok("1 message"), seen };
        assert!(!row(Ending::ok("1 message")).differs());
        assert!(row(Ending::ok("2 messages")).differs());
        assert!(row(Ending::grpc(Code::Internal, "1 message")).differs());
        assert!(row(Ending::unknown("nothing answers")).differs());
    }
}
