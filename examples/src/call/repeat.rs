//! Several calls, one after another.

use std::collections::BTreeMap;
use std::fmt;

use tonic::Code;
use tonic_call::code_name;

use super::error::CallError;
use super::output;

/// The number of calls that ended with each code.
#[derive(Debug, Default)]
pub(super) struct Summary(BTreeMap<i32, u64>);

impl Summary {
    /// Makes calls, counts them, and prints the error of each one that fails.
    ///
    /// # Errors
    ///
    /// An error of this program, such as an invalid request: the next call would have the same one.
    pub(super) async fn repeat(
        &mut self,
        times: u32,
        call: impl AsyncFn() -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        for _ in 0..times {
            let Err(error) = call().await else {
                self.count(Code::Ok);
                continue;
            };
            let Some(code) = error.code() else { return Err(error) };
            self.count(code);
            output::print_to_stderr([error.to_string()]);
        }
        Ok(())
    }

    fn count(&mut self, code: Code) {
        *self.0.entry(code as i32).or_default() += 1;
    }

    /// Whether any call was made.
    pub(super) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn any_failed(&self) -> bool {
        self.0.keys().any(|code| *code != Code::Ok as i32)
    }
}

/// `3 calls: 2 OK, 1 UNAVAILABLE`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: u64 = self.0.values().sum();
        let noun = if calls == 1 { "call" } else { "calls" };
        write!(f, "{calls} {noun}")?;
        for (index, (code, calls)) in self.0.iter().enumerate() {
            let before = if index == 0 { ": " } else { ", " };
            write!(f, "{before}{calls} {}", code_name(Code::from_i32(*code)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_their_code() {
        let mut summary = Summary::default();
        assert!(!summary.any());
        summary.count(Code::Ok);
        assert!(summary.any() && !summary.any_failed());
        assert_eq!(summary.to_string(), "1 call: 1 OK");
        for code in [Code::Unavailable, Code::Ok, Code::NotFound, Code::Unavailable] {
            summary.count(code);
        }
        assert!(summary.any_failed());
        assert_eq!(summary.to_string(), "5 calls: 2 OK, 1 NOT_FOUND, 2 UNAVAILABLE");
    }
}
