//! Which service configs are accepted, what they say of a call, and which field an error names.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tonic::Code;
use tonic_call::{ConfigError, LoadBalancing, MethodConfig, Rpc, ServiceConfig};
use tonic_call_test_kit::{Lines, methods};

/// The one that guides of gRPC show.
const ORDERS: &str = include_str!("service_config/orders.json");

fn read(config: &Value) -> Result<ServiceConfig, ConfigError> {
    ServiceConfig::from_json(&config.to_string())
}

/// One entry for all calls.
fn for_all(entry: &Value) -> Result<ServiceConfig, ConfigError> {
    let mut entry = entry.clone();
    entry["name"] = json!([{}]);
    read(&json!({ "methodConfig": [entry] }))
}

fn policy() -> Value {
    json!({
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    })
}

fn method<'a>(config: &'a ServiceConfig, path: &str) -> Option<&'a MethodConfig> {
    config.method(&Rpc::from_uri(&path.parse().unwrap()))
}

#[track_caller]
fn assert_error(result: Result<ServiceConfig, ConfigError>, path: &str, text: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.path(), error.to_string()), (path, text.to_owned()));
}

#[test]
fn the_config_of_the_guides_is_read() {
    let config = ServiceConfig::from_json(ORDERS).unwrap();
    assert_eq!(config.load_balancing(), Some(LoadBalancing::RoundRobin));
    assert_eq!(config.retry_throttling(), None);
    let create = method(&config, "/orders.v1.OrderService/CreateOrder").unwrap();
    let retry = create.retry_policy().unwrap();
    assert_eq!(retry.max_attempts(), 4);
    assert_eq!(retry.initial_backoff(), Duration::from_millis(100));
    assert_eq!(retry.max_backoff(), Duration::from_secs(1));
    assert!((retry.backoff_multiplier() - 2.0).abs() < f64::EPSILON);
    let codes: Vec<_> = retry.retryable_codes().collect();
    assert_eq!(codes, [Code::DeadlineExceeded, Code::Unavailable]);
    assert!(retry.is_retryable(Code::Unavailable) && !retry.is_retryable(Code::Internal));
    assert_eq!((create.timeout(), create.wait_for_ready()), (None, None));
    assert!(method(&config, "/orders.v1.Other/Get").is_none());
}

#[test]
fn every_other_field_is_read() {
    let config = read(&json!({
        "methodConfig": [{
            "name": [{ "service": "a.B" }],
            "timeout": "2.5s",
            "waitForReady": true,
            "maxRequestMessageBytes": 1024,
            "maxResponseMessageBytes": "4294967295",
        }],
        "retryThrottling": { "maxTokens": 10, "tokenRatio": 0.1 },
        "loadBalancingConfig": [{ "xds_new": {} }, { "pick_first": { "shuffleAddressList": true } }],
    }));
    let config = config.unwrap();
    let entry = method(&config, "/a.B/C").unwrap();
    assert_eq!(entry.timeout(), Some(Duration::from_millis(2_500)));
    assert_eq!(entry.wait_for_ready(), Some(true));
    assert_eq!(entry.max_request_message_bytes(), Some(1_024));
    assert_eq!(entry.max_response_message_bytes(), Some(u64::from(u32::MAX)));
    assert_eq!(entry.retry_policy(), None);
    let throttling = config.retry_throttling().unwrap();
    assert_eq!((throttling.max_tokens(), throttling.token_ratio_thousandths()), (10, 100));
    assert_eq!(config.load_balancing(), Some(LoadBalancing::PickFirst));
    let timeouts = config.timeouts();
    let timeout = |path: &'static str| *timeouts.get(&Rpc::from_uri(&path.parse().unwrap()));
    assert_eq!(timeout("/a.B/D"), Some(Duration::from_millis(2_500)));
    assert_eq!(timeout("/a.C/D"), None);
}

