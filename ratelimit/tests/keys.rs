//! Which calls share a limit. Each test is a rule.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Hand, Lines, PEEK, Who, call, metadata, passes, path, peer, principal};
use http::HeaderValue;
use proptest::prelude::*;
use tonic_call::CallInfo;
use tonic_ratelimit_layer::{Key, Quota, RateLimitBuilder, RateLimitLayer};

fn by(key: Key) -> RateLimitBuilder {
    let quota = Quota::per_second(2).by(key);
    RateLimitLayer::server(quota).with_clock(Hand::default().clock())
}

fn built(key: Key) -> RateLimitLayer {
    by(key).build().unwrap()
}

#[test]
fn b01_without_a_key_all_calls_share_one_limit() {
    let layer = built(Key::global());
    call(&layer, &principal("ann")).passed();
    call(&layer, &peer("192.0.2.1")).passed();
    assert_eq!(passes(&layer, &path(PEEK)), 0);
}

#[test]
fn b02_an_ipv4_address_is_a_key() {
    let layer = built(Key::peer());
    for address in ["192.0.2.1", "192.0.2.2", "192.0.3.1", "10.0.0.1"] {
        assert_eq!(passes(&layer, &peer(address)), 2, "{address}");
    }
    for again in ["192.0.2.1", "::ffff:192.0.2.2", "::ffff:10.0.0.1"] {
        assert_eq!(passes(&layer, &peer(again)), 0, "{again}");
    }
}

#[test]
fn b03_the_first_64_bits_of_an_ipv6_address_are_a_key() {
    let layer = built(Key::peer());
    call(&layer, &peer("2001:db8:1:2::1")).passed();
    call(&layer, &peer("2001:db8:1:2:ffff:ffff:ffff:ffff")).passed();
    assert_eq!(passes(&layer, &peer("2001:db8:1:2:3::")), 0);
    assert_eq!(passes(&layer, &peer("2001:db8:1:3::1")), 2);
    // IPv4 and IPv6 addresses have different keys.
    assert_eq!(passes(&layer, &peer("0.0.0.0")), 2);
    assert_eq!(passes(&layer, &peer("::")), 2);
}

#[test]
fn b04_calls_without_an_address_share_one_limit() {
    let layer = built(Key::peer());
    call(&layer, &principal("ann")).passed();
    call(&layer, &principal("bob")).passed();
    assert_eq!(passes(&layer, &Who::default()), 0);
    assert_eq!(passes(&layer, &peer("192.0.2.1")), 2);
}

fn forwarded<'a>(from: &'a str, headers: &'a [(&'static str, &'a str)]) -> Who<'a> {
    Who { headers, ..peer(from) }
}

#[test]
fn b05_behind_proxies_the_callers_address_is_the_key() {
    let layer = by(Key::peer()).behind(["10.0.0.0/8", "fd00::/8"]).build().unwrap();
    let ann = [("x-forwarded-for", "203.0.113.1")];
    let bob = [("x-forwarded-for", "203.0.113.2, 10.0.0.9")];
    let forged = [("x-forwarded-for", "203.0.113.9, 203.0.113.1")];
    assert_eq!(passes(&layer, &forwarded("10.0.0.1", &ann)), 2);
    assert_eq!(passes(&layer, &forwarded("10.0.0.2", &forged)), 0);
    assert_eq!(passes(&layer, &forwarded("fd00::1", &bob)), 2);
    // The header of any other peer is ignored.
    assert_eq!(passes(&layer, &forwarded("192.0.2.1", &[("x-forwarded-for", "203.0.113.7")])), 2);
    assert_eq!(passes(&layer, &forwarded("192.0.2.1", &[("x-forwarded-for", "203.0.113.8")])), 0);
}

#[test]
fn b06_by_default_no_proxy_is_trusted() {
    let layer = built(Key::peer());
    assert_eq!(passes(&layer, &forwarded("10.0.0.1", &[("x-forwarded-for", "203.0.113.1")])), 2);
    assert_eq!(passes(&layer, &forwarded("10.0.0.1", &[("x-forwarded-for", "203.0.113.2")])), 0);
}

#[test]
fn b07_the_principal_is_a_key_and_calls_without_one_share_a_limit() {
    let layer = built(Key::principal());
    for who in ["ann", "bob", "annb", ""] {
        assert_eq!(passes(&layer, &principal(who)), 2, "{who}");
    }
    call(&layer, &peer("192.0.2.1")).passed();
    call(&layer, &peer("192.0.2.2")).passed();
    assert_eq!(passes(&layer, &Who::default()), 0);

    // There is no `CallInfo`.
    let mut request = Who::default().request();
    request.extensions_mut().clear();
    let layer = built(Key::principal());
    let response = common::now(tower::Service::call(
        &mut tower::Layer::layer(&layer, common::Inner::default()),
        request,
    ));
    assert!(response.unwrap().headers().get("grpc-status").is_none());
    assert_eq!(passes(&layer, &Who::default()), 1);
}

