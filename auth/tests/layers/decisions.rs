//! Which calls pass, and which are refused. Each test is a rule; its number is that of the list in the crate's notes.

use std::sync::Arc;

use tonic::Code;
use tonic_auth_layer::{Access, AuthLayer, Identity, authenticate_fn};
use tonic_call::{CallInfo, Methods, Refusal};

use crate::common::{self, UNARY, builder, by_token, call, call_as, request, send};

fn methods() -> Methods {
    Methods::from_descriptor_set(tonic_call_test_kit::FILE_DESCRIPTOR_SET).unwrap()
}

#[tokio::test]
async fn a01_without_credentials_nobody_passes() {
    let layer = builder().build().unwrap();
    let called = call(&layer, UNARY, &[]).await;
    called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn a02_a_known_caller_passes_and_the_handler_sees_who_it_is() {
    let layer = builder().build().unwrap();
    let seen = call_as(&layer, UNARY, "ann").await.passed();
    let identity = seen.identity.unwrap();
    assert_eq!((identity.method(), identity.subject()), ("token", Some("ann")));
    assert_eq!(seen.principal.as_deref(), Some("https://id.example#ann"));
}

#[tokio::test]
async fn a03_a_bad_credential_is_refused() {
    let layer = builder().build().unwrap();
    call_as(&layer, UNARY, "bad").await.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
    call_as(&layer, UNARY, "expired").await.is_refused(Code::Unauthenticated, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn a04_what_cannot_be_verified_is_unavailable_and_opens_nothing() {
    let layer = builder().build().unwrap();
    call_as(&layer, UNARY, "unknown").await.is_refused(Code::Unavailable, "VERIFIER_UNAVAILABLE");
}

#[tokio::test]
async fn a05_a_method_that_nobody_ruled_asks_for_a_known_caller() {
    let layer = builder()
        .method("test.v1.Kinds", "Unary", Access::public())
        .service("other.Service", Access::public())
        .build()
        .unwrap();
    call(&layer, "/test.v1.Kinds/ServerStream", &[])
        .await
        .is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
    call(&layer, "/test.v1.Kinds2/Unary", &[])
        .await
        .is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn a06_a_public_method_looks_at_no_credentials_and_yields_no_identity() {
    let layer = AuthLayer::new(authenticate_fn(|_| -> Option<Identity> { panic!("asked") }))
        .method("test.v1.Kinds", "Unary", Access::public())
        .build()
        .unwrap();
    let seen = call_as(&layer, UNARY, "bad").await.passed();
    assert!(seen.identity.is_none() && seen.principal.is_none());
}

#[tokio::test]
async fn a07_all_scopes_means_each_of_them() {
    let access = Access::all_scopes(["orders.read", "orders.write"]);
    let layer = builder().method("test.v1.Kinds", "Unary", access).build().unwrap();
    call_as(&layer, UNARY, "ann.orders_read.orders_write").await.passed();
    for token in ["ann", "ann.orders_read", "ann.orders_write", "ann.orders_read.orders_writes"] {
        let called = call_as(&layer, UNARY, token).await;
        called.is_refused(Code::PermissionDenied, "SCOPE_INSUFFICIENT");
    }
}

#[tokio::test]
async fn a08_any_scope_means_one_of_them() {
    let access = Access::any_scope(["orders.read", "orders.write"]);
    let layer = builder().method("test.v1.Kinds", "Unary", access).build().unwrap();
    call_as(&layer, UNARY, "ann.orders_read").await.passed();
    call_as(&layer, UNARY, "ann.orders_write").await.passed();
    for token in ["ann", "ann.orders", "ann.Orders_read", "ann.audit"] {
        let called = call_as(&layer, UNARY, token).await;
        called.is_refused(Code::PermissionDenied, "SCOPE_INSUFFICIENT");
    }
}

#[tokio::test]
async fn a09_a_stranger_is_never_told_permission_denied() {
    let layer =
        builder().default_access(Access::scope("orders.read")).methods(&methods()).build().unwrap();
    for path in [UNARY, "/test.v1.Kinds/Nothing", "/a/b/c"] {
        for token in ["bad", "expired"] {
            assert_eq!(call_as(&layer, path, token).await.code, Code::Unauthenticated);
        }
        assert_eq!(call(&layer, path, &[]).await.code, Code::Unauthenticated);
    }
}

#[tokio::test]
async fn a10_a_function_of_identity_and_method_decides() {
    let access = Access::function("only ann", |identity, rpc| {
        identity.subject() == Some("ann") && rpc.method() == "Unary"
    });
    let layer = builder().service("test.v1.Kinds", access).build().unwrap();
    call_as(&layer, UNARY, "ann").await.passed();
    let called = call_as(&layer, UNARY, "bob").await;
    called.is_refused(Code::PermissionDenied, "ACCESS_DENIED");
    assert_eq!(called.field("auth.check").as_deref(), Some("Text(\"only ann\")"));
    let other = call_as(&layer, "/test.v1.Kinds/Peek", "ann").await;
    other.is_refused(Code::PermissionDenied, "ACCESS_DENIED");
}

const NO_METHODS: [&str; 6] =
    ["/", "/test.v1.Kinds", "/test.v1.Kinds/", "//Unary", "/test.v1.Kinds/Unary/", "/a/b/c"];

const NOT_DESCRIBED: [&str; 4] = [
    "/test.v1.Kinds/Unnary",
    "/test.v1.Kinds/unary",
    "/other.Service/Unary",
    "/grpc.health.v1.Health/Other",
];

#[tokio::test]
async fn a11_a_path_that_is_not_service_and_method_is_unimplemented_for_callers_who_are_known() {
    let layer = builder().service("test.v1.Kinds", Access::scope("root")).build().unwrap();
    for path in NO_METHODS {
        let called = call(&layer, path, &[]).await;
        called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
        for (token, reason) in [("bad", "TOKEN_INVALID"), ("expired", "TOKEN_EXPIRED")] {
            call_as(&layer, path, token).await.is_refused(Code::Unauthenticated, reason);
        }
        let called = call_as(&layer, path, "ann").await;
        called.is_refused(Code::Unimplemented, "METHOD_UNKNOWN");
        assert_eq!(called.message, "", "as tonic's router says");
        assert_eq!(called.field("auth.check").as_deref(), Some("Text(\"method\")"));
    }
}

#[tokio::test]
async fn a12_a_method_that_is_not_described_is_unimplemented_and_never_passed_on() {
    let layer = builder()
        .public_health()
        .service("test.v1.Kinds", Access::scope("root"))
        .methods(&methods())
        .build()
        .unwrap();
    for path in &NOT_DESCRIBED[..3] {
        call(&layer, path, &[]).await.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
        let called = call_as(&layer, path, "ann").await;
        called.is_refused(Code::Unimplemented, "METHOD_UNKNOWN");
        assert_eq!(called.call.principal().as_deref(), Some("https://id.example#ann"));
    }
}

#[tokio::test]
async fn a27_where_what_would_apply_is_public_no_caller_is_needed_for_unimplemented() {
    let by_default = builder().default_access(Access::public());
    let of_service = builder().service("test.v1.Kinds", Access::public()).public_health();
    let by_default = by_default.methods(&methods()).build().unwrap();
    let of_service = of_service.methods(&methods()).build().unwrap();
    for path in NO_METHODS.iter().chain(&NOT_DESCRIBED) {
        for token in [None, Some("ann"), Some("bad"), Some("unknown")] {
            let called = match token {
                None => call(&by_default, path, &[]).await,
                Some(token) => call_as(&by_default, path, token).await,
            };
            called.is_refused(Code::Unimplemented, "METHOD_UNKNOWN");
        }
        let open = ["/test.v1.Kinds/Unnary", "/test.v1.Kinds/unary", NOT_DESCRIBED[3]];
        let (code, reason) = match open.contains(path) {
            true => (Code::Unimplemented, "METHOD_UNKNOWN"),
            false => (Code::Unauthenticated, "CREDENTIALS_MISSING"),
        };
        call(&of_service, path, &[]).await.is_refused(code, reason);
    }
    call(&by_default, UNARY, &[]).await.passed();
    // A service with a rule that is not public is closed, in spite of a public default.
    let closed = builder()
        .default_access(Access::public())
        .service("test.v1.Kinds", Access::authenticated())
        .methods(&methods())
        .build()
        .unwrap();
    let called = call(&closed, "/test.v1.Kinds/Unnary", &[]).await;
    called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn a28_a_shadow_passes_on_what_is_not_described() {
    for public in [false, true] {
        let builder = if public { builder().default_access(Access::public()) } else { builder() };
        let layer = builder.methods(&methods()).shadow().build().unwrap();
        for path in NO_METHODS.iter().chain(&NOT_DESCRIBED) {
            let called = call_as(&layer, path, "ann").await;
            called.passed();
            assert_eq!(called.refusals, [Refusal::shadow("auth", "METHOD_UNKNOWN")], "{path}");
        }
    }
}

#[tokio::test]
async fn a13_a_rule_holds_for_the_path_as_it_is_and_for_no_way_to_write_it() {
    let layer = builder().method("test.v1.Kinds", "Unary", Access::public()).build().unwrap();
    call(&layer, "/test.v1.Kinds/Unary?x=y", &[]).await.passed();
    for path in ["/test.v1.Kinds/%55nary", "/test.v1.kinds/Unary", "/test.v1.Kinds/Unary%20"] {
        call(&layer, path, &[]).await.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
    }
}

#[tokio::test]
async fn a14_the_path_alone_says_what_is_called_whatever_else_the_request_carries() {
    let layer = builder().method("test.v1.Kinds", "Unary", Access::public()).build().unwrap();
    let mut request = request("/prefix/test.v1.Kinds/Unary", &[]);
    request.extensions_mut().insert(tonic::GrpcMethod::new("test.v1.Kinds", "Unary"));
    send(&layer, request).await.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn a15_an_identity_that_a_request_brings_is_forgotten() {
    let layer = builder().method("test.v1.Kinds", "Unary", Access::public()).build().unwrap();
    for (path, token) in [(UNARY, None), ("/test.v1.Kinds/Peek", Some("ann"))] {
        let mut request = request(path, &[]);
        request.extensions_mut().insert(Identity::new("forged").with_subject("root"));
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert("authorization", value);
        }
        let seen = send(&layer, request).await.passed();
        let subject = seen.identity.as_ref().and_then(Identity::subject);
        assert_eq!(subject, token, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a16_an_identity_that_has_expired_is_refused_whatever_the_authenticator_says() {
    let (clock, start) = common::clock();
    for (at, passes) in [(start, false), (start + std::time::Duration::from_secs(1), true)] {
        let found = authenticate_fn(move |_| Identity::new("sloppy").with_expires_at(at));
        let layer = AuthLayer::new(found).with_clock(clock.clone()).build().unwrap();
        let called = call(&layer, UNARY, &[]).await;
        match passes {
            true => drop(called.passed()),
            false => called.is_refused(Code::Unauthenticated, "TOKEN_EXPIRED"),
        }
    }
}

#[tokio::test]
async fn a17_a_panic_in_the_authenticator_refuses_the_call() {
    tonic_call_test_kit::silence_panics();
    let panics =
        authenticate_fn(|_| -> Option<Identity> { panic!("in an authenticator, on purpose") });
    let layer = AuthLayer::new(panics).build().unwrap();
    let called = call_as(&layer, UNARY, "ann").await;
    called.is_refused(Code::Unavailable, "VERIFIER_UNAVAILABLE");
    assert!(!called.message.contains("on purpose"), "{}", called.message);
    assert_eq!(called.call.panic().as_deref(), Some("in an authenticator, on purpose"));
}

#[tokio::test]
async fn a18_a_panic_in_what_it_asks_later_refuses_the_call() {
    tonic_call_test_kit::silence_panics();
    let panics = tonic_auth_layer::authenticate_async(|_| async {
        tokio::task::yield_now().await;
        if true {
            panic!("later, on purpose");
        }
        None::<Identity>
    });
    let layer = AuthLayer::new(panics).build().unwrap();
    let called = call_as(&layer, UNARY, "ann").await;
    called.is_refused(Code::Unavailable, "VERIFIER_UNAVAILABLE");
    assert_eq!(called.call.panic().as_deref(), Some("later, on purpose"));
}

#[tokio::test]
async fn a19_a_panic_in_a_rule_refuses_the_call() {
    tonic_call_test_kit::silence_panics();
    let access = Access::function("panics", |_, _| panic!("in a rule, on purpose"));
    let layer = builder().default_access(access).build().unwrap();
    let called = call_as(&layer, UNARY, "ann").await;
    called.is_refused(Code::Unavailable, "VERIFIER_UNAVAILABLE");
}

#[tokio::test]
async fn a20_a_panic_in_the_hook_changes_nothing() {
    tonic_call_test_kit::silence_panics();
    let layer = builder().on_decision(|_| panic!("in a hook, on purpose")).build().unwrap();
    call_as(&layer, UNARY, "ann").await.passed();
    call_as(&layer, UNARY, "bad").await.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
}

#[tokio::test]
async fn a21_an_authenticator_that_has_to_ask_decides_the_same() {
    let layer = AuthLayer::new(tonic_auth_layer::authenticate_async(
        |head: tonic_auth_layer::Head| async move {
            tokio::task::yield_now().await;
            by_token(&head.as_incoming())
        },
    ))
    .method("test.v1.Kinds", "Unary", Access::scope("a"))
    .build()
    .unwrap();
    let seen = call_as(&layer, UNARY, "ann.a").await.passed();
    assert_eq!(seen.identity.unwrap().subject(), Some("ann"));
    call(&layer, UNARY, &[]).await.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
    call_as(&layer, UNARY, "bad").await.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
    call_as(&layer, UNARY, "ann").await.is_refused(Code::PermissionDenied, "SCOPE_INSUFFICIENT");
    call_as(&layer, UNARY, "unknown").await.is_refused(Code::Unavailable, "VERIFIER_UNAVAILABLE");
}

#[tokio::test]
async fn a22_two_callers_never_have_one_name() {
    let of = |issuer: &str, subject: &str| {
        Identity::new("jwt").with_issuer(issuer).with_subject(subject).principal()
    };
    let alone = |method: &'static str, subject: &str| {
        Identity::new(method).with_subject(subject).principal()
    };
    let names: Vec<Arc<str>> = vec![
        of("https://a.example", "ann"),
        of("https://b.example", "ann"),
        of("https://a.example#x", "ann"),
        of("https://a.example", "x#ann"),
        of("https://a.example%23x", "ann"),
        of("api_key:a", "b"),
        alone("api_key", "a#b"),
        alone("api_key", "a%23b"),
        alone("api_key", "a"),
        alone("api", "key:a"),
        alone("api:key", "a"),
        alone("mtls", "a"),
    ];
    let distinct: std::collections::HashSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
}

#[tokio::test]
async fn a23_the_principal_is_told_also_of_a_caller_who_may_not() {
    let layer = builder().default_access(Access::scope("root")).build().unwrap();
    let called = call_as(&layer, UNARY, "ann").await;
    called.is_refused(Code::PermissionDenied, "SCOPE_INSUFFICIENT");
    assert_eq!(called.call.principal().as_deref(), Some("https://id.example#ann"));
    assert_eq!(call_as(&layer, UNARY, "bad").await.call.principal(), None);
}

#[tokio::test]
async fn a24_a_slot_is_made_where_no_layer_outside_has_made_one() {
    use tower::{Layer as _, ServiceExt as _};

    let inner = common::Inner::default();
    let layer = builder().build().unwrap();
    let mut request = request(UNARY, &[("authorization", "Bearer ann")]);
    request.extensions_mut().remove::<CallInfo>();
    layer.layer(inner.clone()).oneshot(request).await.unwrap();
    assert_eq!(inner.seen()[0].principal.as_deref(), Some("https://id.example#ann"));
}

#[tokio::test]
async fn a25_what_panics_when_its_caller_goes_away_harms_nobody_else() {
    use tower::{Layer as _, Service as _};

    tonic_call_test_kit::silence_panics();
    let panics = tonic_auth_layer::authenticate_async(|_| {
        let bomb = tonic_call_test_kit::PanicsInDrop;
        async move {
            let _bomb = bomb;
            std::future::pending::<Option<Identity>>().await
        }
    });
    let layer = AuthLayer::new(panics).build().unwrap();
    let mut service = layer.layer(common::Inner::default());
    let mut asking = Box::pin(service.call(request(UNARY, &[])));
    let waker = std::task::Waker::noop();
    assert!(asking.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    drop(asking);
}

#[tokio::test]
async fn a26_the_service_that_was_ready_is_the_one_that_is_called() {
    use tower::Layer as _;

    let later = tonic_auth_layer::authenticate_async(|_| async {
        tokio::task::yield_now().await;
        Identity::new("test")
    });
    for layer in [
        AuthLayer::new(later).build().unwrap(),
        AuthLayer::new(authenticate_fn(|_| Identity::new("test"))).build().unwrap(),
    ] {
        common::calls_what_was_ready(layer.layer(common::MustBeReady(false))).await;
    }
}
