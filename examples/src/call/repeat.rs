//! Several calls, one after another.

use std::collections::BTreeMap;
use std::fmt;

use tonic::Code;
use tonic_balance::Address;
use tonic_call::code_name;

use super::error::CallError;
use super::output;

/// How the calls ended: all of them, and those of each address.
#[derive(Debug, Default)]
pub(super) struct Summary {
    calls: Outcomes,
    by_address: BTreeMap<Address, Outcomes>,
    /// Calls that no address got.
    not_sent: Outcomes,
}

/// The number of calls that ended with each code.
#[derive(Debug, Default)]
struct Outcomes {
    by_code: BTreeMap<i32, u64>,
    /// Attempts after which the call was sent again.
    retried: u64,
}

impl Summary {
    /// Makes calls, counts them, and prints the error of each one that fails. `picks` returns the addresses that a
    /// call was sent to.
    ///
    /// # Errors
    ///
    /// An error of this program, such as an invalid request: the next call would have the same one.
    pub(super) async fn repeat(
        &mut self,
        times: u32,
        call: impl AsyncFn() -> Result<(), CallError>,
        picks: impl Fn() -> Vec<Address>,
    ) -> Result<(), CallError> {
        for _ in 0..times {
            let Err(error) = call().await else {
                self.count(Code::Ok, picks());
                continue;
            };
            let Some(code) = error.code() else { return Err(error) };
            self.count(code, picks());
            output::print_to_stderr([error.to_string()]);
        }
        Ok(())
    }

    /// The last pick is the one that gave the call its code.
    fn count(&mut self, code: Code, mut picks: Vec<Address>) {
        self.calls.count(code);
        match picks.pop() {
            Some(last) => self.by_address.entry(last).or_default().count(code),
            None => self.not_sent.count(code),
        }
        for address in picks {
            self.by_address.entry(address).or_default().retried += 1;
        }
    }

    /// Adds the addresses that got no call.
    pub(super) fn finish(mut self, addresses: Vec<Address>) -> Self {
        for address in addresses {
            self.by_address.entry(address).or_default();
        }
        self
    }

    /// Whether any call was made.
    pub(super) fn any(&self) -> bool {
        !self.calls.by_code.is_empty()
    }

    pub(super) fn any_failed(&self) -> bool {
        self.calls.by_code.keys().any(|code| *code != Code::Ok as i32)
    }
}

impl Outcomes {
    fn count(&mut self, code: Code) {
        *self.by_code.entry(code as i32).or_default() += 1;
    }
}

/// The last line is `3 calls: 2 OK, 1 UNAVAILABLE`. If there are several addresses, each has a line before.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.by_address.len() > 1 {
            for (address, outcomes) in &self.by_address {
                writeln!(f, "{address}: {outcomes}")?;
            }
            if !self.not_sent.by_code.is_empty() {
                writeln!(f, "not sent: {}", self.not_sent)?;
            }
        }
        let calls: u64 = self.calls.by_code.values().sum();
        let noun = if calls == 1 { "call" } else { "calls" };
        write!(f, "{calls} {noun}: {}", self.calls)
    }
}

/// `2 OK, 1 UNAVAILABLE, 1 sent again`.
impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_code = self.by_code.iter();
        let mut parts: Vec<_> = by_code
            .map(|(code, calls)| format!("{calls} {}", code_name(Code::from_i32(*code))))
            .collect();
        if self.retried > 0 {
            parts.push(format!("{} sent again", self.retried));
        }
        f.write_str(if parts.is_empty() { "no calls" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Address {
        Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[test]
    fn calls_are_counted_by_their_code() {
        let mut summary = Summary::default();
        assert!(!summary.any());
        summary.count(Code::Ok, vec![address(1)]);
        assert!(summary.any() && !summary.any_failed());
        assert_eq!(summary.to_string(), "1 call: 1 OK");
        for code in [Code::Unavailable, Code::Ok, Code::NotFound, Code::Unavailable] {
            summary.count(code, vec![address(1)]);
        }
        assert!(summary.any_failed());
        let summary = summary.finish(vec![address(1)]);
        assert_eq!(summary.to_string(), "5 calls: 2 OK, 1 NOT_FOUND, 2 UNAVAILABLE");
    }

    #[test]
    fn calls_of_several_addresses_are_counted_for_each_one() {
        let mut summary = Summary::default();
        for (code, picks) in [
            (Code::Ok, vec![address(1)]),
            (Code::Ok, vec![address(20), address(1)]),
            (Code::Unavailable, vec![address(20), address(20)]),
            (Code::Unavailable, vec![]),
        ] {
            summary.count(code, picks);
        }
        let lines = [
            "127.0.0.1:1: 2 OK",
            "127.0.0.1:3: no calls",
            "127.0.0.1:20: 1 UNAVAILABLE, 2 sent again",
            "not sent: 1 UNAVAILABLE",
            "4 calls: 2 OK, 2 UNAVAILABLE",
        ];
        let summary = summary.finish(vec![address(3), address(1)]);
        assert_eq!(summary.to_string().lines().collect::<Vec<_>>(), lines);
    }
}
