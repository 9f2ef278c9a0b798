//! The script that decides in Redis.

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind};

/// Checks several quotas by Redis's own clock, and takes from all of them or from none (GCRA).
///
/// The value of a key is the time when its burst is full again, in nanoseconds since 1970, as text. A number of Lua
/// has only 53 bits, which is less: so seconds and nanoseconds are read apart, and only their difference to the
/// present is computed with. That is exact for bursts that are refilled within 104 days; of longer ones the last bits
/// are lost, which is less than a millionth of a call. A key expires when its burst is full.
pub(super) const LUA: &str = include_str!("script.lua");

/// One quota of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// The name of the key in Redis.
    pub(crate) key: String,
    /// What the call takes, as the time in which that is refilled, in nanoseconds.
    pub(crate) take: u64,
    /// The time in which the burst is refilled, in nanoseconds.
    pub(crate) capacity: u64,
    /// Whether the call passes even if this quota does not allow it.
    pub(crate) shadow: bool,
}

/// The decision for one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) passes: bool,
    /// In how many nanoseconds the burst of each quota was full again, before the call.
    pub(crate) full_in: Vec<u64>,
}

pub(super) struct Script {
    text: String,
    hashed: redis::Script,
}

impl Script {
    pub(super) fn new() -> Self {
        Self::of(LUA.to_owned())
    }

    fn of(text: String) -> Self {
        Self { hashed: redis::Script::new(&text), text }
    }

    /// Decides a call, in one round trip; in two if Redis does not have the script.
    pub(super) async fn decide(
        &self,
        connection: &mut impl ConnectionLike,
        asks: &[Ask],
    ) -> Result<Answer, RedisError> {
        let known = call("EVALSHA", self.hashed.get_hash(), asks).query_async(connection).await;
        let answer: Vec<u64> = match known {
            // It goes where the key is, which no `SCRIPT LOAD` in a cluster does.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                call("EVAL", &self.text, asks).query_async(connection).await?
            }
            known => known?,
        };
        match answer.split_first() {
            Some((passes, full_in)) if full_in.len() == asks.len() => {
                Ok(Answer { passes: *passes == 1, full_in: full_in.to_vec() })
            }
            _ => Err(RedisError::from((ErrorKind::UnexpectedReturnType, "not a decision"))),
        }
    }
}

