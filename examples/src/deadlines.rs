//! Deadlines that the server sets: what `--default-deadline`, `--deadline-cap` and `--stall-limit` give, and their
//! layer.
//!
//! Streaming methods have no limit but their caller's: a watch lasts for as long as its caller wants.

use std::str::FromStr;
use std::time::Duration;

use tonic_call::Methods;
use tonic_deadline_layer::DeadlineLayer;

use crate::duration;

/// Default of `--default-deadline`, unless the cap is shorter.
const DEFAULT: Duration = Duration::from_secs(30);

/// Default of `--deadline-cap`.
pub(crate) const DEFAULT_CAP: &str = "5m";

/// Default of `--stall-limit`.
pub(crate) const DEFAULT_STALL_LIMIT: &str = "1m";

/// A duration, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit(Option<Duration>);

impl TimeLimit {
    /// The duration; `None` if it is off.
    pub(crate) fn duration(self) -> Option<Duration> {
        self.0
    }
}

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            _ => match duration::parse_positive(text) {
                Ok(limit) => Ok(Self(Some(limit))),
                Err(error) => Err(format!("{error}, or off")),
            },
        }
    }
}

/// The server's own limits of how long calls may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    default: Option<Duration>,
    cap: Option<Duration>,
    stall: Option<Duration>,
}

impl Deadlines {
    /// Only the deadlines of the callers.
    pub fn of_callers() -> Self {
        Self { default: None, cap: None, stall: None }
    }

    /// The limits of unary calls, and how long the caller of any call may read nothing. Without `default`, it is 30 s
    /// or the cap.
    ///
    /// # Errors
    ///
    /// A message, if `default` is longer than `cap`.
    pub fn new(
        default: Option<TimeLimit>,
        cap: TimeLimit,
        stall: TimeLimit,
    ) -> Result<Self, String> {
        let (TimeLimit(cap), TimeLimit(stall)) = (cap, stall);
        let default = match (default, cap) {
            (None, Some(cap)) => Some(DEFAULT.min(cap)),
            (None, None) => Some(DEFAULT),
            (Some(TimeLimit(Some(default))), Some(cap)) if default > cap => {
                return Err(format!(
                    "--default-deadline {default:?} is longer than --deadline-cap {cap:?}, which would end the calls \
                     first"
                ));
            }
            (Some(TimeLimit(default)), _) => default,
        };
        Ok(Self { default, cap, stall })
    }

    /// The layer around services with these methods.
    pub(crate) fn layer(&self, methods: &Methods) -> DeadlineLayer {
        let layer = DeadlineLayer::server().methods(methods);
        layer.default(self.default).cap(self.cap).stall(self.stall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> TimeLimit {
        text.parse().expect("a limit")
    }

    fn default(given: Option<&str>, cap: &str) -> Result<Option<Duration>, String> {
        let deadlines = Deadlines::new(given.map(limit), limit(cap), limit("off"))?;
        Ok(deadlines.default)
    }

    #[test]
    fn a_limit_is_a_duration_or_off() {
        assert_eq!(limit("off"), TimeLimit(None));
        assert_eq!(limit("200ms"), TimeLimit(Some(Duration::from_millis(200))));
        for bad in ["", "0", "0ms", "none", "-1s", "25h"] {
            let error = bad.parse::<TimeLimit>().expect_err(bad);
            assert!(error.ends_with(", or off"), "{bad:?}: {error}");
        }
    }

    #[test]
    fn the_default_is_30_seconds_or_the_cap() {
        let seconds = |seconds| Ok(Some(Duration::from_secs(seconds)));
        assert_eq!(default(None, DEFAULT_CAP), seconds(30));
        assert_eq!(default(None, "off"), seconds(30));
        assert_eq!(default(None, "10s"), seconds(10));
    }

    #[test]
    fn a_default_above_the_cap_is_an_error_that_names_both_flags() {
        let error = default(Some("301s"), DEFAULT_CAP).expect_err("longer");
        for part in ["--default-deadline 301s", "--deadline-cap 300s"] {
            assert!(error.contains(part), "{error}");
        }
        for (given, cap) in [("5m", "5m"), ("off", "1s"), ("10m", "off"), ("off", "off")] {
            assert_eq!(default(Some(given), cap), Ok(limit(given).0), "{given} {cap}");
        }
    }
}
