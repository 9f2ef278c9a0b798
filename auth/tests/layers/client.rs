//! Which credentials a client sends, and to which endpoints. Each test is a rule.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Uri};
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_auth_layer::{
    BearerToken, CredentialsLayer, NoToken, NotEncrypted, Obtaining, TokenFile, TokenSource,
    token_async,
};
use tonic_call::{CallInfo, Refusal, Side};
use tower::{Layer as _, ServiceExt as _};

use crate::common::{self, Inner, UNARY, request};

fn token(text: &str) -> BearerToken {
    BearerToken::new(text).unwrap()
}

/// The headers that are sent, or the status that the caller gets.
async fn sent(
    layer: &CredentialsLayer,
    uri: &str,
    headers: &[(&'static str, &str)],
) -> Result<HeaderMap, Status> {
    let inner = Inner::default();
    let mut request = request(UNARY, headers);
    *request.uri_mut() = uri.parse::<Uri>().unwrap();
    let response = layer.layer(inner.clone()).oneshot(request).await.unwrap();
    match Status::from_header_map(response.headers()) {
        Some(status) => {
            assert!(inner.seen().is_empty(), "it was sent");
            Err(status)
        }
        None => Ok(inner.seen().remove(0).headers),
    }
}

async fn authorization(layer: &CredentialsLayer) -> Result<String, Status> {
    let headers = sent(layer, UNARY, &[]).await?;
    assert!(headers["authorization"].is_sensitive());
    assert_eq!(headers.get_all("authorization").iter().count(), 1);
    Ok(headers["authorization"].to_str().unwrap().to_owned())
}

fn plain(source: impl TokenSource) -> CredentialsLayer {
    CredentialsLayer::bearer(source).allow_unencrypted()
}

#[tokio::test]
async fn h01_a_token_is_sent_and_marked_as_sensitive() {
    assert_eq!(authorization(&plain(token("abc"))).await.unwrap(), "Bearer abc");
}

#[tokio::test]
async fn h02_a_function_is_asked_for_every_call() {
    let count = AtomicUsize::new(0);
    let layer =
        plain(move || Ok(BearerToken::new(&format!("t{}", count.fetch_add(1, Ordering::SeqCst)))?));
    assert_eq!(authorization(&layer).await.unwrap(), "Bearer t0");
    assert_eq!(authorization(&layer).await.unwrap(), "Bearer t1");
}

#[tokio::test]
async fn h03_so_is_one_that_has_to_ask() {
    let layer = plain(token_async(|| async {
        tokio::task::yield_now().await;
        Ok(token("later"))
    }));
    assert_eq!(authorization(&layer).await.unwrap(), "Bearer later");
}

#[tokio::test]
async fn h04_without_a_token_a_call_is_not_sent() {
    let now = plain(|| Err(NoToken::new("the vault is sealed")));
    let later = plain(token_async(|| async { Err(NoToken::new("the vault is sealed")) }));
    for layer in [now, later] {
        let status = sent(&layer, UNARY, &[]).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unavailable, "no token to call with: the vault is sealed")
        );
    }
}

#[tokio::test]
async fn h05_nor_when_its_source_panics() {
    tonic_call_test_kit::silence_panics();
    let now = plain(|| panic!("on purpose"));
    let later = plain(token_async(|| async { panic!("on purpose") }));
    for layer in [now, later] {
        let status = sent(&layer, UNARY, &[]).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "no token to call with"));
    }
}

#[tokio::test]
async fn h06_a_call_that_brings_its_own_keeps_it_and_it_is_sensitive() {
    let layer = plain(token("ours"));
    let headers = sent(&layer, UNARY, &[("authorization", "Bearer own")]).await.unwrap();
    let values: Vec<_> = headers.get_all("authorization").iter().collect();
    assert!(values.len() == 1 && values[0] == "Bearer own" && values[0].is_sensitive());
}

#[test]
fn h07_an_endpoint_that_does_not_encrypt_gets_no_credentials() {
    for uri in ["http://orders.example", "http://127.0.0.1:1", "unix:/run/orders.sock"] {
        let endpoint = Endpoint::from_shared(uri.to_owned()).unwrap();
        let error = CredentialsLayer::bearer(token("abc")).to(&endpoint).unwrap_err();
        assert_eq!(error, NotEncrypted::Endpoint, "{uri}");
        assert!(error.to_string().contains("allow_unencrypted"));
    }
}

