//! Quotas as text, for command lines and files.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use crate::key::Key;
use crate::quota::Quota;

/// A text that is no quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseQuotaError {
    text: String,
    wrong: String,
}

/// Reads `RATE/BURST`, or `RATE/BURST:KEY`: the rate in calls per second, the key `global`, `peer`,
/// `principal` or `metadata:NAME`. Without a key all calls share one quota.
///
/// ```
/// use tonic_ratelimit_layer::Quota;
///
/// let quota: Quota = "5/10:principal".parse()?;
/// assert!("0/10".parse::<Quota>().is_err()); // impossible
/// # Ok::<(), tonic_ratelimit_layer::ParseQuotaError>(())
/// ```
impl FromStr for Quota {
    type Err = ParseQuotaError;

    fn from_str(text: &str) -> Result<Self, ParseQuotaError> {
        read(text).map_err(|wrong| ParseQuotaError { text: text.to_owned(), wrong })
    }
}

fn read(text: &str) -> Result<Quota, String> {
    let (numbers, key) = match text.split_once(':') {
        Some((numbers, key)) => (numbers, key_of(key)?),
        None => (text, Key::global()),
    };
    let Some((rate, burst)) = numbers.split_once('/') else {
        return Err("is not `RATE/BURST` or `RATE/BURST:KEY`".to_owned());
    };
    let quota = Quota::per_second(number(rate, "rate")?).burst(number(burst, "burst")?).by(key);
    quota.possible()?;
    match quota.key.fault() {
        Some(fault) => Err(fault),
        None => Ok(quota),
    }
}

fn key_of(key: &str) -> Result<Key, String> {
    match (key, key.split_once(':')) {
        ("global", _) => Ok(Key::global()),
        ("peer", _) => Ok(Key::peer()),
        ("principal", _) => Ok(Key::principal()),
        (_, Some(("metadata", name))) => Ok(Key::metadata(name)),
        _ => Err(format!(
            "has the key {key:?}, which is none of `global`, `peer`, `principal`, `metadata:NAME`"
        )),
    }
}

fn number(digits: &str, of: &str) -> Result<u32, String> {
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = if all_digits { digits.parse().ok() } else { None };
    number.ok_or_else(|| format!("has the {of} {digits:?}, which is no whole number"))
}

impl fmt::Display for ParseQuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the quota {:?} {}", self.text, self.wrong)
    }
}

impl Error for ParseQuotaError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read() {
        for (text, name, burst) in [
            ("5/10", "5/s:global", 10),
            ("5/10:global", "5/s:global", 10),
            ("1/1:peer", "1/s:peer", 1),
            ("100/200:principal", "100/s:principal", 200),
            ("5/10:metadata:x-api-key", "5/s:metadata", 10),
        ] {
            let quota: Quota = text.parse().expect("a quota");
            let (pace, _) = quota.possible().expect("possible");
            assert_eq!((&*quota.name(), pace.burst()), (name, burst), "{text}");
        }
        let quota: Quota = "5/10:metadata:X-Api-Key".parse().expect("a quota");
        assert!(quota.key.is_same(&Key::metadata("x-api-key")));
    }

    #[test]
    fn what_is_none_is_told_why() {
        for (text, wrong) in [
            ("", "RATE/BURST"),
            ("5", "RATE/BURST"),
            ("5:peer", "RATE/BURST"),
            ("5/10:", "key \"\""),
            ("5/10:user", "key \"user\""),
            ("5/10:peer:x", "key \"peer:x\""),
            ("5/10:metadata", "key \"metadata\""),
            ("5/10:metadata:a b", "\"a b\""),
            ("5/10:metadata:", "\"\""),
            ("x/10", "rate \"x\""),
            ("5/", "burst \"\""),
            ("/5", "rate \"\""),
            ("+5/10", "rate \"+5\""),
            ("5/10/20", "burst \"10/20\""),
            ("5 /10", "rate \"5 \""),
            ("0.5/10", "rate \"0.5\""),
            ("4294967296/1", "rate \"4294967296\""),
            ("0/10", "0 calls"),
            ("5/0", "burst of 0"),
            ("10000001/1", "too fast"),
            ("1/4294967295", "too slow"),
        ] {
            let error = text.parse::<Quota>().expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains(wrong), "{error}");
        }
    }
}
