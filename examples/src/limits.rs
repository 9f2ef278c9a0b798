//! How many calls pass: what `--limit`, `--in-flight` and `--behind` say.

mod file;
mod running;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::str::FromStr;

use tonic_call::{Methods, RuleError};
use tonic_ratelimit_layer::{BuildError, InFlight, Key, Quota, RateLimitLayer, Rule};

use crate::cli::Auth;
use crate::refusal::DOMAIN;

use file::FromFile;

/// The limit of methods that none is given for.
///
/// Who waits for each answer before the next call makes some thousand per second at most, and from afar far
/// fewer. So it is felt only by who makes many calls at the same time, and before the others feel him.
pub(crate) const DEFAULT: &str = "*=2000/4000:principal";

/// The same where nobody is asked who calls: all are on this machine, and can't be told apart.
pub(crate) const DEFAULT_OF_ANYBODY: &str = "*=2000/4000";

/// One `--limit`: `off`, `WHAT=RATE/BURST` or `WHAT=RATE/BURST:BY`.
#[derive(Clone, Debug)]
pub enum Limit {
    /// Nothing is limited.
    Off,
    /// A quota of some methods.
    Of {
        /// Which.
        what: What,
        /// Theirs.
        quota: Quota,
        /// Whether it is by address, and so asked before it is known who calls.
        by_address: bool,
        /// How it was written.
        text: String,
    },
}

/// Which methods a limit is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Those that no other limit is for.
    Others,
    /// Those of a service that no limit of their own is for.
    Service(String),
    /// One method of a service.
    Method(String, String),
}

/// `--in-flight`: how many calls may run at a time, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallsInFlight {
    /// As many as come.
    Off,
    /// So many.
    AtMost {
        /// Of one caller.
        of_one: u32,
        /// Of all together.
        of_all: u32,
    },
}

/// How many calls may run at a time where nothing else is asked for. An open call costs some 14 KB, so one
/// caller holds 14 MB, and all together 140 MB.
pub(crate) const IN_FLIGHT: &str = "1000/10000";

/// How many calls of which methods pass, and which proxies are believed.
#[derive(Clone, Debug)]
pub struct Limits {
    by_address: tonic_ratelimit_layer::Limits,
    others: tonic_ratelimit_layer::Limits,
    in_flight: tonic_ratelimit_layer::Limits,
    behind: Vec<String>,
    file: Option<FromFile>,
}

/// The same as layers.
pub(crate) struct LimitLayers {
    /// Outside of authentication, so that a flood of bad tokens from one address costs little.
    pub(crate) by_address: RateLimitLayer,
    /// Inside of it, as all that follow: calls that are refused there hold no place here.
    pub(crate) in_flight: RateLimitLayer,
    /// By who calls, by metadata, and of all.
    pub(crate) others: RateLimitLayer,
}

impl Limits {
    /// As many as come.
    pub fn off() -> Self {
        let none = tonic_ratelimit_layer::Limits::none;
        Self {
            by_address: none(),
            others: none(),
            in_flight: none(),
            behind: Vec::new(),
            file: None,
        }
    }

    /// With limits of the calls that run at a time. Without authentication all callers are on this machine, and
    /// can't be told apart.
    #[must_use]
    pub fn and_in_flight(self, calls: CallsInFlight, auth: Auth) -> Self {
        Self { in_flight: calls.limits(auth), ..self }
    }

    /// As many as these say, and by default of methods that none of them is for. `behind` are the networks of
    /// the proxies that say who calls.
    ///
    /// The error says what does not go together.
    pub fn of(given: &[Limit], behind: &[String], auth: Auth) -> Result<Self, String> {
        // The most exact rule alone counts, so each has its place in both, and may be empty in one.
        let mut rules = BTreeMap::<&What, (Rule, Rule)>::new();
        let mut texts = HashSet::new();
        for limit in given {
            let Limit::Of { what, quota, by_address, text } = limit else {
                if given.len() == 1 {
                    return Ok(Self { behind: behind.to_owned(), ..Self::off() });
                }
                return Err(
                    "--limit off limits nothing: another --limit makes no sense with it".to_owned()
                );
            };
            if !texts.insert(text) {
                return Err(format!("--limit {text} is there twice"));
            }
            let (addresses, others) = rules.entry(what).or_default();
            let rule = if *by_address { addresses } else { others };
            *rule = std::mem::take(rule).and(quota.clone());
        }
        let (addresses, others) = match rules.remove(&What::Others) {
            Some(given) => given,
            None => (Rule::unlimited(), by_default(auth)?),
        };
        let by_address = tonic_ratelimit_layer::Limits::of(addresses);
        let others = tonic_ratelimit_layer::Limits::of(others);
        let both = (by_address, others);
        let (by_address, others) =
            rules.into_iter().fold(both, |(a, o), (what, (addresses, others))| {
                (what.limited(a, addresses), what.limited(o, others))
            });
        Ok(Self { by_address, others, behind: behind.to_owned(), ..Self::off() })
    }

