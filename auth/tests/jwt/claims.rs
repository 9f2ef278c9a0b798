//! Claims in an application's type, which are deserialized once per token.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Deserializer};
use serde_json::json;
use tonic::Code;
use tonic_auth_layer::jwt::{Issuer, Jwt};
use tonic_auth_layer::{
    Access, AuthLayer, Authenticate, Authenticating, Identity, Incoming, MAX_RECEIVED_BYTES,
    Outcome, WallClock, all_of, authenticate_fn,
};
use tonic_call::Rpc;

use crate::common::{UNARY, call_as};
use crate::jwt_support::*;

thread_local! {
    /// How often this test has deserialized claims.
    static READ: Cell<usize> = const { Cell::new(0) };
}

#[derive(Debug, PartialEq)]
struct Employee {
    tenant: String,
    level: u8,
}

impl<'de> Deserialize<'de> for Employee {
    fn deserialize<D: Deserializer<'de>>(claims: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Claims {
            tenant: String,
            level: u8,
        }
        READ.set(READ.get() + 1);
        let Claims { tenant, level } = Claims::deserialize(claims)?;
        assert_ne!(tenant, "panic", "on purpose");
        Ok(Self { tenant, level })
    }
}

fn issuer() -> Issuer {
    Jwt::keys(ISSUER, [Signer::secret(SECRET).key()]).audience(AUDIENCE)
}

fn employees() -> Jwt {
    issuer().claims_as::<Employee>().build().unwrap()
}

fn token(claims: serde_json::Value) -> String {
    Signer::secret(SECRET).token(claims)
}

fn ann() -> String {
    token(json!({ "tenant": "shop", "level": 3 }))
}

#[test]
fn claims_are_read_once_and_remembered() {
    let jwt = employees();
    let (ann, bob) = (ann(), token(json!({ "tenant": "bank", "level": 4, "x": [] })));
    for _ in 0..3 {
        let caller = passes(ask(&jwt, &ann));
        let own = caller.data::<Employee>();
        assert_eq!(own, Some(&Employee { tenant: "shop".to_owned(), level: 3 }));
        assert_eq!(caller.claims().unwrap()["level"], 3);
        assert!(caller.data::<serde_json::Value>().is_none(), "of another type there is none");
    }
    assert_eq!(READ.get(), 1);
    for _ in 0..3 {
        assert_eq!(passes(ask(&jwt, &bob)).data::<Employee>().unwrap().tenant, "bank");
    }
    assert_eq!(READ.get(), 2);
    // Without a cache they are deserialized for each call; without `claims_as` they are not.
    let forgets = Jwt::builder().issuer(issuer().claims_as::<Employee>()).cache(0).build().unwrap();
    for read in 3..6 {
        passes(ask(&forgets, &ann));
        assert_eq!(READ.get(), read);
    }
    assert!(passes(ask(&by_secret(), &ann)).data::<Employee>().is_none());
    assert_eq!(READ.get(), 5);
}

