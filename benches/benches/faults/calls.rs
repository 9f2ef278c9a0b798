//! Calls at a steady rate, and what became of them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tonic::Code;

/// How many calls are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) seconds: f64,
    /// Whether HTTP/2 pings look for dead servers.
    pub(crate) pings: bool,
}

impl Load {
    /// Calls per second.
    pub(crate) const RATE: f64 = 1_000.0;
    /// The deadline of each call.
    pub(crate) const DEADLINE: Duration = Duration::from_secs(5);
    /// The shortest interval that grpc-go accepts.
    pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(10);
    pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(3);

    /// The number of calls.
    pub(crate) fn calls(self) -> usize {
        (self.seconds * Self::RATE) as usize
    }
}

/// A call that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Over {
    /// Since 1970.
    pub(crate) began: Duration,
    pub(crate) took: Duration,
    pub(crate) code: Code,
}

/// What a fault did to the calls, in one run or in several.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    calls: usize,
    failed: BTreeMap<String, usize>,
    longest: Duration,
    /// The calls that took longer than [`SLOW`], and succeeded.
    slow: usize,
    /// From the fault to the begin of the last call that failed or was slow.
    until_good: Duration,
    /// The calls that a drained server got.
    late: Option<usize>,
}

/// No call without a fault takes that long.
const SLOW: Duration = Duration::from_millis(500);

impl Damage {
    /// Adds a run.
    pub(crate) fn add(&mut self, calls: &[Over], fault: Duration, late: Option<usize>) {
        self.calls += calls.len();
        for call in calls {
            self.longest = self.longest.max(call.took);
            let failed = call.code != Code::Ok;
            if failed {
                *self.failed.entry(format!("{:?}", call.code)).or_default() += 1;
            }
            self.slow += usize::from(!failed && call.took > SLOW);
            if failed || call.took > SLOW {
                self.until_good = self.until_good.max(call.began.saturating_sub(fault));
            }
        }
        if let Some(late) = late {
            *self.late.get_or_insert_default() += late;
        }
    }

    /// A line of the table.
    pub(crate) fn line(&self) -> String {
        let failed: usize = self.failed.values().sum();
        let codes: Vec<_> =
            self.failed.iter().map(|(code, count)| format!("{count} {code}")).collect();
        let codes =
            if codes.len() < 2 { self.failed.keys().cloned().collect() } else { codes.join(", ") };
        format!(
            "{:>8}{failed:>8}{:>8}{:>12.0}{:>14.2}{:>8}  {codes}",
            self.calls,
            self.slow,
            self.longest.as_secs_f64() * 1e3,
            self.until_good.as_secs_f64(),
            self.late.map(|late| late.to_string()).unwrap_or_default(),
        )
    }

    /// The titles of its columns.
    pub(crate) fn titles() -> String {
        let [calls, failed, slow, longest, until_good, late] =
            ["calls", "failed", "slow", "longest, ms", "good after, s", "late"];
        format!("{calls:>8}{failed:>8}{slow:>8}{longest:>12}{until_good:>14}{late:>8}")
    }
}

/// The time since 1970, which other processes have too.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970")
}
