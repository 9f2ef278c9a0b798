//! Quotas from text, for command lines and files.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::key::Key;
use super::quota::Quota;

/// A text that is not a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseQuotaError {
    text: String,
    problem: String,
}

/// Parses `RATE/BURST` or `RATE/BURST:KEY`: the rate in calls per second (`0.5` is one call in two seconds), the key
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
        parse(text).map_err(|problem| ParseQuotaError { text: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<Quota, String> {
    let (numbers, key) = match text.split_once(':') {
        Some((numbers, key)) => (numbers, parse_key(key)?),
        None => (text, Key::global()),
    };
    let Some((rate, burst)) = numbers.split_once('/') else {
        return Err("is not `RATE/BURST` or `RATE/BURST:KEY`".to_owned());
    };
    let (calls, per) = parse_rate(rate)?;
    let Some(burst) = digits(burst) else {
        return Err(format!("has the burst {burst:?}, which is not a whole number"));
    };
    let quota = Quota::per(calls, per).burst(burst).by(key);
    quota.measure.enforced()?;
    match quota.key.fault() {
        Some(fault) => Err(fault),
        None => Ok(quota),
    }
}

fn parse_key(key: &str) -> Result<Key, String> {
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

/// The number of calls, and their period. Decimals make the period longer: `0.25` is 25 calls in 100 s.
fn parse_rate(text: &str) -> Result<(u32, Duration), String> {
    let (before, behind) = match text.split_once('.') {
        Some((before, behind)) if digits(behind).is_some() => {
            (before, behind.trim_end_matches('0'))
        }
        _ => (text, ""),
    };
    let seconds = u32::try_from(behind.len()).ok().and_then(|digits| 10_u64.checked_pow(digits));
    match (digits(before), digits(&format!("{before}{behind}")), seconds) {
        (Some(_), Some(calls), Some(seconds)) => Ok((calls, Duration::from_secs(seconds))),
        _ => Err(format!("has the rate {text:?}, which is not a number of calls per second")),
    }
}

fn digits(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for ParseQuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the quota {:?} {}", self.text, self.problem)
    }
}

impl Error for ParseQuotaError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_parsed() {
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
            let (pace, _) = quota.measure.enforced().expect("possible");
            assert_eq!((&*quota.name(), pace.burst()), (name, burst), "{text}");
        }
        let quota: Quota = "5/10:metadata:X-Api-Key".parse().expect("a quota");
        assert!(quota.key.is_same(&Key::metadata("x-api-key")));
    }

    #[test]
    fn an_error_says_what_is_wrong() {
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
