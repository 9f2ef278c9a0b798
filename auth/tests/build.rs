//! What is set wrong is seen where the layer is built. Each test is a rule.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Lines, UNARY, builder, call, call_as};
use tonic::Code;
use tonic_auth_layer::{Access, AuthBuilder, BuildError};
use tonic_call::Methods;

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
    // Whatever the order in which they are said.
    let rule = builder().method("test.v1.Kinds", "Unnary", Access::public()).methods(&methods());
    assert!(matches!(rule.build(), Err(BuildError::UnknownMethod(_))));
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
        "no rule says who may call test.v1.Kinds/ClientStream, test.v1.Kinds/ServerStream, \
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
        assert!(error(rule).starts_with("the rule for a.B/C asks for"), "{access:?}");
        assert!(error(builder().service("a.B", access.clone())).contains("a.B"));
        assert!(error(builder().default_access(access)).contains("every other method"));
    }
}

#[test]
fn f05_a_rule_that_was_set_twice_is_checked_twice() {
    let rule =
        builder().method("a.B", "C", Access::scope("")).method("a.B", "C", Access::scope("good"));
    assert!(rule.build().is_err());
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