#[test]
fn the_entry_with_the_most_specific_name_counts_alone() {
    let config = read(&json!({ "methodConfig": [
        { "name": [{}], "timeout": "1s", "waitForReady": true },
        { "name": [{ "service": "a.B", "method": "" }], "timeout": "2s" },
        { "name": [{ "service": "a.B", "method": "C" }, { "service": "a.D", "method": null }] },
        { "name": [], "timeout": "4s" },
        { "timeout": "5s" },
    ] }));
    let config = config.unwrap();
    for (path, seconds, waits) in [
        ("/a.B/C", None, None),
        ("/a.B/X", Some(2), None),
        ("/a.D/X", None, None),
        ("/a.E/X", Some(1), Some(true)),
        ("/not/a/call", Some(1), Some(true)),
    ] {
        let entry = method(&config, path).unwrap();
        assert_eq!(entry.timeout(), seconds.map(Duration::from_secs), "{path}");
        assert_eq!(entry.wait_for_ready(), waits, "{path}");
    }
    let empty = "{}".parse::<ServiceConfig>().unwrap();
    assert!(method(&empty, "/a.B/C").is_none());
    assert!(method(&ServiceConfig::default(), "/a.B/C").is_none());
}

#[test]
fn a_name_that_does_not_exist_or_is_there_twice_is_an_error() {
    let names =
        |names: Value| read(&json!({ "methodConfig": [{ "name": [{}] }, { "name": names }] }));
    assert_error(
        names(json!([{ "service": "a.B" }, { "service": "", "method": null }])),
        "methodConfig[1].name[1]",
        "methodConfig[1].name[1]: is the same name as methodConfig[0].name[0]",
    );
    let twice = json!({ "service": "a.B", "method": "C" });
    assert_error(
        names(json!([twice, { "service": "a.B" }, twice])),
        "methodConfig[1].name[2]",
        "methodConfig[1].name[2]: is the same name as methodConfig[1].name[0]",
    );
    assert_error(
        names(json!([{ "method": "C" }])),
        "methodConfig[1].name[0]",
        "methodConfig[1].name[0]: has a method and no service",
    );
    let slash = names(json!([{ "service": "a.B/C" }])).unwrap_err();
    assert_eq!(slash.path(), "methodConfig[1].name[0]");
    let number = names(json!([{ "service": 7 }])).unwrap_err();
    assert_eq!(number.path(), "methodConfig[1].name[0].service");

    let known = names(json!([{ "service": "test.v1.Kinds", "method": "Unary" }])).unwrap();
    assert_eq!(known.methods().check(&methods()), Ok(()));
    let unknown = names(json!([{ "service": "test.v1.Kinds", "method": "Unnary" }])).unwrap();
    assert_eq!(unknown.methods().check(&methods()).unwrap_err().rule(), "test.v1.Kinds/Unnary");
}

