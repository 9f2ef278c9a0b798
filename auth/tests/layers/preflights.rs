//! A CORS preflight that reaches the layer is refused, and one warning says where the CORS layer belongs.

use http::Request;
use tonic_auth_layer::Access;

use crate::common::{Lines, UNARY, Untouched, builder, send};

#[tokio::test]
async fn refused_preflights_are_one_warning_that_names_where_the_cors_layer_stands() {
    for access in [Access::authenticated(), Access::public()] {
        let lines = Lines::default();
        let _collecting = lines.collect();
        let layer = builder().default_access(access).build().unwrap();
        for _ in 0..3 {
            let request = Request::options(UNARY)
                .header("origin", "https://shop.example")
                .header("access-control-request-method", "POST")
                .body(Untouched::default())
                .unwrap();
            let called = send(&layer.clone(), request).await;
            assert_eq!(called.seen.len(), 0, "no handler ran");
        }
        let text = lines.text();
        let warnings: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
        let [warning] = &warnings[..] else { panic!("one warning, not {warnings:?}") };
        assert!(warning.contains("put the CORS layer outside the `AuthLayer`"), "{warning}");
    }
}
