//! All limits of the server, and the layers that enforce them.

use std::collections::{BTreeMap, BTreeSet};

use tonic_call::{Methods, RuleError};
use tonic_ratelimit_layer::{BuildError, Limits, RateLimitLayer, RedisStore, Rule};

use super::in_flight::InFlightLimit;
use super::rate_limit::{AppliesTo, RateLimit};
use crate::auth::Auth;
use crate::status::DOMAIN;

/// Rate limits, limits of concurrent calls, and the proxies that are trusted to name clients.
#[derive(Clone, Debug)]
pub struct CallLimits {
    pub(super) before_auth: Limits,
    pub(super) after_auth: Limits,
    in_flight: Limits,
    proxies: Vec<String>,
    redis: Option<RedisStore>,
}

/// The layers of [`CallLimits`].
pub(crate) struct LimitLayers {
    /// Limits by peer address, outside authentication: a flood of invalid tokens from one address costs little.
    pub(crate) before_auth: RateLimitLayer,
    /// Inside authentication, as `after_auth`: calls that authentication refuses are not counted.
    pub(crate) in_flight: RateLimitLayer,
    /// Limits by caller, by metadata, and of all calls.
    pub(crate) after_auth: RateLimitLayer,
    /// Where rate limits are shared.
    pub(super) redis: Option<RedisStore>,
}

impl CallLimits {
    /// No limits.
    pub fn none() -> Self {
        let [before_auth, after_auth, in_flight] = [(); 3].map(|()| Limits::none());
        Self { before_auth, after_auth, in_flight, proxies: Vec::new(), redis: None }
    }

    /// The rate limits `given`, and the default for methods that none of them applies to. `proxies` are the
    /// networks of trusted proxies.
    ///
    /// # Errors
    ///
    /// A message, if `off` is not the only limit, or a limit is given twice.
    pub fn new(given: &[RateLimit], proxies: &[String], auth: Auth) -> Result<Self, String> {
        let none = Self { proxies: proxies.to_owned(), ..Self::none() };
        // Only the most specific rule of a layer applies to a call, so both layers have a rule for the same
        // methods, which may be empty in one of them.
        let mut rules = BTreeMap::<AppliesTo, (Rule, Rule)>::new();
        let mut quotas = BTreeSet::new();
        for limit in given {
            let RateLimit::Quota { applies_to, quota, by_peer, text } = limit else {
                if given.len() == 1 {
                    return Ok(none);
                }
                return Err("--limit off cannot be used with another --limit".to_owned());
            };
            let applies_to = applies_to.of_any_version();
            let of_quota = text.split_once('=').map(|(_, quota)| quota);
            if !quotas.insert((applies_to.clone(), of_quota)) {
                return Err(format!("--limit {text} is given twice"));
            }
            let (before_auth, after_auth) = rules.entry(applies_to).or_default();
            let rule = if *by_peer { before_auth } else { after_auth };
            *rule = std::mem::take(rule).and(quota.clone());
        }
        let (before_auth, after_auth) = match rules.remove(&AppliesTo::Default) {
            Some(given) => given,
            None => (Rule::unlimited(), RateLimit::default_rule(auth)?),
        };
        let mut limits = Self {
            before_auth: Limits::of(before_auth),
            after_auth: Limits::of(after_auth),
            ..none
        };
        for (applies_to, (before_auth, after_auth)) in rules {
            limits.before_auth = applies_to.add_to(limits.before_auth, before_auth);
            limits.after_auth = applies_to.add_to(limits.after_auth, after_auth);
        }
        Ok(limits)
    }

    /// Limits the number of concurrent calls.
    #[must_use]
    pub fn in_flight(self, limit: InFlightLimit, auth: Auth) -> Self {
        Self { in_flight: limit.limits(auth), ..self }
    }

    /// Shares the rate limits with the other servers that use this store.
    #[must_use]
    pub fn shared(self, redis: Option<RedisStore>) -> Self {
        Self { redis, ..self }
    }

    /// Where rate limits are shared.
    pub(crate) fn redis(&self) -> Option<&RedisStore> {
        self.redis.as_ref()
    }

