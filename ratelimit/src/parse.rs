//! Quotas as text, for command lines and files.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::key::Key;
use crate::quota::Quota;

/// A text that is no quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseQuotaError {
    text: String,
    wrong: String,
}

/// Reads `RATE/BURST`, or `RATE/BURST:KEY`: the rate in calls per second (`0.5` is one in two), the key
/// `global`, `peer`, `principal` or `metadata:NAME`. Without a key all calls share one quota.
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
    let (calls, per) = rate_of(rate)?;
    let Some(burst) = whole(burst) else {
        return Err(format!("has the burst {burst:?}, which is no whole number"));
    };
    let quota = Quota::new(calls, per).burst(burst).by(key);
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

/// So many calls in a time; with digits behind the point in one that is so much longer: `0.25` are 25 in
/// 100 s.
fn rate_of(text: &str) -> Result<(u32, Duration), String> {
    let (before, behind) = match text.split_once('.') {
        Some((before, behind)) if whole(behind).is_some() => (before, behind.trim_end_matches('0')),
        _ => (text, ""),
    };
    let seconds = u32::try_from(behind.len()).ok().and_then(|digits| 10_u64.checked_pow(digits));
    match (whole(before), whole(&format!("{before}{behind}")), seconds) {
        (Some(_), Some(calls), Some(seconds)) => Ok((calls, Duration::from_secs(seconds))),
        _ => Err(format!("has the rate {text:?}, which is no number of calls per second")),
    }
}

fn whole(digits: &str) -> Option<u32> {
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
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
            ("0.5/2", "5/10s:global", 2),
            ("2.50/2", "25/10s:global", 2),
            ("3.0/2", "3/s:global", 2),
            ("0.000001/2", "1/1000000s:global", 2),
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
            (".5/10", "rate \".5\""),
            ("5./10", "rate \"5.\""),
            ("1.2.3/10", "rate \"1.2.3\""),
            ("1.-2/10", "rate \"1.-2\""),
            ("1e3/10", "rate \"1e3\""),
            ("0.00000000000000000000001/10", "rate \"0.0"),
            ("0.0/10", "0 calls"),
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