    /// As many as these say, and those in the file, which is read again on SIGHUP.
    ///
    /// The error says what is wrong, and in which line of the file.
    pub fn with_file(
        given: &[Limit],
        file: &Path,
        behind: &[String],
        auth: Auth,
        methods: &Methods,
    ) -> Result<Self, String> {
        let file = FromFile { path: file.to_owned(), given: given.to_owned(), auth };
        file.read(behind, methods)
    }

    /// The same, with what is in the file now; `None` if they are from none.
    pub(crate) fn again(&self, methods: &Methods) -> Option<Result<Self, String>> {
        let read = self.file.as_ref()?.read(&self.behind, methods);
        // How many calls run at a time, the file does not say.
        Some(read.map(|read| Self { in_flight: self.in_flight.clone(), ..read }))
    }

    /// As layers around services that have these methods. The error says which limit makes no sense.
    pub(crate) fn layers(&self, methods: &Methods) -> Result<LimitLayers, String> {
        Ok(LimitLayers {
            by_address: self.layer(&self.by_address, methods)?,
            in_flight: self.layer(&self.in_flight, methods)?,
            others: self.layer(&self.others, methods)?,
        })
    }

    fn layer(
        &self,
        limits: &tonic_ratelimit_layer::Limits,
        methods: &Methods,
    ) -> Result<RateLimitLayer, String> {
        let limits = RateLimitLayer::server(limits.clone());
        let limits = limits.methods(methods).behind(&self.behind).domain(DOMAIN);
        limits.build().map_err(|error| match error {
            BuildError::NeverMatches(RuleError::Unknown { rule, nearest, .. }) => {
                let kind = if rule.contains('/') { "method" } else { "service" };
                let meant = nearest.map(|near| format!("; did you mean {near}?"));
                let meant = meant.unwrap_or_default();
                format!("--limit {rule}=…: this server has no such {kind}{meant}")
            }
            BuildError::NeverMatches(error) => format!("--limit {}=…: {error}", error.rule()),
            BuildError::Network(error) => {
                let text = error.text();
                format!(
                    "--behind {text}: it is neither a network, such as 10.0.0.0/8, nor an address"
                )
            }
            error => error.to_string(),
        })
    }
}

impl What {
    /// The same limits, with that rule for these methods.
    fn limited(
        &self,
        limits: tonic_ratelimit_layer::Limits,
        rule: Rule,
    ) -> tonic_ratelimit_layer::Limits {
        match self {
            Self::Method(service, method) => limits.method(service, method, rule),
            Self::Service(service) => limits.service(service, rule),
            Self::Others => limits,
        }
    }
}

impl CallsInFlight {
    fn limits(self, auth: Auth) -> tonic_ratelimit_layer::Limits {
        let Self::AtMost { of_one, of_all } = self else {
            return tonic_ratelimit_layer::Limits::none();
        };
        let all = || Rule::from(InFlight::new(of_all));
        let calls = match auth {
            Auth::On => all().and(InFlight::new(of_one).by(Key::principal())),
            Auth::Off => all(),
        };
        // Nobody is asked who watches health or reflection, and a probe (`Check`) is always answered.
        let watchers = || all().and(InFlight::new(of_one).by(Key::peer()));
        tonic_ratelimit_layer::Limits::of(calls)
            .method("grpc.health.v1.Health", "Watch", watchers())
            .service("grpc.reflection.v1.ServerReflection", watchers())
            .service("grpc.reflection.v1alpha.ServerReflection", watchers())
    }
}

impl FromStr for CallsInFlight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|calls| *calls > 0);
        if text == "off" {
            return Ok(Self::Off);
        }
        let both = text.split_once('/').and_then(|(one, all)| number(one).zip(number(all)));
        let calls = both.map(|(of_one, of_all)| Self::AtMost { of_one, of_all });
        calls.ok_or_else(|| {
            format!("{text:?} is not PER_CALLER/ALL, such as {IN_FLIGHT}, of 1 or more; nor off")
        })
    }
}

