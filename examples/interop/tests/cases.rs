//! Our client against our server: each case, with and without layers, TLS and tokens.
#![allow(clippy::unwrap_used)]

mod files;
mod process;

use std::collections::BTreeMap;

use files::Files;
use process::{Served, client};

/// What tonic cannot do, whatever surrounds it.
const NOT_POSSIBLE: [(&str, &str); 3] = [
    ("cacheable_unary", "not possible: tonic sends POST only; both calls were OK"),
    (
        "client_compressed_streaming",
        "not possible: tonic cannot mix both in a stream; a compressed stream was OK",
    ),
    (
        "server_compressed_streaming",
        "not possible: the server cannot mix both in a stream; a compressed stream was OK",
    ),
];

/// How `jwt_token_creds` ends without a token.
const NO_TOKEN: &str = "not possible: needs --token_file and --default_service_account";

const PASSED: [&str; 17] = [
    "empty_unary",
    "large_unary",
    "client_compressed_unary",
    "server_compressed_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "rpc_soak",
];

/// Each case of a run of `all` that does not fail.
fn every_case(token: &'static str) -> BTreeMap<String, String> {
    let passed = PASSED.map(|case| (case, "passed"));
    let all = passed.into_iter().chain(NOT_POSSIBLE).chain([("jwt_token_creds", token)]);
    all.map(|(case, ended)| (case.to_owned(), ended.to_owned())).collect()
}

#[test]
fn every_case_passes_with_every_layer_on_both_sides() {
    let server = Served::start::<&str>(&[]);
    assert_eq!(client(&server, &["--test_case=all"]), every_case(NO_TOKEN));
}

#[test]
fn a_bare_client_sees_no_difference_between_a_bare_and_a_layered_server() {
    let mut expected = every_case(NO_TOKEN);
    // tonic's client does not enforce a deadline after the head.
    expected.remove("timeout_on_sleeping_server").unwrap();
    let cases = Vec::from_iter(expected.keys().map(String::as_str)).join(",");
    let flags = ["--bare".to_owned(), format!("--test_case={cases}")];
    assert_eq!(client(&Served::start(&["--bare"]), &flags), expected);
    assert_eq!(client(&Served::start::<&str>(&[]), &flags), expected);
}

#[test]
fn every_case_passes_when_a_layered_client_calls_a_bare_server() {
    let server = Served::start(&["--bare"]);
    assert_eq!(client(&server, &["--test_case=all"]), every_case(NO_TOKEN));
}

#[test]
fn every_case_passes_over_tls_with_tokens() {
    let files = Files::new();
    let server = Served::start(&[files.server_tls(), files.server_auth()].concat());
    let flags =
        [files.client_tls(), files.client_auth(), vec!["--test_case=all".to_owned()]].concat();
    assert_eq!(client(&server, &flags), every_case("passed"));
}

#[test]
fn every_case_passes_over_the_tls_of_tonic() {
    let files = Files::new();
    let server = Served::start(&[files.server_tls(), vec!["--bare".to_owned()]].concat());
    let flags = [files.client_tls(), vec!["--test_case=all".to_owned()]].concat();
    assert_eq!(client(&server, &flags), every_case(NO_TOKEN));
}

#[test]
fn without_a_token_no_method_can_be_called() {
    let files = Files::new();
    let server = Served::start(&files.server_auth());
    let ended = client(&server, &["--test_case=empty_unary,unimplemented_service"]);
    for case in ["empty_unary", "unimplemented_service"] {
        assert!(ended[case].starts_with("failed: Unauthenticated"), "{ended:?}");
    }
}

#[test]
fn a_certificate_of_another_ca_is_refused() {
    let (files, others) = (Files::new(), Files::new());
    let server = Served::start(&files.server_tls());
    let flags = [others.client_tls(), vec!["--test_case=empty_unary".to_owned()]].concat();
    assert!(client(&server, &flags)["empty_unary"].starts_with("failed: Unavailable"));
}

#[test]
fn an_unknown_case_fails() {
    let server = Served::start::<&str>(&[]);
    let ended = client(&server, &["--test_case=no_such_case"]);
    assert_eq!(ended["no_such_case"], "failed: there is no such case");
}
