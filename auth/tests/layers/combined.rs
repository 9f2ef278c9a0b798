//! Several kinds of credentials, and API keys. Each test is a rule.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderName;
use proptest::prelude::*;
use tonic::Code;
use tonic_auth_layer::{
    ApiKeyError, ApiKeys, AuthLayer, Authenticate, Authenticating, Failure, Head, Identity,
    Incoming, Outcome, Reason, all_of, any_of, authenticate_async, authenticate_fn,
};
use tonic_call::Rpc;

use crate::common::{self, UNARY, by_token, call};

const SECRET: &str = "2f1e6cb6a9f44dd2a1b95f47a0a7ce5d";
const OTHER: &str = "b7b1f3a05c7e4b5a8e0d6f1c2a3b4c5d";

fn keys() -> ApiKeys {
    let billing = Identity::new("api_key").with_subject("billing").with_scopes(["a"]);
    ApiKeys::new().key(SECRET, billing).unwrap()
}

fn tokens() -> impl Authenticate {
    authenticate_fn(by_token)
}

fn tokens_later() -> impl Authenticate {
    authenticate_async(|head: Head| async move {
        tokio::task::yield_now().await;
        by_token(&head.as_incoming())
    })
}

fn layer(callers: impl Authenticate) -> AuthLayer {
    AuthLayer::new(callers).build().unwrap()
}

const GOOD_KEY: (&str, &str) = ("x-api-key", SECRET);
const BAD_KEY: (&str, &str) = ("x-api-key", OTHER);
const GOOD: (&str, &str) = ("authorization", "Bearer ann");
const BAD: (&str, &str) = ("authorization", "Bearer bad");
const UNKNOWN: (&str, &str) = ("authorization", "Bearer unknown");