#[test]
fn a_retry_policy_is_validated_as_a6_says() {
    let at = "methodConfig[0].retryPolicy";
    for (field, value, problem) in [
        ("maxAttempts", json!(1), "must be an integer of at least 2"),
        ("maxAttempts", json!(-3), "must be an integer of at least 2"),
        ("maxAttempts", json!(2.5), "must be an integer of at least 2"),
        ("maxAttempts", json!("4"), "must be an integer, and is a string"),
        ("initialBackoff", json!("0s"), "must be more than zero"),
        ("initialBackoff", json!("-1s"), r#"is not a duration, such as "1.5s": "-1s""#),
        ("initialBackoff", json!(1), r#"must be a duration, such as "1.5s", and is a number"#),
        ("maxBackoff", json!("0.000s"), "must be more than zero"),
        ("maxBackoff", json!("1m"), r#"is not a duration, such as "1.5s": "1m""#),
        ("backoffMultiplier", json!(0), "must be more than zero"),
        ("backoffMultiplier", json!(-2.0), "must be more than zero"),
        ("backoffMultiplier", json!("2"), "must be a number, and is a string"),
        ("retryableStatusCodes", json!([]), "must not be empty"),
        ("retryableStatusCodes", json!("UNAVAILABLE"), "must be a list, and is a string"),
    ] {
        let mut retry = policy();
        retry[field] = value;
        let path = format!("{at}.{field}");
        assert_error(
            for_all(&json!({ "retryPolicy": retry })),
            &path,
            &format!("{path}: {problem}"),
        );
    }
    for field in
        ["maxAttempts", "initialBackoff", "maxBackoff", "backoffMultiplier", "retryableStatusCodes"]
    {
        let mut retry = policy();
        retry[field] = Value::Null;
        let error = format!("{at}: has no `{field}`, which is required");
        assert_error(for_all(&json!({ "retryPolicy": retry })), at, &error);
    }
    // The limit of five is the client's own: a higher number is no error.
    let mut retry = policy();
    retry["maxAttempts"] = json!(100);
    let config = for_all(&json!({ "retryPolicy": retry })).unwrap();
    assert_eq!(method(&config, "/a.B/C").unwrap().retry_policy().unwrap().max_attempts(), 100);
}

#[test]
fn a_status_code_is_a_name_in_any_case_or_a_number() {
    let with = |codes: &Value| {
        let mut retry = policy();
        retry["retryableStatusCodes"] = codes.clone();
        for_all(&json!({ "retryPolicy": retry }))
    };
    for code in [json!("UNAVAILABLE"), json!("unavailable"), json!("Unavailable"), json!(14)] {
        let config = with(&json!([code, code])).unwrap();
        let entry = method(&config, "/a.B/C").unwrap();
        let codes: Vec<_> = entry.retry_policy().unwrap().retryable_codes().collect();
        assert_eq!(codes, [Code::Unavailable], "{code}");
    }
    for (code, problem) in [
        (json!("UNAVAILABL"), r#""UNAVAILABL" is not a status code of gRPC"#),
        (json!("14"), r#""14" is not a status code of gRPC"#),
        (json!(17), r#""17" is not a status code of gRPC"#),
        (json!(-1), r#""-1" is not a status code of gRPC"#),
        (json!(14.5), r#""14.5" is not a status code of gRPC"#),
        (json!("OK"), "OK is not a failure"),
        (json!(0), "OK is not a failure"),
        (json!(true), "must be the name or number of a status code, and is a boolean"),
    ] {
        let path = "methodConfig[0].retryPolicy.retryableStatusCodes[1]";
        assert_error(with(&json!([2, code])), path, &format!("{path}: {problem}"));
    }
}

#[test]
fn throttling_is_validated_as_a6_says() {
    let with = |tokens: Value, ratio: Value| {
        read(&json!({ "retryThrottling": { "maxTokens": tokens, "tokenRatio": ratio } }))
    };
    for (ratio, thousandths) in [
        (0.1, 100),
        (0.001, 1),
        (0.007, 7),
        (1.0, 1_000),
        (0.0019, 1),
        (0.5559, 555),
        (1e9, 10_000),
    ] {
        let throttling = with(json!(10), json!(ratio)).unwrap().retry_throttling().unwrap();
        assert_eq!(throttling.token_ratio_thousandths(), thousandths, "{ratio}");
    }
    for (tokens, ratio, path, problem) in [
        (json!(0), json!(1), "maxTokens", "must be an integer of at least 1"),
        (json!(1_001), json!(1), "maxTokens", "must be at most 1000"),
        (json!(10.5), json!(1), "maxTokens", "must be an integer of at least 1"),
        (json!(10), json!(0), "tokenRatio", "must be more than zero"),
        (
            json!(10),
            json!(0.0009),
            "tokenRatio",
            "must be at least 0.001: further decimals are ignored",
        ),
    ] {
        let path = format!("retryThrottling.{path}");
        assert_error(with(tokens, ratio), &path, &format!("{path}: {problem}"));
    }
    assert!(with(json!(1_000), json!(1)).is_ok());
}

#[test]
fn of_the_balancing_policies_the_first_known_one_is_used() {
    let with = |policies: Value| read(&json!({ "loadBalancingConfig": policies }));
    let policies = json!([{ "a": {} }, { "round_robin": {} }, { "pick_first": 1 }]);
    assert_eq!(with(policies).unwrap().load_balancing(), Some(LoadBalancing::RoundRobin));
    assert_eq!(read(&json!({})).unwrap().load_balancing(), None);
    let unknown = "has no known policy: `pick_first` and `round_robin` are known";
    for (policies, path, problem) in [
        (json!([]), "", unknown),
        (json!([{ "grpclb": {} }]), "", unknown),
        (json!([{}]), "[0]", "must have exactly one field"),
        (json!([{ "a": {}, "b": {} }]), "[0]", "must have exactly one field"),
        (json!([{ "pick_first": [] }]), "[0].pick_first", "must be an object, and is a list"),
        (json!({}), "", "must be a list, and is an object"),
    ] {
        let path = format!("loadBalancingConfig{path}");
        assert_error(with(policies), &path, &format!("{path}: {problem}"));
    }
}

#[test]
fn other_wrong_values_are_errors_too() {
    for (field, value, problem) in [
        ("timeout", json!("0s"), "must be more than zero"),
        ("timeout", json!("1"), r#"is not a duration, such as "1.5s": "1""#),
        ("waitForReady", json!("true"), "must be a boolean, and is a string"),
        ("maxRequestMessageBytes", json!(-1), "must be an integer of at least 0"),
        ("maxResponseMessageBytes", json!("+1"), "must be an integer of at least 0"),
        ("retryPolicy", json!([]), "must be an object, and is a list"),
        ("hedgingPolicy", json!({ "maxAttempts": 2 }), "hedging is not supported"),
    ] {
        let path = format!("methodConfig[0].{field}");
        assert_error(for_all(&json!({ field: value })), &path, &format!("{path}: {problem}"));
    }
    assert_error(read(&json!([])), "", "the service config must be an object, and is a list");
    let health = read(&json!({ "healthCheckConfig": { "serviceName": 7 } })).unwrap_err();
    assert_eq!(health.path(), "healthCheckConfig.serviceName");
    let not_json = ServiceConfig::from_json("{\"a\": }").unwrap_err().to_string();
    assert!(not_json.starts_with("the service config is not JSON: "), "{not_json}");
    assert!(not_json.ends_with("at line 1 column 7"), "{not_json}");
}

#[test]
fn the_older_field_for_balancing_counts_without_the_newer_one() {
    let older = |name: Value| read(&json!({ "loadBalancingPolicy": name }));
    assert_eq!(
        older(json!("ROUND_ROBIN")).unwrap().load_balancing(),
        Some(LoadBalancing::RoundRobin)
    );
    let both = json!({
        "loadBalancingPolicy": "round_robin",
        "loadBalancingConfig": [{ "pick_first": {} }],
    });
    assert_eq!(read(&both).unwrap().load_balancing(), Some(LoadBalancing::PickFirst));
    let path = "loadBalancingPolicy";
    let unknown = "is no known policy: `pick_first` and `round_robin` are known";
    assert_error(older(json!("grpclb")), path, &format!("{path}: {unknown}"));
    assert_error(older(json!(1)), path, &format!("{path}: must be a string, and is a number"));
}

#[test]
fn health_checks_are_on_exactly_with_a_service_name() {
    let of = |health: Value| {
        let config = read(&json!({ "healthCheckConfig": health })).unwrap();
        config.health_check().map(str::to_owned)
    };
    assert_eq!(
        of(json!({ "serviceName": "orders.v1.OrderService" })).unwrap(),
        "orders.v1.OrderService"
    );
    assert_eq!(of(json!({ "serviceName": "" })).unwrap(), "");
    assert_eq!(of(json!({})), None);
    assert_eq!(of(json!(null)), None);
}

#[test]
fn unknown_fields_are_ignored() {
    let lines = Lines::default();
    let _collecting = lines.collect();
    let entry = json!({ "name": [{ "service": "a.B", "x": 1 }], "y": {} });
    assert!(read(&json!({ "methodConfig": [entry], "z": [] })).is_ok());
    assert_eq!(lines.text(), "");
}

/// JSON of any shape, with the fields of a service config.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[-0-9.s]{0,8}|UNAVAILABLE|.{0,4}".prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "methodConfig",
        "name",
        "service",
        "method",
        "timeout",
        "waitForReady",
        "maxRequestMessageBytes",
        "retryPolicy",
        "maxAttempts",
        "initialBackoff",
        "maxBackoff",
        "backoffMultiplier",
        "retryableStatusCodes",
        "retryThrottling",
        "maxTokens",
        "tokenRatio",
        "loadBalancingConfig",
        "pick_first",
        "healthCheckConfig",
        "loadBalancingPolicy",
    ]);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let fields = prop::collection::vec((names.clone(), inner.clone()), 0..6);
        let object = fields.prop_map(|fields| {
            Value::Object(
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            )
        });
        prop_oneof![object, prop::collection::vec(inner, 0..4).prop_map(Value::from)]
    })
}

proptest! {
    #[test]
    fn no_json_panics(config in any_json(), entry in any_json()) {
        let _ = read(&config);
        let _ = read(&json!({ "methodConfig": [{ "name": [{}], "retryPolicy": entry }] }));
        let _ = read(&json!({ "methodConfig": [entry], "retryThrottling": entry }));
        let _ = read(&json!({ "loadBalancingConfig": [entry] }));
    }

    #[test]
    fn no_text_panics(text in ".{0,64}") {
        let _ = ServiceConfig::from_json(&text);
    }
}
