//! Which values of `authorization` are accepted, and which are refused. Each test is a rule.

use http::HeaderValue;
use proptest::prelude::*;
use tonic::Code;

use crate::common::{UNARY, builder, call, request, send};

async fn passes(value: &str) -> Option<String> {
    let layer = builder().build().unwrap();
    let called = call(&layer, UNARY, &[("authorization", value)]).await;
    match called.code {
        Code::Ok => called.passed().identity.unwrap().subject().map(str::to_owned),
        _ => Some(format!("!{}", called.reason())),
    }
}

#[tokio::test]
async fn c01_the_scheme_is_read_in_any_case() {
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        assert_eq!(passes(&format!("{scheme} ann")).await.as_deref(), Some("ann"));
    }
}

#[tokio::test]
async fn c02_one_or_more_spaces_stand_before_the_token() {
    assert_eq!(passes("Bearer    ann").await.as_deref(), Some("ann"));
    for value in ["Bearer\tann", "Bearerann", " Bearer ann", "Bearer ann ", "Bearer \tann"] {
        assert_eq!(passes(value).await.as_deref(), Some("!CREDENTIALS_MALFORMED"), "{value:?}");
    }
}

#[tokio::test]
async fn c03_what_is_not_a_b64token_is_malformed() {
    for token in
        ["", " ", "a b", "a,b", "a;b", "\"a\"", "{\"a\":1}", "a=b", "=", "==", "a\u{e9}", "a%20"]
    {
        let value = format!("Bearer {token}");
        assert_eq!(passes(&value).await.as_deref(), Some("!CREDENTIALS_MALFORMED"), "{value:?}");
    }
    for token in ["a", "a-._~+/b", "a==", "0"] {
        let passed = passes(&format!("Bearer {token}")).await.unwrap();
        assert!(!passed.starts_with('!'), "{token}: {passed}");
    }
}

#[tokio::test]
async fn c04_several_authorization_values_are_malformed_even_if_all_are_good() {
    let layer = builder().build().unwrap();
    for values in
        [["Bearer ann", "Bearer ann"], ["Bearer ann", "Basic x"], ["Basic x", "Bearer ann"]]
    {
        let headers = values.map(|value| ("authorization", value));
        let called = call(&layer, UNARY, &headers).await;
        called.is_refused(Code::Unauthenticated, "CREDENTIALS_MALFORMED");
    }
    for value in ["Bearer ann, Bearer bob", "Bearer ann,Bearer bob"] {
        assert_eq!(passes(value).await.as_deref(), Some("!CREDENTIALS_MALFORMED"));
    }
}

#[tokio::test]
async fn c05_over_8_kib_it_is_malformed() {
    let token = "a".repeat(8 * 1024 - "Bearer ".len());
    assert_eq!(passes(&format!("Bearer {token}")).await, Some(token.clone()));
    let longer = passes(&format!("Bearer {token}a")).await;
    assert_eq!(longer.as_deref(), Some("!CREDENTIALS_MALFORMED"));
}

#[tokio::test]
async fn c06_another_scheme_is_no_bearer_token_and_is_not_shown() {
    let layer = builder().build().unwrap();
    for value in ["Basic YW5uOnNlY3JldA==", "DPoP ann", "Negotiate ann", "bearers ann"] {
        let called = call(&layer, UNARY, &[("authorization", value)]).await;
        called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
        let received = called.field("auth.received").unwrap();
        assert_eq!(received, "Text(\"an authorization of another scheme\")");
    }
}

#[tokio::test]
async fn c07_a_token_without_a_scheme_is_malformed_and_is_not_shown() {
    let layer = builder().build().unwrap();
    let called = call(&layer, UNARY, &[("authorization", "eyJhbGciOiJub25lIn0.e30.")]).await;
    called.is_refused(Code::Unauthenticated, "CREDENTIALS_MALFORMED");
    assert!(!format!("{:?}", called.call.fields()).contains("eyJ"));
}

#[tokio::test]
async fn c08_bytes_that_are_no_text_are_malformed() {
    let layer = builder().build().unwrap();
    for bytes in [&b"Bearer \xff\xfe"[..], b"\xff", b"Bearer a\x80", b""] {
        let mut request = request(UNARY, &[]);
        let value = HeaderValue::from_bytes(bytes).unwrap();
        request.headers_mut().insert("authorization", value);
        let called = send(&layer, request).await;
        called.is_refused(Code::Unauthenticated, "CREDENTIALS_MALFORMED");
    }
}

#[tokio::test]
async fn c09_tokens_are_read_from_no_other_place() {
    let layer = builder().build().unwrap();
    let path = format!("{UNARY}?access_token=ann");
    let headers = [("proxy-authorization", "Bearer ann"), ("cookie", "access_token=ann")];
    call(&layer, &path, &headers).await.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn c10_no_value_panics_and_only_a_bearer_token_passes(
        bytes in prop_oneof![
            prop::collection::vec(prop_oneof![32_u8..127, 128_u8..], 0..64),
            "[Bb]earer {0,2}[ -~]{0,12}".prop_map(String::into_bytes),
        ],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut request = request(UNARY, &[]);
        let value = HeaderValue::from_bytes(&bytes).unwrap();
        request.headers_mut().insert("authorization", value);
        let layer = builder().build().unwrap();
        let called = runtime.block_on(send(&layer, request));
        if called.code == Code::Ok {
            let text = String::from_utf8(bytes).unwrap();
            let token = text.to_ascii_lowercase().starts_with("bearer ");
            prop_assert!(token && !text[7..].trim_start_matches(' ').contains([' ', ',', '"']));
        } else {
            prop_assert!(matches!(called.code, Code::Unauthenticated | Code::Unavailable));
        }
    }
}
