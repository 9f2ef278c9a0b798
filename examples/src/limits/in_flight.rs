//! `--in-flight`: how many calls may run at once.

use std::str::FromStr;

use tonic_ratelimit_layer::{InFlight, Key, Limits, Rule};

use crate::auth::Auth;

/// Default of `--in-flight`. An open call takes about 14 KB: one caller at most 14 MB, all callers 140 MB.
pub(crate) const DEFAULT_IN_FLIGHT: &str = "1000/10000";

/// `--in-flight`: the maximum number of concurrent calls, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFlightLimit {
    /// No limit.
    Off,
    /// At most this many calls.
    Max {
        /// Of one caller.
        per_caller: u32,
        /// Of all callers.
        total: u32,
    },
}

impl InFlightLimit {
    /// Without authentication callers cannot be distinguished: only the total applies.
    pub(super) fn limits(self, auth: Auth) -> Limits {
        let Self::Max { per_caller, total } = self else { return Limits::none() };
        let all = || Rule::from(InFlight::new(total));
        let calls = match auth {
            Auth::On => all().and(InFlight::new(per_caller).by(Key::principal())),
            Auth::Off => all(),
        };
        // Health and reflection are not authenticated; health checks (`Check`) are not limited.
        let public = || all().and(InFlight::new(per_caller).by(Key::peer()));
        Limits::of(calls)
            .method("grpc.health.v1.Health", "Watch", public())
            .service("grpc.reflection.v1.ServerReflection", public())
            .service("grpc.reflection.v1alpha.ServerReflection", public())
    }
}

impl FromStr for InFlightLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|calls| *calls > 0);
        if text == "off" {
            return Ok(Self::Off);
        }
        let both = text.split_once('/').and_then(|(one, all)| number(one).zip(number(all)));
        let max = both.map(|(per_caller, total)| Self::Max { per_caller, total });
        max.ok_or_else(|| {
            format!(
                "must be PER_CALLER/TOTAL, such as {DEFAULT_IN_FLIGHT}, both at least 1; or off"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_calls_in_flight_are_two_numbers_or_off() {
        let good = InFlightLimit::Max { per_caller: 1, total: 20 };
        assert_eq!("1/20".parse(), Ok(good));
        assert_eq!("off".parse(), Ok(InFlightLimit::Off));
        assert!(DEFAULT_IN_FLIGHT.parse::<InFlightLimit>().is_ok());
        for bad in ["", "1", "/", "1/", "/1", "0/1", "1/0", "-1/1", "1/2/3", "4294967296/1", "on"] {
            let error = bad.parse::<InFlightLimit>().expect_err(bad);
            assert!(error.contains("PER_CALLER/TOTAL"), "{bad}: {error}");
        }
    }
}