#[test]
fn b08_a_value_of_metadata_is_a_key() {
    let layer = built(Key::metadata("X-Tenant"));
    assert_eq!(passes(&layer, &metadata(&[("x-tenant", "a")])), 2);
    assert_eq!(passes(&layer, &metadata(&[("x-tenant", "b"), ("x-other", "1")])), 2);
    assert_eq!(passes(&layer, &metadata(&[("x-tenant", "b"), ("x-other", "2")])), 0);
    assert_eq!(passes(&layer, &metadata(&[("x-tenant", "")])), 2);
    // Calls without it share one limit.
    assert_eq!(passes(&layer, &metadata(&[("x-tenants", "a")])), 2);
    assert_eq!(passes(&layer, &metadata(&[])), 0);
}

#[test]
fn b09_all_values_of_metadata_are_the_key_in_their_order() {
    let layer = built(Key::metadata("x-tenant"));
    for values in [&["a", "b"][..], &["b", "a"], &["ab"], &["a"], &["a", "b", ""], &["", "a", "b"]]
    {
        let headers: Vec<_> = values.iter().map(|value| ("x-tenant", *value)).collect();
        assert_eq!(passes(&layer, &metadata(&headers)), 2, "{values:?}");
    }
    let long = "x".repeat(60_000);
    let longer = format!("{long}y");
    assert_eq!(passes(&layer, &metadata(&[("x-tenant", &long)])), 2);
    assert_eq!(passes(&layer, &metadata(&[("x-tenant", &longer)])), 2);
    assert_eq!(passes(&layer, &metadata(&[("x-tenant", &longer)])), 0);
}

#[test]
fn b10_binary_metadata_is_used_as_it_was_sent() {
    let layer = built(Key::metadata("x-key-bin"));
    assert_eq!(passes(&layer, &metadata(&[("x-key-bin", "YQ==")])), 2);
    assert_eq!(passes(&layer, &metadata(&[("x-key-bin", "YQ")])), 2);
    assert_eq!(passes(&layer, &metadata(&[("x-key-bin", "not base64!")])), 2);
}

#[test]
fn b11_a_function_returns_the_key() {
    let layer = built(Key::function(|rpc, head| {
        let tenant = head.headers.get("x-tenant")?.as_bytes().to_vec();
        Some((tenant, rpc.method().to_owned()))
    }));
    let (a, b) = ([("x-tenant", "a")], [("x-tenant", "b")]);
    assert_eq!(passes(&layer, &metadata(&a)), 2);
    assert_eq!(passes(&layer, &metadata(&b)), 2);
    assert_eq!(passes(&layer, &Who { path: PEEK, ..metadata(&a) }), 2);
    // Calls for which it returns `None` share one limit.
    call(&layer, &Who::default()).passed();
    call(&layer, &path(PEEK)).passed();
    assert_eq!(passes(&layer, &Who::default()), 0);
}

#[test]
fn b12_calls_for_which_a_function_panics_share_one_limit() {
    tonic_call_test_kit::silence_panics();
    let layer = built(Key::function(|_, head| {
        struct Half;
        impl std::hash::Hash for Half {
            fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
                // Data that was written before the panic is ignored.
                hasher.write_u64(std::ptr::from_ref(self) as usize as u64);
                panic!("in a key, on purpose");
            }
        }
        assert!(!head.headers.contains_key("x-bad"), "a key, on purpose");
        Some(Half)
    }));
    let lines = Lines::default();
    let collecting = lines.collect();
    let called = call(&layer, &Who::default());
    called.passed();
    assert_eq!(called.info.panic().as_deref(), Some("in a key, on purpose"));
    call(&layer, &metadata(&[("x-bad", "1")])).passed();
    call(&layer, &Who::default()).is_refused(tonic::Code::ResourceExhausted, "RATE_LIMITED");
    drop(collecting);
    let text = lines.text();
    assert!(text.contains("ERROR") && text.contains("in a key, on purpose"), "{text}");
}

#[test]
fn b13_each_limit_has_its_own_key() {
    let [who, whence, what] = [
        Quota::per_second(2).by(Key::principal()),
        Quota::per_second(3).by(Key::peer()),
        Quota::per_second(4).by(Key::metadata("x-a")),
    ];
    for quotas in [[who.clone(), whence.clone(), what.clone()], [what, whence, who]] {
        let clock = Hand::default().clock();
        let layer = RateLimitLayer::server(quotas).with_clock(clock).build().unwrap();
        let passes = |principal, peer, value| {
            let headers = &[("x-a", value)];
            let who =
                Who { principal: Some(principal), peer: Some(peer), headers, ..Who::default() };
            passes(&layer, &who)
        };
        assert_eq!(passes("ann", "192.0.2.1", "1"), 2);
        assert_eq!(passes("bob", "192.0.2.1", "1"), 1);
        assert_eq!(passes("bob", "192.0.2.2", "1"), 1);
        assert_eq!(passes("eve", "192.0.2.3", "1"), 0);
        assert_eq!(passes("eve", "192.0.2.3", "2"), 2);
    }
}

