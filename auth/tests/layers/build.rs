//! Configuration errors are reported when the layer is built. Each test is a rule.

use tonic::Code;
use tonic_auth_layer::{Access, AuthBuilder, BuildError};
use tonic_call::Methods;

use crate::common::{Lines, UNARY, builder, call, call_as};

fn methods() -> Methods {
    Methods::from_descriptor_set(tonic_call_test_kit::FILE_DESCRIPTOR_SET).unwrap()
}

fn error(builder: AuthBuilder) -> String {
    builder.build().unwrap_err().to_string()
}

#[test]
fn f01_a_rule_for_a_method_that_does_not_exist_is_named() {
    let rule = builder().methods(&methods()).method("test.v1.Kinds", "Unnary", Access::public());
    assert!(error(rule).contains("\"test.v1.Kinds/Unnary\""));
    let rule = builder().methods(&methods()).service("test.v1.Kind", Access::public());
    assert!(error(rule).contains("\"test.v1.Kind\""));
    // In any order of the setters.
    let rule = builder().method("test.v1.Kinds", "Unnary", Access::public()).methods(&methods());
    assert!(matches!(rule.build(), Err(BuildError::NeverMatches(_))));
    let rule = builder().methods(&methods()).service("Kinds", Access::public());
    assert!(error(rule).contains("did you mean \"test.v1.Kinds\"?"));
    // Health and reflection are always known.
    let rule = builder().methods(&methods()).service("grpc.health.v1.Health", Access::public());
    assert!(rule.build().is_ok());
}

#[test]
fn f02_every_method_ruled_names_all_that_are_not() {
    let some = || {
        builder()
            .methods(&methods())
            .every_method_ruled()
            .method("test.v1.Kinds", "Unary", Access::public())
            .method("test.v1.Kinds", "Peek", Access::authenticated())
    };
    assert_eq!(
        error(some()),
        "no access rule for test.v1.Kinds/ClientStream, test.v1.Kinds/ServerStream, \
         test.v1.Kinds/BidiStream"
    );
    assert!(some().service("test.v1.Kinds", Access::authenticated()).build().is_ok());
}

#[test]
fn f03_every_method_ruled_needs_to_know_which_there_are() {
    assert_eq!(builder().every_method_ruled().build().unwrap_err(), BuildError::NoMethods);
}

#[test]
fn f04_a_rule_that_nobody_can_meet_is_an_error() {
    let none = std::iter::empty::<&str>;
    for access in [
        Access::scope(""),
        Access::scope("orders.read orders.write"),
        Access::scope("a\"b"),
        Access::scope("a\\b"),
        Access::scope("grüße"),
        Access::all_scopes(none()),
        Access::any_scope(none()),
    ] {
        let rule = builder().method("a.B", "C", access.clone());
        assert!(error(rule).starts_with("the rule for a.B/C requires"), "{access:?}");
        assert!(error(builder().service("a.B", access.clone())).contains("a.B"));
        assert!(error(builder().default_access(access)).contains("every other method"));
    }
}

#[test]
fn f05_two_rules_for_the_same_are_an_error_even_if_they_say_the_same() {
    for describe in [false, true] {
        let builder = || if describe { builder().methods(&methods()) } else { builder() };
        let unary = |builder: AuthBuilder| {
            builder.method("test.v1.Kinds", "Unary", Access::scope("orders.write"))
        };
        assert!(unary(builder()).build().is_ok());
        let named = "there are two rules for \"test.v1.Kinds/Unary\"";
        assert!(error(unary(unary(builder()))).contains(named));
        let other = unary(builder()).method("test.v1.Kinds", "Unary", Access::public());
        assert!(error(other).contains(named));
        let service = |builder: AuthBuilder| builder.service("test.v1.Kinds", Access::public());
        assert!(service(unary(builder())).build().is_ok(), "the most exact one counts");
        assert!(error(service(service(builder()))).contains("two rules for \"test.v1.Kinds\""));
    }
    // The errors of each rule are found, too.
    let rule = builder().method("a.B", "C", Access::scope("")).method("a.B", "C", Access::public());
    assert!(error(rule).contains("requires"));
}

#[test]
fn f12_a_name_that_no_call_can_have_is_an_error_with_what_was_meant() {
    for describe in [false, true] {
        let builder = || if describe { builder().methods(&methods()) } else { builder() };
        for (rule, named) in [
            (
                builder().service("/test.v1.Kinds", Access::public()),
                "\"/test.v1.Kinds\" can never match: a service name can't contain a slash; a rule \
                 for one method has two names; did you mean \"test.v1.Kinds\"?",
            ),
            (
                builder().method("test.v1.Kinds", "/Unary", Access::public()),
                "did you mean \"test.v1.Kinds/Unary\"?",
            ),
            (builder().service("test.v1.Kinds/Unary", Access::public()), "has two names"),
            (builder().method("test.v1.Kinds", "", Access::public()), "a name is empty"),
            (builder().service("", Access::public()), "a name is empty"),
            (builder().method("test.v1.Kinds", "Una ry", Access::public()), "a character"),
        ] {
            let error = error(rule);
            assert!(error.contains(named), "{error}");
        }
    }
}

