#![allow(clippy::unwrap_used)]

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use tonic::Code;

use super::GetQuery;

fn parse(query: &str) -> GetQuery<'_> {
    GetQuery::parse(query).unwrap()
}

#[track_caller]
fn refused(query: &str, message: &str) {
    let status = GetQuery::parse(query).unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, message), "{query}");
}

#[test]
fn a_query_in_the_recommended_order_is_read() {
    let query = parse("connect=v1&base64=1&compression=gzip&encoding=proto&message=AAEC_-8");
    assert_eq!(
        query,
        GetQuery {
            codec: "proto".into(),
            message: [0, 1, 2, 255, 239].as_slice().to_vec().into(),
            compression: Some("gzip".into()),
            is_v1: true
        }
    );
}

#[test]
fn the_order_is_free_and_other_parameters_are_ignored() {
    let query = parse("x=1&message=%7B%7D&&utm=%zz&encoding=json&%FF=1&connect=v1&message2=3");
    assert_eq!((&*query.message, &*query.codec, query.is_v1), (&b"{}"[..], "json", true));
    assert_eq!(query.compression, None);
}

#[test]
fn the_version_may_be_absent() {
    assert!(!parse("encoding=json&message=").is_v1);
}

#[test]
fn base64_may_have_padding_in_any_form() {
    for message in ["YQ", "YQ==", "YQ%3D%3D", "YQ%3d=", "%59Q"] {
        assert_eq!(
            &*parse(&format!("encoding=json&base64=1&message={message}")).message,
            b"a",
            "{message}"
        );
    }
}

#[test]
fn without_base64_the_message_is_its_own_bytes() {
    assert_eq!(&*parse("encoding=json&message=%7b%22a%22%3a+1%7D").message, b"{\"a\": 1}");
    assert_eq!(&*parse("encoding=proto&message=%08%FF%01+a").message, b"\x08\xFF\x01 a");
    for base64 in ["base64=0", "base64=", "base64=true", "base64"] {
        assert_eq!(
            &*parse(&format!("encoding=json&message=YQ&{base64}")).message,
            b"YQ",
            "{base64}"
        );
    }
}

#[test]
fn an_empty_message_is_not_a_missing_one() {
    for query in
        ["encoding=json&message=", "encoding=json&message", "encoding=json&base64=1&message="]
    {
        assert_eq!(&*parse(query).message, b"", "{query}");
    }
}

#[test]
fn names_of_parameters_may_be_percent_encoded() {
    assert_eq!(&*parse("%65ncoding=json&m%65ssage=a").message, b"a");
}

#[test]
fn an_empty_compression_is_none() {
    assert_eq!(parse("encoding=json&message=&compression=").compression, None);
    assert_eq!(parse("encoding=json&message=&compression=br").compression, Some("br".into()));
}

#[test]
fn what_is_missing_is_named() {
    refused("", "query parameter `encoding` is missing");
    refused("message=a", "query parameter `encoding` is missing");
    refused("encoding=json", "query parameter `message` is missing");
}

#[test]
fn what_comes_twice_is_refused() {
    refused("encoding=json&message=a&message=b", "query parameter `message` comes twice");
    refused("encoding=json&message=a&%6Dessage=a", "query parameter `message` comes twice");
    refused("encoding=json&encoding=json&message=a", "query parameter `encoding` comes twice");
    refused(
        "connect=v1&connect=v1&encoding=json&message=a",
        "query parameter `connect` comes twice",
    );
}

#[test]
fn what_is_malformed_is_named() {
    refused("connect=v2&encoding=json&message=", "query parameter `connect` is not `v1`");
    refused("connect=&encoding=json&message=", "query parameter `connect` is not `v1`");
    for message in ["%", "%1", "%zz", "%+1"] {
        let query = format!("encoding=json&message={message}");
        refused(&query, "query parameter `message` is not percent-encoded correctly");
    }
    for message in ["Y", "YQ=a", "Y+==", "a/b=", "Y Q=", "YQ%0A", "=", "%00"] {
        let query = format!("encoding=json&base64=1&message={message}");
        refused(&query, "query parameter `message` is not URL-safe base64");
    }
    refused("encoding=%FF&message=", "query parameter `encoding` is not UTF-8");
}

fn percent_encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

proptest! {
    #[test]
    fn any_query_is_read_or_refused(query in any::<String>()) {
        let _ = GetQuery::parse(&query);
    }

    #[test]
    fn any_query_of_known_names_is_read_or_refused(
        query in "((message|encoding|base64|connect|compression)=(%[0-9a-f]{0,2}|[a-z0-9=+_-]|&){0,9}&){0,6}"
    ) {
        if let Err(status) = GetQuery::parse(&query) {
            prop_assert_eq!(status.code(), Code::InvalidArgument);
        }
    }

    #[test]
    fn every_message_arrives_in_every_form(message in any::<Vec<u8>>()) {
        let forms = [
            format!("base64=1&message={}", URL_SAFE.encode(&message)),
            format!("base64=1&message={}", URL_SAFE_NO_PAD.encode(&message)),
            format!("base64=1&message={}", percent_encoded(URL_SAFE.encode(&message).as_bytes())),
            format!("message={}", percent_encoded(&message)),
        ];
        for form in forms {
            prop_assert_eq!(&GetQuery::parse(&format!("encoding=proto&{form}")).unwrap().message[..], &message[..]);
        }
    }
}