pub(super) fn call(name: &str, script: &str, asks: &[Ask]) -> Cmd {
    let mut call = redis::cmd(name);
    call.arg(script).arg(asks.len());
    for ask in asks {
        call.arg(&ask.key);
    }
    for Ask { take, capacity, shadow, .. } in asks {
        call.arg(take).arg(capacity).arg(u8::from(*shadow));
    }
    call
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use redis::aio::MultiplexedConnection;

    use super::*;
    use crate::limits::{Pace, Paced};
    use crate::redis_server::RedisServer;

    const BEGAN: u64 = 1_800_000_000_000_000_000;

    /// The script with the test's clock, whose keys do not expire by the clock of Redis.
    fn by_clock() -> Script {
        let clock = "local t = { ARGV[#ARGV - 1], ARGV[#ARGV] }";
        let expiry = ", 'PX', string.format('%.0f', math.ceil(next / 1e6))";
        assert!(LUA.contains("local t = redis.call('TIME')") && LUA.contains(expiry));
        let lua = LUA.replace("local t = redis.call('TIME')", clock).replace(expiry, "");
        Script::of(lua)
    }

    #[derive(Clone, Debug)]
    struct Case {
        /// Calls, microseconds, burst, and whether it is a shadow limit.
        quotas: Vec<(u32, u64, u32, bool)>,
        /// Microseconds since the call before, and the cost of each quota.
        calls: Vec<(u64, Vec<u32>)>,
    }

    fn cases() -> impl Strategy<Value = Case> {
        let micros = prop_oneof![1..100_u64, 1_000..5_000_000_u64, 1_000_000..90_000_000_u64];
        let quota = (1..50_u32, micros, 1..40_u32, any::<bool>())
            .prop_filter("possible", |(calls, micros, ..)| {
                micros * 1_000 >= u64::from(*calls) * 100
            });
        let wait = prop_oneof![Just(0), 0..2_000_u64, 0..3_000_000_u64, 0..200_000_000_u64];
        let calls = prop::collection::vec((wait, prop::collection::vec(0..45_u32, 3)), 1..25);
        (prop::collection::vec(quota, 1..4), calls)
            .prop_map(|(quotas, calls)| Case { quotas, calls })
    }

    /// Makes the calls in Redis and by the decisions of local quotas, and compares them.
    async fn compare(redis: &mut MultiplexedConnection, script: &Script, case: &Case) {
        let pace = |(calls, micros, burst, shadow): &(u32, u64, u32, bool)| {
            let pace = Pace::new(*calls, Duration::from_micros(*micros), *burst);
            (pace.expect("possible"), *shadow)
        };
        let quotas: Vec<_> = case.quotas.iter().map(pace).collect();
        let (mut states, mut now) = (vec![None; quotas.len()], BEGAN);
        let () = redis::cmd("FLUSHALL").query_async(redis).await.expect("it runs");
        for (wait, costs) in &case.calls {
            now += wait * 1_000;
            let mut call = script.hashed.prepare_invoke();
            let (mut next, mut full_in, mut passes) = (states.clone(), Vec::new(), true);
            for (at, ((pace, shadow), cost)) in quotas.iter().zip(costs).enumerate() {
                let (take, capacity) =
                    (pace.interval() * u64::from(*cost), pace.interval() * u64::from(pace.burst()));
                call.key(at).arg(take).arg(capacity).arg(u8::from(*shadow));
                full_in.push(pace.full_in(states[at], now));
                match NonZeroU32::new(*cost).map(|cost| pace.decide(states[at], cost, now)) {
                    None => {}
                    Some(Paced::Yes(state)) => next[at] = Some(state),
                    Some(Paced::In(_) | Paced::Never) => passes &= shadow,
                }
            }
            if passes {
                states = next;
            }
            let micros = now / 1_000;
            call.arg(micros / 1_000_000).arg(micros % 1_000_000);
            let answer: Vec<u64> = call.invoke_async(redis).await.expect("it runs");
            let expected = [vec![u64::from(passes)], full_in].concat();
            assert_eq!(answer, expected);
        }
    }

    #[test]
    fn the_script_decides_as_local_quotas_do() {
        let Some(server) = RedisServer::start(&[]) else { return };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let client = redis::Client::open(server.url()).expect("a URL");
        let mut redis =
            runtime.block_on(client.get_multiplexed_async_connection()).expect("it runs");
        let script = by_clock();
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
        let compared = runner.run(&cases(), |case| {
            runtime.block_on(compare(&mut redis.clone(), &script, &case));
            Ok(())
        });
        compared.expect("the same decisions");
        // The last case has left keys, which real calls do not.
        let () = runtime.block_on(redis::cmd("FLUSHALL").query_async(&mut redis)).expect("it runs");
    }

    /// Guards against: a `tostring` that writes 1.8e+18.
    #[tokio::test]
    async fn a_state_is_written_with_all_digits_and_expires_when_the_burst_is_full() {
        let Some(server) = RedisServer::start(&[]) else { return };
        let client = redis::Client::open(server.url()).expect("a URL");
        let mut redis = client.get_multiplexed_async_connection().await.expect("it runs");
        let hour = 3_600_000_000_000;
        let ask = Ask {
            key: "k".to_owned(),
            take: hour + 7,
            capacity: 2 * hour - 100_000_000_000,
            shadow: false,
        };
        let answer =
            Script::new().decide(&mut redis, std::slice::from_ref(&ask)).await.expect("it runs");
        assert_eq!(answer, Answer { passes: true, full_in: vec![0] });
        let state: String =
            redis::cmd("GET").arg("k").query_async(&mut redis).await.expect("it runs");
        assert!(state.len() == 19 && state.ends_with("007"), "{state}");
        let left: u64 = redis::cmd("PTTL").arg("k").query_async(&mut redis).await.expect("it runs");
        assert!(left > 3_500_000 && left <= 3_600_001, "{left}");
        let answer = Script::new().decide(&mut redis, &[ask]).await.expect("it runs");
        assert!(!answer.passes && answer.full_in[0] > hour - 100_000_000_000, "{answer:?}");
    }
}
