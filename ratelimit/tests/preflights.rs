//! A CORS preflight that reaches the layer is refused, and one warning says where the CORS layer belongs.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Lines, metadata, send};
use http::Method;
use tonic::Code;
use tonic_ratelimit_layer::{Quota, RateLimitLayer};

const PREFLIGHT: [(&str, &str); 2] =
    [("origin", "https://shop.example"), ("access-control-request-method", "POST")];

#[test]
fn refused_preflights_are_one_warning_that_says_where_the_cors_layer_belongs() {
    let lines = Lines::default();
    let _collecting = lines.collect();
    let layer = RateLimitLayer::server(Quota::per_second(1_000)).build().unwrap();
    for _ in 0..3 {
        let mut request = metadata(&PREFLIGHT).request();
        *request.method_mut() = Method::OPTIONS;
        let called = send(&layer.clone(), request);
        assert_eq!((called.code, called.came_through), (Code::PermissionDenied, false));
    }
    let text = lines.text();
    let warnings: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
    let [warning] = &warnings[..] else { panic!("one warning, not {warnings:?}") };
    assert!(warning.contains("put the CORS layer outside the `RateLimitLayer`"), "{warning}");
}