#[tokio::test]
async fn h08_one_that_does_gets_them() {
    let endpoint = Endpoint::from_static("https://orders.example");
    let layer = CredentialsLayer::bearer(token("abc")).to(&endpoint).unwrap();
    assert_eq!(authorization(&layer).await.unwrap(), "Bearer abc");
    let headers = sent(&layer, "https://orders.example/a.B/C", &[]).await.unwrap();
    assert_eq!(headers["authorization"], "Bearer abc");
}

#[tokio::test]
async fn h09_a_call_that_says_http_gets_none_wherever_the_layer_stands() {
    let endpoint = Endpoint::from_static("https://orders.example");
    let layer = CredentialsLayer::bearer(token("abc")).to(&endpoint).unwrap();
    for headers in [&[][..], &[("authorization", "Bearer own")]] {
        let status = sent(&layer, "http://orders.example/a.B/C", headers).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    sent(&plain(token("abc")), "http://orders.example/a.B/C", &[]).await.unwrap();
}

#[tokio::test]
async fn h10_a_refusal_is_told_to_the_slot_of_the_client_and_not_to_the_servers() {
    let layer = plain(|| Err(NoToken::new("none")));
    let mut request = request(UNARY, &[]);
    let server = CallInfo::get_or_insert(Side::Server, request.extensions_mut());
    layer.layer(Inner::default()).oneshot(request).await.unwrap();
    assert_eq!(server.refusals(), []);

    let mut request = common::request(UNARY, &[]);
    let client = CallInfo::get_or_insert(Side::Client, request.extensions_mut());
    layer.layer(Inner::default()).oneshot(request).await.unwrap();
    assert_eq!(client.refusals(), [Refusal::new("auth", "TOKEN_UNAVAILABLE")]);
}

#[test]
fn h11_what_is_no_token_is_refused_and_no_token_is_shown() {
    for text in ["", " ", "a b", "a\nb", "Bearer abc", "é", "a,b"] {
        let error = BearerToken::new(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("abc"));
    }
    assert_eq!(format!("{:?}", token("abc\n")), "BearerToken");
}

/// A JWT that expires this many seconds after the clock's start.
fn jwt(name: &str, expires: Option<(SystemTime, u64)>) -> String {
    let claims = match expires {
        Some((start, seconds)) => {
            let at = start + Duration::from_secs(seconds);
            let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            format!(r#"{{"sub":"{name}","exp":{at}}}"#)
        }
        None => format!(r#"{{"sub":"{name}"}}"#),
    };
    format!("e30.{}.{name}", URL_SAFE_NO_PAD.encode(claims))
}

/// The name of the token that is sent.
async fn name(layer: &CredentialsLayer) -> Result<String, Status> {
    let token = authorization(layer).await?;
    Ok(token.rsplit('.').next().unwrap().to_owned())
}

/// Waits until all background tasks have ended.
async fn settle() {
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[tokio::test(start_paused = true)]
async fn h12_a_file_is_read_again_once_a_minute_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    write(&path, "x.y.one\n");
    let layer = plain(TokenFile::open(&path).unwrap());
    write(&path, "x.y.two\n");
    assert_eq!(name(&layer).await.unwrap(), "one");
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(name(&layer).await.unwrap(), "one");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(name(&layer).await.unwrap(), "one", "nobody waits for the file");
    settle().await;
    assert_eq!(name(&layer).await.unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn h13_a_token_that_is_about_to_expire_is_not_sent() {
    let (clock, start) = common::clock();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    write(&path, &jwt("one", Some((start, 70))));
    let layer = plain(TokenFile::with_clock(&path, clock).unwrap());
    write(&path, &jwt("two", Some((start, 3_600))));
    tokio::time::advance(Duration::from_secs(39)).await;
    assert_eq!(name(&layer).await.unwrap(), "one");
    // 30 s before its expiry, before the minute is over.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(name(&layer).await.unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn h14_while_the_file_is_bad_the_old_token_serves_until_it_expires() {
    let (clock, start) = common::clock();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    write(&path, &jwt("one", Some((start, 300))));
    let layer = plain(TokenFile::with_clock(&path, clock).unwrap());
    for bad in [Some(""), Some("not a token"), Some(&*"x".repeat(10_000)), None] {
        match bad {
            Some(text) => write(&path, text),
            None => fs::remove_file(&path).unwrap(),
        }
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(name(&layer).await.unwrap(), "one");
        settle().await;
        assert_eq!(name(&layer).await.unwrap(), "one");
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    let status = name(&layer).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("can't be read"), "{}", status.message());
    let folder = folder.path().to_str().unwrap();
    assert!(!status.message().contains(folder), "the caller's caller may see it");
    // The file is read again after a second, and not earlier.
    write(&path, &jwt("two", Some((start, 9_000))));
    assert_eq!(name(&layer).await.unwrap_err().code(), Code::Unavailable);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(name(&layer).await.unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn h15_many_callers_read_a_file_once() {
    let (clock, start) = common::clock();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    write(&path, &jwt("one", Some((start, 100))));
    let layer = plain(TokenFile::with_clock(&path, clock).unwrap());
    fs::remove_file(&path).unwrap();
    let lines = common::Lines::default();
    let _collect = lines.collect();
    let reads = || lines.text().matches("can't be read again").count();
    // Once while the token is still valid, and once after that.
    for (seconds, reads_so_far) in [(60, 1), (11, 2)] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        let callers: Vec<_> = (0..100)
            .map(|_| {
                let layer = layer.clone();
                tokio::spawn(async move { name(&layer).await.is_ok() })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), seconds == 60);
        }
        settle().await;
        assert_eq!(reads(), reads_so_far);
    }
}

#[test]
fn h16_a_file_that_is_none_is_refused_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    assert!(TokenFile::open(&path).unwrap_err().to_string().contains("can't be read"));
    write(&path, "two words");
    let error = TokenFile::open(&path).unwrap_err().to_string();
    assert!(error.contains("does not hold a bearer token") && !error.contains("two words"));
    write(&path, &"x".repeat(8 * 1024 + 1));
    assert!(TokenFile::open(&path).unwrap_err().to_string().contains("longer than 8192 bytes"));
    assert!(TokenFile::open("/dev/zero").is_err(), "it never ends");
}

#[tokio::test(start_paused = true)]
async fn h17_a_token_with_a_nonsensical_expiry_is_taken_not_to_expire() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let of = |claims: &str| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
    for claims in [
        r#"{"exp":1e300}"#,
        r#"{"exp":-1}"#,
        r#"{"exp":"soon"}"#,
        "[]",
        "not JSON",
        r#"{"exp":null}"#,
    ] {
        write(&path, &of(claims));
        let layer = plain(TokenFile::open(&path).unwrap());
        assert_eq!(name(&layer).await.unwrap(), "x", "{claims}");
    }
}

#[test]
fn h18_a_runtime_that_ends_while_it_reads_takes_nothing_along() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    write(&path, "x.y.one");
    let (first, second) = (runtime(), runtime());
    let layer = first.block_on(async { plain(TokenFile::open(&path).unwrap()) });
    write(&path, "x.y.two");
    first.block_on(async {
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(name(&layer).await.unwrap(), "one");
    });
    drop(first);
    second.block_on(async {
        tokio::time::advance(Duration::from_secs(120)).await;
        assert_eq!(name(&layer).await.unwrap(), "one");
        settle().await;
        assert_eq!(name(&layer).await.unwrap(), "two");
    });
}

#[tokio::test(start_paused = true)]
async fn h19_many_callers_begin_one_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    write(&path, "x.y.one");
    let file = TokenFile::open(&path).unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    for _ in 0..100 {
        assert!(matches!(file.token(), Obtaining::Ready(Ok(_))));
    }
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 1);
}

#[tokio::test]
async fn h20_the_channel_that_was_ready_is_the_one_that_is_called() {
    let later = plain(token_async(|| async {
        tokio::task::yield_now().await;
        Ok(token("later"))
    }));
    for layer in [later, plain(token("now"))] {
        common::calls_what_was_ready(layer.layer(common::MustBeReady(false))).await;
    }
}