fn warnings(layer: &RateLimitLayer, calls: impl Iterator<Item = Who<'static>>) -> Vec<String> {
    let lines = Lines::default();
    let _collecting = lines.collect();
    for from in calls {
        call(layer, &from);
    }
    let text = lines.text();
    text.lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect()
}

#[test]
fn b14_a_limit_by_address_that_sees_only_loopback_warns_once() {
    let local = || std::iter::repeat_n(peer("127.0.0.1"), 500);
    let layer = built(Key::peer());
    let socket = std::iter::repeat_n(Who::default(), 499);
    assert_eq!(warnings(&layer, local().chain(socket)), [""; 0]);
    let told = warnings(&layer, [peer("::1")].into_iter());
    assert_eq!(told.len(), 1);
    assert_eq!(warnings(&layer, local().chain(local()).chain(local())), [""; 0]);
    assert!(told[0].contains("loopback") && told[0].contains("behind"), "{told:?}");

    // One remote address is enough.
    let layer = built(Key::peer());
    let calls = local().chain([peer("192.0.2.1")]).chain(local()).chain(local());
    assert_eq!(warnings(&layer, calls), [""; 0]);
    // A proxy on loopback reports the address of its caller.
    let layer = by(Key::peer()).behind(["127.0.0.1"]).build().unwrap();
    let through = forwarded("127.0.0.1", &[("x-forwarded-for", "203.0.113.1")]);
    assert_eq!(warnings(&layer, std::iter::repeat_n(through, 1_500)), [""; 0]);
    // Without a limit by address there is no warning.
    let layer = built(Key::global());
    assert_eq!(warnings(&layer, local().chain(local()).chain(local())), [""; 0]);
}

#[test]
fn b15_a_limit_by_principal_that_sees_no_principal_warns_once() {
    let unknown = || std::iter::repeat_n(peer("192.0.2.1"), 999);
    let layer = built(Key::principal());
    assert_eq!(warnings(&layer, unknown()), [""; 0]);
    let told = warnings(&layer, unknown());
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("principal") && told[0].contains("outside"), "{told:?}");
    let layer = built(Key::principal());
    assert_eq!(
        warnings(&layer, [principal("ann")].into_iter().chain(unknown()).chain(unknown())),
        [""; 0]
    );
}

#[test]
fn b16_keys_are_hashed_with_seeds_of_each_layer() {
    // The text of a key is not shown anywhere.
    let layer = built(Key::metadata("x-api-key"));
    let secret = [("x-api-key", "s3cret-key")];
    assert_eq!(passes(&layer, &metadata(&secret)), 2);
    let called = call(&layer, &metadata(&secret));
    let shown = format!("{layer:?} {:?} {:?}", called.headers, called.info.fields());
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(!format!("{:?} {:?}", called.details, called.info).contains("s3cret"));
}

proptest! {
    #[test]
    fn b17_no_metadata_panics_and_equal_ones_are_equal(
        values in proptest::collection::vec(proptest::collection::vec(0x20_u8.., 0..60), 0..4),
    ) {
        let layer = built(Key::metadata("x-tenant"));
        let request = || {
            let mut request = Who::default().request();
            for value in &values {
                if let Ok(value) = HeaderValue::from_bytes(value) {
                    request.headers_mut().append("x-tenant", value);
                }
            }
            request
        };
        for passes in [true, true, false] {
            prop_assert_eq!(common::send(&layer, request()).came_through, passes);
        }
    }

    #[test]
    fn b18_a_caller_that_is_not_a_proxy_has_one_key_whatever_it_forwards(
        lines in proptest::collection::vec(proptest::collection::vec(0x20_u8.., 0..60), 3),
    ) {
        let layer = by(Key::peer()).behind(["10.0.0.0/8"]).build().unwrap();
        let mut passed = 0;
        for line in &lines {
            let mut request = peer("203.0.113.5").request();
            if let Ok(line) = HeaderValue::from_bytes(line) {
                request.headers_mut().append("x-forwarded-for", line);
            }
            let info = CallInfo::of(request.extensions()).unwrap().clone();
            passed += usize::from(common::send(&layer, request).came_through);
            prop_assert_eq!(info.panic(), None);
        }
        prop_assert_eq!(passed, 2);
    }
}