#[test]
fn a_remembered_token_with_claims_of_ones_own_costs_no_allocation() {
    let jwt = employees();
    let ann = ann();
    passes(ask(&jwt, &ann));
    let parts = call(&[format!("Bearer {ann}").as_bytes()], Some("192.0.2.1:1"));
    let rpc = Rpc::from_head(&parts);
    let incoming = Incoming::new(&parts, &rpc, at(NOW as f64));
    let counted = allocation_counter::measure(|| {
        let asked = jwt.authenticate(&incoming);
        let Authenticating::Ready(Outcome::Identified { identity, cached: true }) = asked else {
            panic!("it is remembered")
        };
        assert!(identity.data::<Employee>().is_some());
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn claims_that_do_not_fit_are_refused_and_never_remembered() {
    let jwt = employees();
    for (claims, says) in [
        (json!({ "level": 3 }), "missing field `tenant`"),
        (json!({ "tenant": "shop", "level": true }), "invalid type: boolean `true`, expected u8"),
        (json!({ "tenant": [], "level": 3 }), "invalid type: sequence, expected a string"),
    ] {
        let (unfit, read) = (token(claims), READ.get());
        for _ in 0..2 {
            let failed = failure(ask(&jwt, &unfit));
            assert_eq!(failed.reason().as_str(), "TOKEN_INVALID");
            assert_eq!(failed.check(), "claims");
            assert_eq!(failed.expected_value(), Some("jwt::claims::Employee"));
            assert_eq!(failed.received_value(), Some(says));
        }
        assert_eq!(READ.get(), read + 2);
    }
}

#[test]
fn what_serde_says_of_a_claim_is_short_and_on_one_line() {
    let jwt = employees();
    for odd in ["x".repeat(4_000), "é".repeat(2_000), "\n\u{1b}[31m\0".repeat(200)] {
        let unfit = token(json!({ "tenant": "shop", "level": odd }));
        let failed = failure(ask(&jwt, &unfit));
        let received = failed.received_value().unwrap();
        assert!(received.starts_with("invalid type: string"), "{received}");
        assert!(received.len() <= MAX_RECEIVED_BYTES + '…'.len_utf8(), "{received}");
        assert!(!received.contains(char::is_control), "{received}");
        // The text contains nothing of the encoded token.
        assert!(unfit.split('.').all(|part| !received.contains(&part[..8])), "{received}");
    }
}

#[test]
fn claims_are_read_last_and_of_good_tokens_alone() {
    let jwt = employees();
    let good = json!({ "tenant": "shop", "level": 3 });
    let mut odd_scope = good.clone();
    odd_scope["scope"] = 7.into();
    invalid_by(ask(&jwt, &Signer::secret(&[7; 32]).token(good.clone())), "signature");
    invalid_by(ask(&jwt, &token(odd_scope)), "scope");
    assert_eq!(READ.get(), 0);
    // The revocation check can use them.
    let revoked = |caller: &Identity| caller.data::<Employee>().unwrap().level == 3;
    let jwt = Jwt::builder().issuer(issuer().claims_as::<Employee>()).revoked(revoked);
    invalid_by(ask(&jwt.build().unwrap(), &token(good)), "revoked");
}

#[test]
fn each_issuer_has_a_type_of_its_own() {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct All(serde_json::Map<String, serde_json::Value>);

    #[derive(Deserialize)]
    struct Wrapped(Option<Level>);

    #[derive(Deserialize)]
    struct Level {
        level: u8,
    }

    let key = || [Signer::secret(SECRET).key()];
    let jwt = Jwt::builder()
        .issuer(issuer().claims_as::<Employee>())
        .issuer(Jwt::keys("all", key()).audience(AUDIENCE).claims_as::<All>())
        .issuer(Jwt::keys("level", key()).audience(AUDIENCE).claims_as::<Wrapped>())
        .build()
        .unwrap();
    let of = |issuer: &str| token(json!({ "iss": issuer, "tenant": "shop", "level": 3 }));
    assert!(passes(ask(&jwt, &of(ISSUER))).data::<Employee>().is_some());
    let all = passes(ask(&jwt, &of("all")));
    assert!(all.data::<Employee>().is_none());
    assert_eq!(all.data::<All>().unwrap().0["tenant"], "shop");
    let wrapped = passes(ask(&jwt, &of("level")));
    assert_eq!(wrapped.data::<Wrapped>().unwrap().0.as_ref().unwrap().level, 3);
    // The same as when they are read from an identity.
    assert_eq!(wrapped.claims_as::<All>().unwrap().0["iss"], "level");
    assert_eq!(wrapped.claims_as::<Wrapped>().unwrap().0.unwrap().level, 3);
    assert!(Identity::new("x").claims_as::<Level>().is_err(), "where there are none");
}

/// Guards against: serde_json's features `arbitrary_precision` and `raw_value`, which another crate of the program
/// can enable, and which make serde_json read an object from an untrusted token as another value.
#[test]
fn rule_06_an_object_with_a_private_name_of_serde_json_is_an_object_for_checks_and_handlers() {
    let hostile = [
        json!({ "$serde_json::private::Number": "7" }),
        json!({ "$serde_json::private::RawValue": "{\"admin\":true}" }),
    ];
    for object in hostile {
        let caller = passes(ask(&by_secret(), &token(json!({ "x": [object], "level": 3.5 }))));
        assert_eq!(caller.claims().unwrap()["x"][0], object);
        assert_eq!(caller.claims().unwrap()["level"], 3.5);
        // A type that contains a `Value` would get a number, or the object in the text.
        assert!(caller.claims_as::<serde_json::Value>().is_err());
        let typed = issuer().claims_as::<serde_json::Value>().build().unwrap();
        invalid_by(ask(&typed, &token(json!({ "x": [object] }))), "claims");
        for time in ["exp", "nbf", "iat"] {
            invalid_by(ask(&by_secret(), &token(json!({ time: object }))), time);
        }
        for text in ["sub", "aud", "scope"] {
            invalid_by(ask(&by_secret(), &token(json!({ text: object }))), text);
        }
    }
}

#[tokio::test]
async fn a_panic_in_reading_claims_refuses_the_call_and_spoils_nothing() {
    tonic_call_test_kit::silence_panics();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    let layer = AuthLayer::new(employees()).with_clock(WallClock::new(|| at(NOW as f64)));
    let layer = layer.on_decision(move |decision| hook.lock().unwrap().push(decision.result()));
    let layer = layer.build().unwrap();
    let panics = token(json!({ "tenant": "panic", "level": 3 }));
    for _ in 0..2 {
        let called = call_as(&layer, UNARY, &panics).await;
        called.is_refused(Code::Unavailable, "VERIFIER_UNAVAILABLE");
        assert!(called.call.panic().is_some());
        let seen = call_as(&layer, UNARY, &ann()).await.passed();
        assert!(seen.identity.unwrap().data::<Employee>().is_some());
    }
    let unavailable = "VERIFIER_UNAVAILABLE";
    assert_eq!(*told.lock().unwrap(), [unavailable, "passed", unavailable, "passed"]);
}

#[tokio::test]
async fn rules_and_handlers_find_them() {
    let both = all_of(employees()).and(authenticate_fn(|_| Identity::new("other").with_data(7_u8)));
    let layer = AuthLayer::new(both).with_clock(WallClock::new(|| at(NOW as f64)));
    let level = Access::function("level", |caller, _| {
        caller.data::<Employee>().is_some_and(|employee| employee.level > 2)
    });
    let layer = layer.default_access(level).build().unwrap();
    for _ in 0..2 {
        let caller = call_as(&layer, UNARY, &ann()).await.passed().identity.unwrap();
        assert_eq!(caller.data::<Employee>().unwrap().tenant, "shop");
        assert_eq!(caller.also()[0].data::<u8>(), Some(&7));
        let low = token(json!({ "tenant": "shop", "level": 2 }));
        call_as(&layer, UNARY, &low).await.is_refused(Code::PermissionDenied, "ACCESS_DENIED");
    }
}