/// The subject of the caller, or the reason of the refusal.
async fn who(layer: &AuthLayer, headers: &[(&'static str, &str)]) -> String {
    let called = call(layer, UNARY, headers).await;
    match called.code {
        Code::Ok => called.passed().identity.unwrap().subject().unwrap().to_owned(),
        _ => called.reason().to_owned(),
    }
}

#[tokio::test]
async fn d01_an_api_key_names_its_caller() {
    let layer = layer(keys());
    let seen = call(&layer, UNARY, &[GOOD_KEY]).await.passed();
    let identity = seen.identity.unwrap();
    assert!(identity.has_scope("a") && identity.subject() == Some("billing"));
    assert_eq!(seen.principal.as_deref(), Some("api_key:billing"));
    assert!(seen.headers["x-api-key"].is_sensitive());
}

#[tokio::test]
async fn d02_any_other_key_is_invalid() {
    let layer = layer(keys());
    let longer = format!("{SECRET}0");
    for key in [OTHER, &SECRET[..31], &longer, &SECRET.to_uppercase(), "", " "] {
        assert_eq!(who(&layer, &[("x-api-key", key)]).await, "TOKEN_INVALID", "{key:?}");
    }
    assert_eq!(who(&layer, &[]).await, "CREDENTIALS_MISSING");
    assert_eq!(who(&layer, &[("authorization", SECRET)]).await, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn d03_several_keys_are_malformed() {
    let layer = layer(keys());
    assert_eq!(who(&layer, &[GOOD_KEY, GOOD_KEY]).await, "CREDENTIALS_MALFORMED");
    assert_eq!(who(&layer, &[BAD_KEY, GOOD_KEY]).await, "CREDENTIALS_MALFORMED");
    let longer = "k".repeat(8 * 1024 + 1);
    assert_eq!(who(&layer, &[("x-api-key", &longer)]).await, "CREDENTIALS_MALFORMED");
}

#[test]
fn d04_keys_that_are_weak_or_cannot_be_sent_are_refused_where_they_are_written() {
    let add = |key: &str| keys().key(key, Identity::new("api_key")).err();
    assert_eq!(add("short"), Some(ApiKeyError::Short));
    assert_eq!(add(""), Some(ApiKeyError::Short));
    assert_eq!(add("2f1e6cb6a9f44dd2\n"), Some(ApiKeyError::Text));
    assert_eq!(add(" 2f1e6cb6a9f44dd2"), Some(ApiKeyError::Text));
    assert_eq!(add("2f1e6cb6a9f44dd2é"), Some(ApiKeyError::Text));
    assert_eq!(add(SECRET), Some(ApiKeyError::Twice));
    assert_eq!(add(OTHER), None);
}

#[tokio::test]
async fn d05_a_key_can_be_given_by_its_hash_and_read_from_another_header() {
    let hash = sha256(OTHER);
    let keys = ApiKeys::new()
        .header(HeaderName::from_static("x-partner-key"))
        .sha256(hash, Identity::new("api_key").with_subject("partner"))
        .unwrap();
    let layer = layer(keys);
    assert_eq!(who(&layer, &[("x-partner-key", OTHER)]).await, "partner");
    assert_eq!(who(&layer, &[BAD_KEY]).await, "CREDENTIALS_MISSING");
}

fn sha256(text: &str) -> [u8; 32] {
    use aws_lc_rs::digest;
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().try_into().unwrap()
}

#[test]
fn d06_nothing_shows_a_key() {
    assert!(!format!("{:?}", keys()).contains(SECRET));
    let error = keys().key(SECRET, Identity::new("api_key")).unwrap_err();
    assert!(!format!("{error:?} {error}").contains(SECRET));
}

#[tokio::test]
async fn d07_any_of_takes_the_first_kind_that_is_there() {
    for layer in [layer(any_of(tokens()).or(keys())), layer(any_of(tokens_later()).or(keys()))] {
        assert_eq!(who(&layer, &[GOOD]).await, "ann");
        assert_eq!(who(&layer, &[GOOD_KEY]).await, "billing");
        assert_eq!(who(&layer, &[GOOD, GOOD_KEY]).await, "ann");
        assert_eq!(who(&layer, &[]).await, "CREDENTIALS_MISSING");
    }
}

#[tokio::test]
async fn d08_a_bad_credential_is_never_passed_over_for_a_weaker_one() {
    for layer in [layer(any_of(tokens()).or(keys())), layer(any_of(tokens_later()).or(keys()))] {
        assert_eq!(who(&layer, &[BAD, GOOD_KEY]).await, "TOKEN_INVALID");
        assert_eq!(who(&layer, &[UNKNOWN, GOOD_KEY]).await, "VERIFIER_UNAVAILABLE");
        let malformed = ("authorization", "Bearer a b");
        assert_eq!(who(&layer, &[malformed, GOOD_KEY]).await, "CREDENTIALS_MALFORMED");
        assert_eq!(who(&layer, &[GOOD, GOOD, GOOD_KEY]).await, "CREDENTIALS_MALFORMED");
    }
}

#[tokio::test]
async fn d09_unless_asked() {
    let any = || any_of(tokens()).or(keys()).or_else_if_bad();
    let later = any_of(tokens_later()).or(keys()).or_else_if_bad();
    for layer in [layer(any()), layer(later)] {
        assert_eq!(who(&layer, &[BAD, GOOD_KEY]).await, "billing");
        assert_eq!(who(&layer, &[BAD, BAD_KEY]).await, "TOKEN_INVALID");
        assert_eq!(who(&layer, &[UNKNOWN, BAD_KEY]).await, "VERIFIER_UNAVAILABLE");
        assert_eq!(who(&layer, &[BAD]).await, "TOKEN_INVALID");
        assert_eq!(who(&layer, &[]).await, "CREDENTIALS_MISSING");
    }
}

#[tokio::test]
async fn d10_all_of_asks_for_every_kind() {
    for layer in [layer(all_of(tokens()).and(keys())), layer(all_of(tokens_later()).and(keys()))] {
        let seen = call(&layer, UNARY, &[GOOD, GOOD_KEY]).await.passed();
        let identity = seen.identity.unwrap();
        assert_eq!(identity.subject(), Some("ann"));
        assert_eq!(identity.also()[0].subject(), Some("billing"));
        assert!(!identity.has_scope("a"), "what the other may do is the other's");
        for (headers, reason) in [
            (&[GOOD][..], "CREDENTIALS_MISSING"),
            (&[GOOD_KEY], "CREDENTIALS_MISSING"),
            (&[], "CREDENTIALS_MISSING"),
            (&[GOOD, BAD_KEY], "TOKEN_INVALID"),
            (&[BAD, GOOD_KEY], "TOKEN_INVALID"),
            (&[BAD_KEY], "TOKEN_INVALID"),
            (&[UNKNOWN, GOOD_KEY], "VERIFIER_UNAVAILABLE"),
        ] {
            assert_eq!(who(&layer, headers).await, reason, "{headers:?}");
        }
    }
}

#[tokio::test]
async fn d10_the_operator_learns_which_kinds_of_all_were_there() {
    for (headers, received) in [(&[GOOD][..], "only token"), (&[GOOD_KEY], "only api_key")] {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let writes = Arc::clone(&seen);
        let layer = AuthLayer::new(all_of(tokens()).and(keys()))
            .on_decision(move |decision| {
                let failure = decision.failure().unwrap();
                assert_eq!(failure.check(), "all_of");
                writes.lock().unwrap().extend(failure.received_value().map(str::to_owned));
            })
            .build()
            .unwrap();
        assert_eq!(who(&layer, headers).await, "CREDENTIALS_MISSING");
        assert_eq!(*seen.lock().unwrap(), [received]);
    }
}

#[tokio::test]
async fn d11_some_kinds_of_all_are_not_absent_so_that_no_weaker_kind_takes_over() {
    let layer = layer(
        any_of(all_of(tokens()).and(keys()))
            .or(authenticate_fn(|_: &Incoming<'_>| Identity::new("weak").with_subject("anybody"))),
    );
    assert_eq!(who(&layer, &[]).await, "anybody");
    assert_eq!(who(&layer, &[GOOD]).await, "CREDENTIALS_MISSING");
    assert_eq!(who(&layer, &[BAD]).await, "TOKEN_INVALID");
}

#[tokio::test]
async fn d12_all_of_expires_with_whichever_does_first() {
    let (clock, start) = common::clock();
    let until = move |seconds| {
        let at = start + Duration::from_secs(seconds);
        authenticate_fn(move |_| Identity::new("until").with_subject("x").with_expires_at(at))
    };
    let forever = || authenticate_fn(|_| Identity::new("forever").with_subject("x"));
    for (layer, seconds) in [
        (AuthLayer::new(all_of(until(9)).and(until(5))), 5),
        (AuthLayer::new(all_of(until(5)).and(until(9))), 5),
        (AuthLayer::new(all_of(forever()).and(until(5))), 5),
        (AuthLayer::new(all_of(until(5)).and(forever())), 5),
    ] {
        let layer = layer.with_clock(clock.clone()).build().unwrap();
        let identity = call(&layer, UNARY, &[]).await.passed().identity.unwrap();
        assert_eq!(identity.expires_at(), Some(start + Duration::from_secs(seconds)));
    }
}

#[tokio::test]
async fn d13_every_kind_says_how_to_call_and_hides_its_own() {
    let layer = AuthLayer::new(any_of(tokens()).or(keys())).remove_credentials().build().unwrap();
    let called = call(&layer, UNARY, &[]).await;
    assert_eq!(called.challenges(), [r#"Bearer realm="tonic-auth-layer""#]);
    let seen = call(&layer, UNARY, &[GOOD, GOOD_KEY]).await.passed();
    assert!(!seen.headers.contains_key("x-api-key") && !seen.headers.contains_key("authorization"));
}

#[tokio::test]
async fn d14_what_comes_after_the_answer_is_not_asked() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let counts = authenticate_fn(move |_: &Incoming<'_>| {
        count.fetch_add(1, Ordering::SeqCst);
        Identity::new("counted").with_subject("x")
    });
    let layer = layer(any_of(tokens()).or(counts));
    who(&layer, &[GOOD]).await;
    who(&layer, &[BAD]).await;
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

/// Kinds of credentials, combined.
#[derive(Clone, Debug)]
enum Tree {
    Known(u8),
    Absent,
    Bad,
    Unknown,
    Any(Vec<Tree>, bool),
    All(Vec<Tree>),
}

/// The result of an authenticator.
#[derive(Clone, Debug, PartialEq)]
enum Found {
    Known(u8),
    Absent,
    Failed(Reason),
}

impl Tree {
    /// The expected result, by a simple model.
    fn model(&self) -> Found {
        match self {
            Self::Known(who) => Found::Known(*who),
            Self::Absent => Found::Absent,
            Self::Bad => Found::Failed(Reason::TokenInvalid),
            Self::Unknown => Found::Failed(Reason::VerifierUnavailable),
            Self::Any(trees, or_else_if_bad) => {
                let all: Vec<_> = trees.iter().map(Self::model).collect();
                let counts = |found: &&Found| match found {
                    Found::Absent => false,
                    Found::Failed(_) => !or_else_if_bad,
                    Found::Known(_) => true,
                };
                let failed = |found: &&Found| matches!(found, Found::Failed(_));
                let first = all.iter().find(counts).or_else(|| all.iter().find(failed));
                first.cloned().unwrap_or(Found::Absent)
            }
            Self::All(trees) => {
                let all: Vec<_> = trees.iter().map(Self::model).collect();
                let failed = all.iter().find(|found| matches!(found, Found::Failed(_)));
                let known = all.iter().find(|found| matches!(found, Found::Known(_)));
                match (failed, known) {
                    (Some(failed), _) => failed.clone(),
                    (None, None) => Found::Absent,
                    (None, Some(_)) if all.contains(&Found::Absent) => {
                        Found::Failed(Reason::CredentialsMissing)
                    }
                    (None, Some(known)) => known.clone(),
                }
            }
        }
    }

    /// The authenticator; the bits of `later` select the leaves that are asynchronous.
    fn build(&self, later: &mut u64) -> Box<dyn Authenticate> {
        let outcome = match self {
            Self::Known(who) => Identity::new("test").with_subject(who.to_string()).into(),
            Self::Absent => Outcome::Absent,
            Self::Bad => Failure::new(Reason::TokenInvalid, "test").into(),
            Self::Unknown => Outcome::unavailable("test"),
            Self::Any(trees, or_else_if_bad) => {
                let mut rest = trees.iter();
                let mut any = any_of(rest.next().unwrap().build(later));
                for tree in rest {
                    any = any.or(tree.build(later));
                }
                return Box::new(if *or_else_if_bad { any.or_else_if_bad() } else { any });
            }
            Self::All(trees) => {
                let mut rest = trees.iter();
                let mut all = all_of(rest.next().unwrap().build(later));
                for tree in rest {
                    all = all.and(tree.build(later));
                }
                return Box::new(all);
            }
        };
        *later = later.rotate_right(1);
        match *later & 1 {
            0 => Box::new(authenticate_fn(move |_| outcome.clone())),
            _ => Box::new(authenticate_async(move |_| {
                let outcome = outcome.clone();
                async {
                    tokio::task::yield_now().await;
                    outcome
                }
            })),
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        (0_u8..4).prop_map(Tree::Known),
        Just(Tree::Absent),
        Just(Tree::Bad),
        Just(Tree::Unknown),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let some = prop::collection::vec(inner, 1..4);
        prop_oneof![
            (some.clone(), any::<bool>()).prop_map(|(trees, lax)| Tree::Any(trees, lax)),
            some.prop_map(Tree::All),
        ]
    })
}

proptest! {
    #[test]
    fn d15_whatever_is_combined_finds_the_same_at_once_and_later(tree in trees(), later: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (head, _) = common::request(UNARY, &[]).into_parts();
        let rpc = Rpc::from_uri(&head.uri);
        for mut later in [0, u64::MAX, later] {
            let call = Incoming::new(&head, &rpc, std::time::SystemTime::UNIX_EPOCH);
            let found = match tree.build(&mut later).authenticate(&call) {
                Authenticating::Ready(outcome) => outcome,
                Authenticating::Later(later) => runtime.block_on(later),
            };
            let found = match found {
                Outcome::Identified { identity, .. } => {
                    Found::Known(identity.subject().unwrap().parse().unwrap())
                }
                Outcome::Absent => Found::Absent,
                Outcome::Refused(failure) | Outcome::Unavailable(failure) => {
                    Found::Failed(failure.reason())
                }
            };
            prop_assert_eq!(found, tree.model());
        }
    }
}