#[tokio::test]
async fn f13_without_methods_rules_that_nobody_has_called_are_named_once() {
    let rules = |builder: AuthBuilder| {
        builder
            .method("test.v1.Kinds", "Unary", Access::public())
            .method("test.v1.Kinds", "Peek", Access::authenticated())
            .service("test.v1.Kind", Access::public())
    };
    let lines = Lines::default();
    let _collect = lines.collect();
    let told = || {
        let text = lines.text();
        let told = text.lines().filter(|line| line.contains("no call has matched these rules"));
        told.map(str::to_owned).collect::<Vec<_>>()
    };
    let layer = rules(builder()).method("test.v1.Kinds", "Typo", Access::public()).build().unwrap();
    for _ in 0..1_000 {
        // Calls with invalid credentials do not count.
        call_as(&layer, "/test.v1.Kinds/Other", "bad").await;
    }
    for _ in 0..499 {
        call(&layer, UNARY, &[]).await.passed();
        call_as(&layer, "/test.v1.Kinds/Peek", "ann").await.passed();
    }
    call(&layer, UNARY, &[]).await.passed();
    assert_eq!(told(), [""; 0]);
    for _ in 0..2_000 {
        call(&layer, UNARY, &[]).await.passed();
    }
    let [line] = &told()[..] else { panic!("{:?}", told()) };
    assert!(line.contains("INFO") && line.contains("1000"), "{line}");
    assert!(line.contains("\"test.v1.Kind, test.v1.Kinds/Typo\""), "{line}");
}

#[test]
fn f06_a_realm_or_domain_that_no_header_can_hold_is_an_error() {
    for text in ["", "a\"b", "a\\b", "a\nb", "é"] {
        assert_eq!(builder().realm(text).build().unwrap_err(), BuildError::Text(text.to_owned()));
        assert_eq!(builder().domain(text).build().unwrap_err(), BuildError::Text(text.to_owned()));
    }
}

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

#[tokio::test]
async fn f07_health_and_reflection_are_public_only_if_said_so() {
    for described in [false, true] {
        let builder = || if described { builder().methods(&methods()) } else { builder() };
        let layer = builder().build().unwrap();
        for path in [HEALTH, REFLECTION[0], REFLECTION[1]] {
            let called = call(&layer, path, &[]).await;
            called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
            call_as(&layer, path, "ann").await.passed();
        }
        let layer = builder().public_health().build().unwrap();
        call(&layer, HEALTH, &[]).await.passed();
        let called = call(&layer, REFLECTION[0], &[]).await;
        called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
        let layer = builder().public_reflection().build().unwrap();
        for path in REFLECTION {
            call(&layer, path, &[]).await.passed();
        }
        let called = call(&layer, HEALTH, &[]).await;
        called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
        let looks_like = call(&layer, "/grpc.health.v1.Health2/Check", &[]).await;
        looks_like.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
    }
}

#[tokio::test]
async fn f08_a_rule_for_health_goes_before_public_health() {
    let layer = builder()
        .public_health()
        .method("grpc.health.v1.Health", "List", Access::authenticated())
        .build()
        .unwrap();
    call(&layer, HEALTH, &[]).await.passed();
    let list = call(&layer, "/grpc.health.v1.Health/List", &[]).await;
    list.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn f09_the_first_refused_health_probe_says_which_method_to_call() {
    let lines = Lines::default();
    let _collect = lines.collect();
    let layer = builder().build().unwrap();
    for _ in 0..3 {
        call(&layer, HEALTH, &[]).await;
    }
    let text = lines.text();
    let warnings: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{text}");
    assert!(warnings[0].contains("`AuthBuilder::public_health`"), "{text}");
}

/// Guards against: two spellings of one method in one log: log lines of calls have `orders.v1.OrderService/GetOrder`.
#[tokio::test]
async fn f12_a_refusal_names_its_method_as_all_lines_do() {
    let lines = Lines::default();
    let _collect = lines.collect();
    let called = call(&builder().build().unwrap(), UNARY, &[]).await;
    assert_eq!(called.code, Code::Unauthenticated);
    let text = lines.text();
    assert!(text.contains(r#"rpc.method="test.v1.Kinds/Unary""#), "{text}");
    assert!(!text.contains(UNARY), "{text}");
}

#[test]
fn f10_a_shadow_warns_when_it_is_built() {
    let lines = Lines::default();
    let _collect = lines.collect();
    builder().build().unwrap();
    assert_eq!(lines.text(), "");
    builder().shadow().build().unwrap();
    assert!(lines.text().contains("WARN") && lines.text().contains("shadow mode"));
}

#[tokio::test]
async fn f11_no_event_has_text_of_the_token() {
    let lines = Lines::default();
    let _collect = lines.collect();
    let layer = builder().build().unwrap();
    for token in ["bad.0123456789abcdef", "unknown.0123456789abcdef", "ann.0123456789abcdef"] {
        call_as(&layer, UNARY, token).await;
        call(&layer, UNARY, &[("authorization", &format!("Bearer {token} "))]).await;
        call(&layer, UNARY, &[("authorization", token)]).await;
    }
    assert!(lines.text().contains("TOKEN_INVALID"));
    assert!(!lines.text().contains("0123456789abcdef"), "{}", lines.text());
}