    /// The layers around services with these methods. The error names the limit that is invalid.
    pub(crate) fn layers(&self, methods: &Methods) -> Result<LimitLayers, String> {
        Ok(LimitLayers {
            before_auth: self.layer(&self.before_auth, methods)?,
            in_flight: self.layer(&self.in_flight, methods)?,
            after_auth: self.layer(&self.after_auth, methods)?,
            redis: self.redis.clone(),
        })
    }

    fn layer(&self, limits: &Limits, methods: &Methods) -> Result<RateLimitLayer, String> {
        let layer = RateLimitLayer::server(limits.clone());
        let layer = layer.methods(methods).behind(&self.proxies).domain(DOMAIN);
        let layer = match &self.redis {
            Some(redis) => layer.shared(redis.clone()),
            None => layer,
        };
        layer.build().map_err(|error| match error {
            BuildError::NeverMatches(RuleError::Unknown { rule, nearest, .. }) => {
                let noun = if rule.contains('/') { "method" } else { "service" };
                let hint = nearest.map(|near| format!("; did you mean {near}?"));
                let hint = hint.unwrap_or_default();
                format!("--limit {rule}=…: this server has no such {noun}{hint}")
            }
            BuildError::NeverMatches(error) => format!("--limit {}=…: {error}", error.rule()),
            BuildError::Network(error) => {
                let text = error.text();
                format!("--behind {text}: must be a network, such as 10.0.0.0/8, or an address")
            }
            error => error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Instant;

    use tonic::body::Body;
    use tonic::codegen::Service;
    use tonic::codegen::http::{Request, Response};
    use tower::{Layer, service_fn};

    use super::*;
    use crate::service::VERSIONS;

    fn limits(given: &[&str]) -> Result<CallLimits, String> {
        let given = given.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>()?;
        let limits = CallLimits::new(&given, &[], Auth::On)?;
        let methods = Methods::from_descriptor_set(crate::FILE_DESCRIPTOR_SET).expect("good");
        limits.layers(&methods).map(|_| limits)
    }

    #[test]
    fn a_limit_is_for_a_method_a_service_or_the_others() {
        for good in [
            &[][..],
            &["off"],
            &["*=5/10"],
            &["orders.v1.OrderService=5/10:peer"],
            &["orders.v1.OrderService/GetOrder=5/10:principal"],
            &["orders.v1.OrderService/GetOrder=5/10:metadata:x-tenant"],
            // Of one method, as long as it is not the same.
            &["*=5/10", "*=5/20", "*=5/10:peer", "orders.v1.OrderService=5/10"],
            &["*=5/10:metadata:x-a", "*=5/10:metadata:x-b"],
            // Of every version: two limits.
            &["orders.v1.OrderService=5/10", "orders.v2.OrderService=50/100"],
        ] {
            assert!(limits(good).is_ok(), "{good:?}: {:?}", limits(good));
        }
    }

    #[test]
    fn what_is_wrong_with_one_is_told() {
        for (bad, why) in [
            (&[""][..], "METHODS=RATE/BURST"),
            (&["5/10"], "METHODS=RATE/BURST"),
            (&["on"], "or off"),
            (&["=5/10"], "\"\" is neither"),
            (
                &["/orders.v1.OrderService/GetOrder=5/10"],
                "\"/orders.v1.OrderService/GetOrder\" is neither",
            ),
            (&["orders.v1.OrderService/=5/10"], "\"orders.v1.OrderService/\" is neither"),
            (
                &["orders.v1.OrderService/Gone=5/10"],
                "--limit orders.v1.OrderService/Gone=…: this server has no such method",
            ),
            (&["orders.v1.Gone=5/10"], "--limit orders.v1.Gone=…: this server has no such service"),
            (&["GetOrder=5/10"], "--limit GetOrder=…: this server has no such service"),
            (&["OrderService=5/10"], "no such service; did you mean orders.v1.OrderService?"),
            (
                &["orders.v1.OrderService/GetOder=5/10"],
                "no such method; did you mean orders.v1.OrderService/GetOrder?",
            ),
            (&["orders.v1.OrderService/Get/Order=5/10"], "a name can't contain a slash"),
            (&["**=5/10"], "no such service"),
            (&["*="], "the quota \"\" is not"),
            (&["*=0/10"], "the quota \"0/10\""),
            (&["*=5/0"], "the quota \"5/0\""),
            (&["*=5/10:user"], "key \"user\""),
            (&["off", "*=5/10"], "--limit off"),
            (&["*=5/10", "off"], "--limit off"),
            (&["off", "off"], "--limit off"),
            (&["*=5/10", "*=5/10"], "--limit *=5/10 is given twice"),
            (
                &["orders.v1.OrderService=5/10", "orders.v2.OrderService=5/10"],
                "--limit orders.v2.OrderService=5/10 is given twice",
            ),
            (&["orders.v2.OrderService/Gone=5/10"], "--limit orders.v2.OrderService/Gone=…: this"),
        ] {
            let error = limits(bad).expect_err(why);
            assert!(error.contains(why), "{bad:?}: {error}");
        }
    }

    #[test]
    fn proxies_are_networks_or_addresses_with_and_without_a_limit() {
        let methods = Methods::from_descriptor_set(crate::FILE_DESCRIPTOR_SET).expect("good");
        let layer = |limit: &str, behind: &str| {
            let limits = CallLimits::new(&[limit.parse()?], &[behind.to_owned()], Auth::Off)?;
            limits.layers(&methods).map(drop)
        };
        assert_eq!(layer("*=1/1:peer", "10.0.0.0/8"), Ok(()));
        assert_eq!(layer("*=1/1:peer", "::1"), Ok(()));
        assert_eq!(layer("off", "::1"), Ok(()));
        for limit in ["*=1/1:peer", "off"] {
            let error = layer(limit, "ingress").expect_err("no network");
            assert!(error.contains("--behind ingress"), "{error}");
        }
    }

    #[test]
    fn there_is_a_default_unless_it_is_given() {
        let others = |given: &[&str], auth| {
            let given: Vec<RateLimit> =
                given.iter().map(|text| text.parse().expect("good")).collect();
            format!("{:?}", CallLimits::new(&given, &[], auth).expect("good").after_auth)
        };
        const OTHER: &str = "orders.v1.OrderService=5/10";
        assert!(others(&[OTHER], Auth::On).contains("\"2000/4000:principal\""));
        assert!(others(&[OTHER], Auth::Off).contains("\"2000/4000\""));
        for auth in [Auth::On, Auth::Off] {
            for given in [&[OTHER, "*=7/8"][..], &["off"]] {
                assert!(!others(given, auth).contains("2000/4000"), "{given:?}");
            }
        }
    }

    /// How many of so many calls pass, which all come at once, by turns in each version of the API.
    async fn passed(limits: &CallLimits, calls: usize) -> usize {
        let methods = Methods::from_descriptor_set(crate::FILE_DESCRIPTOR_SET).expect("good");
        let answer = |_| std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())));
        let layers = limits.layers(&methods).expect("good");
        let mut service = layers.after_auth.layer(service_fn(answer));
        let mut passed = 0;
        for call in 0..calls {
            let path = format!("/{}/GetOrder", VERSIONS[call % VERSIONS.len()]);
            let request = Request::post(path).body(Body::empty());
            let answer = service.call(request.expect("good")).await.expect("infallible");
            passed += usize::from(!answer.headers().contains_key("grpc-status"));
        }
        passed
    }

    #[tokio::test]
    async fn by_default_4000_pass_at_once_and_2000_each_second_and_all_if_it_is_off() {
        for auth in [Auth::On, Auth::Off] {
            let began = Instant::now();
            let passed = passed(&CallLimits::new(&[], &[], auth).expect("good"), 10_000).await;
            let most = 4_000.0 + 2_000.0 * began.elapsed().as_secs_f64();
            assert!(passed >= 4_000 && passed as f64 <= most, "{passed}, at most {most}");
        }
        assert_eq!(passed(&CallLimits::none(), 10_000).await, 10_000);
    }

    #[tokio::test]
    async fn a_limit_of_one_version_is_shared_by_all() {
        for service in VERSIONS {
            for methods in [service.to_owned(), format!("{service}/GetOrder")] {
                let given = [format!("{methods}=1/3").parse().expect("good")];
                let began = Instant::now();
                let limits = CallLimits::new(&given, &[], Auth::On).expect("good");
                let passed = passed(&limits, 20).await;
                let most = 3.0 + began.elapsed().as_secs_f64();
                assert!(passed >= 3 && passed as f64 <= most, "{methods}: {passed}");
            }
        }
    }
}