fn by_default(auth: Auth) -> Result<Rule, String> {
    let text = match auth {
        Auth::On => DEFAULT,
        Auth::Off => DEFAULT_OF_ANYBODY,
    };
    Ok(match text.parse()? {
        Limit::Of { quota, .. } => quota.into(),
        Limit::Off => Rule::unlimited(),
    })
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let (what, quota) = text.split_once('=').ok_or(
            "a limit is WHAT=RATE/BURST or WHAT=RATE/BURST:BY, such as \
             orders.v1.OrderService/GetOrder=5/10:principal; or off",
        )?;
        let what = match what.split_once('/') {
            _ if what == "*" => What::Others,
            Some((service, method)) if !service.is_empty() && !method.is_empty() => {
                What::Method(service.to_owned(), method.to_owned())
            }
            None if !what.is_empty() => What::Service(what.to_owned()),
            _ => {
                return Err(format!(
                    "{what:?} is neither a method, such as orders.v1.OrderService/GetOrder, nor a service, nor *"
                ));
            }
        };
        // Named as it is written, two of one method can be told from each other.
        let named = quota.parse::<Quota>().map_err(|error| error.to_string())?.named(quota);
        let by_address = quota.split_once(':').is_some_and(|(_, by)| by == "peer");
        Ok(Self::Of { what, quota: named, by_address, text: text.to_owned() })
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

    fn limits(given: &[&str]) -> Result<Limits, String> {
        let given = given.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>()?;
        let limits = Limits::of(&given, &[], Auth::On)?;
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
        ] {
            assert!(limits(good).is_ok(), "{good:?}: {:?}", limits(good));
        }
    }

    /// Guards against: a limit by the value of some metadata that a stranger chooses, outside of authentication.
    #[test]
    fn only_a_limit_by_peer_is_asked_before_it_is_known_who_calls() {
        for (text, expected) in [
            ("*=5/10:peer", true),
            ("orders.v1.OrderService=5/10:peer", true),
            ("*=5/10", false),
            ("*=5/10:principal", false),
            ("*=5/10:metadata:peer", false),
        ] {
            let Limit::Of { by_address, .. } = text.parse().expect("good") else {
                panic!("{text}")
            };
            assert_eq!(by_address, expected, "{text}");
        }
    }

    #[test]
    fn so_many_calls_in_flight_are_two_numbers_or_off() {
        let good = CallsInFlight::AtMost { of_one: 1, of_all: 20 };
        assert_eq!("1/20".parse(), Ok(good));
        assert_eq!("off".parse(), Ok(CallsInFlight::Off));
        assert!(IN_FLIGHT.parse::<CallsInFlight>().is_ok());
        for bad in ["", "1", "/", "1/", "/1", "0/1", "1/0", "-1/1", "1/2/3", "4294967296/1", "on"] {
            let told = bad.parse::<CallsInFlight>().expect_err(bad);
            assert!(told.contains("PER_CALLER/ALL"), "{bad}: {told}");
        }
    }

    #[test]
    fn what_is_wrong_with_one_is_told() {
        for (bad, why) in [
            (&[""][..], "WHAT=RATE/BURST"),
            (&["5/10"], "WHAT=RATE/BURST"),
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
            (&["orders.v1.OrderService/Get/Order=5/10"], "a name has no slash in it"),
            (&["**=5/10"], "no such service"),
            (&["*="], "the quota \"\" is not"),
            (&["*=0/10"], "the quota \"0/10\""),
            (&["*=5/0"], "the quota \"5/0\""),
            (&["*=5/10:user"], "key \"user\""),
            (&["off", "*=5/10"], "--limit off"),
            (&["*=5/10", "off"], "--limit off"),
            (&["off", "off"], "--limit off"),
            (&["*=5/10", "*=5/10"], "--limit *=5/10 is there twice"),
        ] {
            let told = limits(bad).expect_err(why);
            assert!(told.contains(why), "{bad:?}: {told}");
        }
    }

    #[test]
    fn proxies_are_networks_or_addresses_with_and_without_a_limit() {
        let methods = Methods::from_descriptor_set(crate::FILE_DESCRIPTOR_SET).expect("good");
        let layer = |limit: &str, behind: &str| {
            let limits = Limits::of(&[limit.parse()?], &[behind.to_owned()], Auth::Off)?;
            limits.layers(&methods).map(drop)
        };
        assert_eq!(layer("*=1/1:peer", "10.0.0.0/8"), Ok(()));
        assert_eq!(layer("*=1/1:peer", "::1"), Ok(()));
        assert_eq!(layer("off", "::1"), Ok(()));
        for limit in ["*=1/1:peer", "off"] {
            let told = layer(limit, "ingress").expect_err("no network");
            assert!(told.contains("--behind ingress"), "{told}");
        }
    }

    #[test]
    fn there_is_a_default_unless_it_is_given() {
        let others = |given: &[&str], auth| {
            let given: Vec<Limit> = given.iter().map(|text| text.parse().expect("good")).collect();
            format!("{:?}", Limits::of(&given, &[], auth).expect("good").others)
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

    /// How many of so many calls pass, which all come at once.
    async fn passed(limits: &Limits, calls: usize) -> usize {
        let methods = Methods::from_descriptor_set(crate::FILE_DESCRIPTOR_SET).expect("good");
        let answer = |_| std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())));
        let layers = limits.layers(&methods).expect("good");
        let mut service = layers.others.layer(service_fn(answer));
        let mut passed = 0;
        for _ in 0..calls {
            let request = Request::post("/orders.v1.OrderService/GetOrder").body(Body::empty());
            let answer = service.call(request.expect("good")).await.expect("infallible");
            passed += usize::from(!answer.headers().contains_key("grpc-status"));
        }
        passed
    }

    #[tokio::test]
    async fn by_default_4000_pass_at_once_and_2000_each_second_and_all_if_it_is_off() {
        for auth in [Auth::On, Auth::Off] {
            let began = Instant::now();
            let passed = passed(&Limits::of(&[], &[], auth).expect("good"), 10_000).await;
            let most = 4_000.0 + 2_000.0 * began.elapsed().as_secs_f64();
            assert!(passed >= 4_000 && passed as f64 <= most, "{passed}, at most {most}");
        }
        assert_eq!(passed(&Limits::off(), 10_000).await, 10_000);
    }
}
