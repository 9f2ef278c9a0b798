//! What callers and operators see of a refusal. Each test is a rule.

use std::sync::{Arc, Mutex};

use http::{HeaderValue, StatusCode};
use tonic::Code;
use tonic_auth_layer::{
    Access, AuthLayer, Failure, Identity, Incoming, Reason, Verdict, authenticate_fn,
};
use tonic_call::Refusal;

use crate::common::{UNARY, builder, call, call_as, request, send};

#[tokio::test]
async fn b01_without_credentials_the_challenge_names_no_error() {
    let layer = builder().realm("orders").build().unwrap();
    let called = call(&layer, UNARY, &[]).await;
    assert_eq!(called.challenges(), [r#"Bearer realm="orders""#]);
}

#[tokio::test]
async fn b02_the_challenge_says_what_is_wrong_as_rfc_6750_does() {
    let layer = builder()
        .realm("orders")
        .method("test.v1.Kinds", "Unary", Access::all_scopes(["orders.read", "orders.write"]))
        .build()
        .unwrap();
    for (token, challenge) in [
        ("b@d", r#"Bearer realm="orders", error="invalid_request""#),
        ("bad", r#"Bearer realm="orders", error="invalid_token""#),
        ("expired", r#"Bearer realm="orders", error="invalid_token""#),
        (
            "ann",
            r#"Bearer realm="orders", error="insufficient_scope", scope="orders.read orders.write""#,
        ),
    ] {
        assert_eq!(call_as(&layer, UNARY, token).await.challenges(), [challenge], "{token}");
    }
    assert!(call_as(&layer, UNARY, "unknown").await.challenges().is_empty());
}

#[tokio::test]
async fn b03_every_refusal_carries_an_error_info() {
    let layer = builder()
        .domain("orders.example")
        .method("test.v1.Kinds", "Unary", Access::any_scope(["a", "b"]))
        .build()
        .unwrap();
    for token in ["b@d", "bad", "expired", "unknown", "ann"] {
        let info = call_as(&layer, UNARY, token).await.info.unwrap();
        assert_eq!(info.domain, "orders.example");
        let reason = &info.reason;
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        assert!(reason.len() <= 63 && reason.bytes().all(fits), "{reason}");
    }
    let called = call_as(&layer, UNARY, "ann").await;
    assert_eq!(called.message, "permission denied: needs one of the scopes a b");
    let metadata = called.info.unwrap().metadata;
    assert_eq!((&*metadata["scopes"], &*metadata["need"]), ("a b", "any"));
}

#[tokio::test]
async fn b04_a_refusal_is_an_answer_in_the_head_alone() {
    let layer = builder().build().unwrap();
    let called = call_as(&layer, UNARY, "bad").await;
    assert_eq!(called.http, StatusCode::OK);
    assert_eq!(called.headers["grpc-status"], "16");
    assert_eq!(called.headers["content-type"], "application/grpc");
}

#[tokio::test]
async fn b05_whoever_does_not_speak_grpc_gets_no_200() {
    let layer = builder().method("test.v1.Kinds", "Peek", Access::scope("a")).build().unwrap();
    for kind in [None, Some("text/plain"), Some("application/json"), Some("application/x-grpc")] {
        for (path, token, status) in [
            (UNARY, None, StatusCode::UNAUTHORIZED),
            (UNARY, Some("bad"), StatusCode::UNAUTHORIZED),
            (UNARY, Some("unknown"), StatusCode::SERVICE_UNAVAILABLE),
            (UNARY, Some("limited"), StatusCode::TOO_MANY_REQUESTS),
            ("/test.v1.Kinds/Peek", Some("ann"), StatusCode::FORBIDDEN),
            ("/healthz", Some("ann"), StatusCode::NOT_FOUND),
        ] {
            let mut request = request(path, &[]);
            request.headers_mut().remove("content-type");
            if let Some(kind) = kind {
                request.headers_mut().insert("content-type", HeaderValue::from_static(kind));
            }
            if let Some(token) = token {
                let value = format!("Bearer {token}").parse().unwrap();
                request.headers_mut().insert("authorization", value);
            }
            let called = send(&layer, request).await;
            assert_eq!((called.http, called.seen.len()), (status, 0), "{kind:?} {path} {token:?}");
        }
    }
}

#[tokio::test]
async fn b06_the_caller_is_told_the_reason_and_nothing_of_the_check() {
    let layer = builder().build().unwrap();
    for token in ["bad", "expired", "unknown"] {
        let called = call_as(&layer, UNARY, token).await;
        let told = format!("{:?} {:?} {:?}", called.headers, called.message, called.info);
        for secret in ["of another issuer", "yesterday", "none", "keys", "good"] {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
    }
}

#[tokio::test]
async fn b07_the_operator_gets_the_check_in_the_log_line_and_in_the_hook() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    let layer = builder()
        .on_decision(move |decision| {
            hook.lock().unwrap().push((
                decision.verdict(),
                decision.result(),
                decision.failure().map(ToString::to_string),
                decision.identity().and_then(Identity::subject).map(str::to_owned),
            ));
        })
        .method("test.v1.Kinds", "Unary", Access::scope("a"))
        .method("test.v1.Kinds", "Peek", Access::public())
        .build()
        .unwrap();
    let called = call_as(&layer, UNARY, "bad").await;
    assert_eq!(called.field("auth.check").as_deref(), Some("Text(\"token\")"));
    assert_eq!(called.field("auth.expected").as_deref(), Some("Text(\"good\")"));
    assert_eq!(called.field("auth.received").as_deref(), Some("Text(\"of another issuer\")"));
    call_as(&layer, UNARY, "ann").await;
    call_as(&layer, UNARY, "ann.a").await;
    call(&layer, "/test.v1.Kinds/Peek", &[]).await;
    let bad = "TOKEN_INVALID: token: expected \"good\", received \"of another issuer\"";
    let scope = "SCOPE_INSUFFICIENT: scope: expected \"a\", received \"\"";
    let ann = Some("ann".to_owned());
    assert_eq!(
        *told.lock().unwrap(),
        [
            (Verdict::Refused, "TOKEN_INVALID", Some(bad.to_owned()), None),
            (Verdict::Refused, "SCOPE_INSUFFICIENT", Some(scope.to_owned()), ann.clone()),
            (Verdict::Passed, "passed", None, ann),
            (Verdict::Public, "public", None, None),
        ]
    );
}

#[tokio::test]
async fn b08_text_of_the_token_reaches_no_operator() {
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl";
    let careless = authenticate_fn(|call: &Incoming<'_>| -> Result<Option<Identity>, Failure> {
        let token = call.bearer()?.unwrap();
        let text = match call.rpc().method() {
            "Whole" => token.to_owned(),
            "Quoted" => format!("got {token:?}"),
            "Part" => token[21..40].to_owned(),
            "Long" => format!("{token}{}", "x".repeat(500)),
            _ => "billing".to_owned(),
        };
        Err(Failure::new(Reason::TokenInvalid, "token").received(&text))
    });
    let layer = AuthLayer::new(careless).build().unwrap();
    for path in ["/a.B/Whole", "/a.B/Quoted", "/a.B/Part", "/a.B/Long"] {
        let received = call_as(&layer, path, TOKEN).await.field("auth.received");
        assert_eq!(received.as_deref(), Some("Text(\"(text of the credentials)\")"), "{path}");
    }
    let received = call_as(&layer, "/a.B/Harmless", TOKEN).await.field("auth.received");
    assert_eq!(received.as_deref(), Some("Text(\"billing\")"));
}

#[tokio::test]
async fn b09_a_panic_that_quotes_the_token_tells_none_of_it() {
    tonic_call_test_kit::silence_panics();
    let careless = authenticate_fn(|call: &Incoming<'_>| -> Option<Identity> {
        panic!("what is {:?}? on purpose", call.bearer())
    });
    let layer = AuthLayer::new(careless).build().unwrap();
    let called = call_as(&layer, UNARY, "eyJhbGciOiJIUzI1NiJ9.eyJz.c2ln").await;
    assert_eq!(called.call.panic().as_deref(), Some("(text of the credentials)"));
}

#[test]
fn b10_a_received_value_is_short_and_on_one_line() {
    let received = |bytes: &[u8]| {
        let failure = Failure::new(Reason::TokenInvalid, "aud").received(bytes);
        failure.received_value().unwrap().to_owned()
    };
    assert_eq!(received(b"a\nb\x1b[31m"), r"a\nb\u{1b}[31m");
    for bytes in [vec![b'x'; 8_000], vec![0; 8_000], vec![0xff; 8_000], "é".repeat(4_000).into()] {
        let received = received(&bytes);
        assert!(received.len() <= 128 + '…'.len_utf8() && received.ends_with('…'), "{received}");
    }
}

#[tokio::test]
async fn b11_the_token_is_marked_as_sensitive_for_all_inside() {
    let layer = builder().method("test.v1.Kinds", "Peek", Access::public()).build().unwrap();
    for path in [UNARY, "/test.v1.Kinds/Peek"] {
        let seen = call_as(&layer, path, "ann").await.passed();
        assert!(seen.headers["authorization"].is_sensitive(), "{path}");
        assert!(!format!("{:?}", seen.headers).contains("ann"));
    }
}

#[tokio::test]
async fn b12_the_token_can_be_removed_before_the_handler() {
    let layer = builder()
        .remove_credentials()
        .method("test.v1.Kinds", "Peek", Access::public())
        .build()
        .unwrap();
    for path in [UNARY, "/test.v1.Kinds/Peek"] {
        let seen = call_as(&layer, path, "ann").await.passed();
        assert!(!seen.headers.contains_key("authorization"), "{path}");
    }
}

#[tokio::test]
async fn b13_a_shadow_reports_and_lets_pass() {
    let layer =
        builder().shadow().method("test.v1.Kinds", "Unary", Access::scope("a")).build().unwrap();
    for (token, reason) in [
        ("bad", "TOKEN_INVALID"),
        ("expired", "TOKEN_EXPIRED"),
        ("unknown", "VERIFIER_UNAVAILABLE"),
        ("b@d", "CREDENTIALS_MALFORMED"),
        ("ann", "SCOPE_INSUFFICIENT"),
    ] {
        let called = call_as(&layer, UNARY, token).await;
        called.passed();
        assert_eq!(called.refusals, [Refusal::shadow("auth", reason)], "{token}");
    }
    assert_eq!(call_as(&layer, UNARY, "ann.a").await.refusals, []);
}

#[tokio::test]
async fn b14_in_a_shadow_a_bad_credential_yields_no_identity() {
    let layer =
        builder().shadow().method("test.v1.Kinds", "Unary", Access::scope("a")).build().unwrap();
    for token in ["bad", "expired", "unknown", "b@d"] {
        let mut request = request(UNARY, &[("authorization", &format!("Bearer {token}"))]);
        request.extensions_mut().insert(Identity::new("forged"));
        let seen = send(&layer, request).await.passed();
        assert!(seen.identity.is_none() && seen.principal.is_none(), "{token}");
    }
    // A caller that is identified but not authorized keeps its identity.
    let seen = call_as(&layer, UNARY, "ann").await.passed();
    assert_eq!(seen.identity.unwrap().subject(), Some("ann"));
}

#[tokio::test]
async fn b15_in_a_shadow_a_panic_yields_no_identity_either() {
    tonic_call_test_kit::silence_panics();
    let panics = authenticate_fn(|_| -> Option<Identity> { panic!("on purpose") });
    let layer = AuthLayer::new(panics).shadow().build().unwrap();
    assert!(call_as(&layer, UNARY, "ann").await.passed().identity.is_none());
}

#[cfg(feature = "jwt")]
#[tokio::test]
async fn b16_identities_show_no_claims() {
    let claims = serde_json::Map::from_iter([("email".to_owned(), "ann@example.org".into())]);
    let identity = Identity::new("jwt").with_subject("ann").with_claims(claims).with_data(7_u8);
    assert!(!format!("{identity:?}").contains("example.org"));
    assert_eq!(identity.claims().unwrap()["email"], "ann@example.org");
    assert_eq!((identity.data::<u8>(), identity.data::<u16>()), (Some(&7), None));
}

#[tokio::test]
async fn b17_a_handler_without_an_identity_is_told_so_clearly() {
    let request = tonic::Request::new(());
    let status = tonic::Status::from(Identity::of(&request).unwrap_err());
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unauthenticated, "the caller is not authenticated")
    );
}

#[tokio::test]
async fn b18_in_a_shadow_an_identity_that_has_expired_is_none() {
    let past = std::time::SystemTime::UNIX_EPOCH;
    let known = authenticate_fn(move |_| Identity::new("sloppy").with_expires_at(past));
    let layer = AuthLayer::new(known).shadow().build().unwrap();
    let called = call(&layer, UNARY, &[]).await;
    assert!(called.passed().identity.is_none() && called.call.principal().is_none());
    assert_eq!(called.refusals, [Refusal::shadow("auth", "TOKEN_EXPIRED")]);
}

#[tokio::test]
async fn b19_who_sends_too_many_bad_credentials_is_told_to_come_back_later() {
    let layer = builder().build().unwrap();
    let called = call_as(&layer, UNARY, "limited").await;
    called.is_refused(Code::ResourceExhausted, "RATE_LIMITED");
    assert!(called.challenges().is_empty());
}
