//! Tokens and keys of a third-party provider: the certified `oidc-provider` of npm, on loopback.
//!
//! It needs Node.js 22 or newer, and the packages that `npm ci --prefix .ci/openid` installs:
//! `cargo test -p tonic-auth-layer --test openid_provider -- --ignored`.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

#[path = "../../.ci/openid/provider.rs"]
mod provider;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use provider::{BILLING, ORDERS, ORDERS_BY_EC, Provider, key_of, soon};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::{Channel, Server};
use tonic_auth_layer::jwt::{FetchResult, Issuer, Jwt};
use tonic_auth_layer::{Access, AuthLayer, Decision};
use tonic_call::MethodKind;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KINDS, KindsService, Outcome, call, listen};

const CALLERS: usize = 8;

fn discovered(provider: &Provider) -> Issuer {
    Jwt::discover(&*provider.issuer).audience("orders").rfc9068()
}

/// The results of fetches of keys, and the number of keys after each.
type Fetches = UnboundedReceiver<(FetchResult, usize)>;

async fn verifier(issuer: Issuer) -> (Jwt, Fetches) {
    let (told, fetches) = unbounded_channel();
    let jwt = Jwt::builder().issuer(issuer).on_keys(move |event| {
        let _ = told.send((event.result, event.keys));
    });
    let jwt = jwt.build().unwrap();
    soon(jwt.ready()).await;
    (jwt, fetches)
}

/// Waits for a fetch after which there are this many keys.
async fn until_keys(fetches: &mut Fetches, keys: usize) {
    soon(async { while fetches.recv().await.unwrap() != (FetchResult::Ok, keys) {} }).await;
}

/// A server, and the decisions of its layer: the result, and the caller or the failed check.
async fn serve(jwt: Jwt) -> (Channel, UnboundedReceiver<(String, String)>) {
    let (told, decisions) = unbounded_channel();
    let layer = AuthLayer::new(jwt)
        .method("test.v1.Kinds", "ClientStream", Access::scope("orders.write"))
        .on_decision(move |decision| tell(&told, decision))
        .build()
        .unwrap();
    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .layer(layer)
        .add_service(KindsServer::new(KindsService::default()))
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    (soon(endpoint.connect()).await.unwrap(), decisions)
}

fn tell(told: &UnboundedSender<(String, String)>, decision: &Decision<'_>) {
    let why = match (decision.failure(), decision.identity()) {
        (Some(failure), _) => {
            let expected = failure.expected_value().unwrap_or_default();
            let received = failure.received_value().unwrap_or_default();
            format!("{}: want {expected}, got {received}", failure.check())
        }
        (None, identity) => identity.unwrap().principal().to_string(),
    };
    let _ = told.send((decision.result().to_owned(), why));
}

async fn call_with(channel: &Channel, kind: MethodKind, token: &str) -> Outcome {
    let bearer = format!("Bearer {token}");
    let mut client = KindsClient::new(channel.clone());
    let asked = Ask { notes: 1, ..Ask::default() };
    soon(call(&mut client, kind, asked, &[("authorization", &bearer)])).await
}

async fn passes(channel: &Channel, token: &str) {
    assert_eq!(call_with(channel, MethodKind::Unary, token).await, Outcome::ok(1));
}

#[tokio::test]
#[ignore = "needs Node.js and what npm installs in .ci/openid"]
async fn a_clients_token_is_taken_and_one_for_somebody_else_is_not() {
    let provider = Provider::start().await;
    let (jwt, mut fetches) = verifier(discovered(&provider)).await;
    until_keys(&mut fetches, 2).await;
    let (channel, mut decisions) = serve(jwt).await;
    let who = format!("{}#orders-caller", provider.issuer);
    for resource in [ORDERS, ORDERS_BY_EC] {
        let reader = provider.tokens.get(Some(resource), "orders.read").await;
        let writer = provider.tokens.get(Some(resource), "orders.read+orders.write").await;
        for kind in KINDS {
            assert_eq!(call_with(&channel, kind, &writer).await, Outcome::ok(1));
            assert_eq!(soon(decisions.recv()).await.unwrap(), ("passed".to_owned(), who.clone()));
        }
        passes(&channel, &reader).await;
        assert_eq!(soon(decisions.recv()).await.unwrap().0, "passed");
        let refused = call_with(&channel, MethodKind::ClientStream, &reader).await;
        assert_eq!(refused.code, Code::PermissionDenied);
        assert_eq!(soon(decisions.recv()).await.unwrap().0, "SCOPE_INSUFFICIENT");
    }
    for (resource, check) in [
        (Some(BILLING), "aud: want orders, got billing"),
        // It is not a JWT.
        (None, "format: "),
    ] {
        let token = provider.tokens.get(resource, "orders.read").await;
        for kind in KINDS {
            let refused = call_with(&channel, kind, &token).await;
            assert_eq!((refused.code, refused.notes), (Code::Unauthenticated, 0));
            let (result, why) = soon(decisions.recv()).await.unwrap();
            assert_eq!(result, "TOKEN_INVALID");
            assert!(why.starts_with(check), "{why}");
        }
    }
    assert!(fetches.try_recv().is_err(), "nothing of this asks for other keys");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Node.js and what npm installs in .ci/openid"]
async fn a_rotation_while_calls_run_loses_none() {
    let mut provider = Provider::start().await;
    let (jwt, mut fetches) = verifier(discovered(&provider)).await;
    let (channel, _decisions) = serve(jwt).await;
    let old = provider.tokens.get(Some(ORDERS), "orders.read").await;
    // They are first used after the rotation.
    let mut unused = Vec::new();
    for resource in [ORDERS, ORDERS_BY_EC] {
        unused.push(provider.tokens.get(Some(resource), "orders.read").await);
    }

    // The number of calls with tokens of each key.
    let calls = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let (rounds, mut seen) = watch::channel(0);
    let rounds = Arc::new(rounds);
    let (stop, stopped) = watch::channel(false);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (tokens, channel, old) = (provider.tokens.clone(), channel.clone(), old.clone());
        let (calls, rounds, stopped) = (calls.clone(), rounds.clone(), stopped.clone());
        let resource = [ORDERS, ORDERS_BY_EC][caller % 2];
        callers.spawn(async move {
            while !*stopped.borrow() {
                let new = tokens.get(Some(resource), "orders.read").await;
                // A new token, a cached one, and one from before all calls.
                for token in [&new, &new, &old] {
                    passes(&channel, token).await;
                    *calls.lock().unwrap().entry(key_of(token)).or_default() += 1;
                }
                rounds.send_modify(|rounds| *rounds += 1);
            }
        });
    }
    // Enough for each caller to complete more than one round from now.
    let mut more = async |rounds: usize| {
        let until = *seen.borrow() + rounds;
        soon(seen.wait_for(|seen| *seen >= until)).await.unwrap();
    };
    more(10 * CALLERS).await;
    let before: Vec<_> = calls.lock().unwrap().keys().cloned().collect();
    assert_eq!(before.len(), 2, "a key for each algorithm");
    provider.tell("rotate").await;
    more(10 * CALLERS).await;
    for token in &unused {
        assert!(before.contains(&key_of(token)));
        passes(&channel, token).await;
    }
    stop.send_replace(true);
    while let Some(caller) = soon(callers.join_next()).await {
        caller.expect("no call is lost");
    }

    let calls = calls.lock().unwrap().clone();
    assert_eq!(calls.len(), 4, "{calls:?}");
    for (key, calls) in &calls {
        assert!(*calls >= 2 * CALLERS, "{calls} by {key}");
    }
    // One at the start, and one for all tokens with an unknown key.
    assert_eq!(soon(fetches.recv()).await, Some((FetchResult::Ok, 2)));
    assert_eq!(soon(fetches.recv()).await, Some((FetchResult::Ok, 4)));
    assert!(fetches.try_recv().is_err());
}

#[tokio::test]
#[ignore = "needs Node.js and what npm installs in .ci/openid"]
async fn a_key_that_is_published_no_more_takes_its_tokens_along() {
    let mut provider = Provider::start().await;
    let issuer = discovered(&provider).refresh_every(Duration::from_millis(50));
    let (jwt, mut fetches) = verifier(issuer).await;
    let (channel, mut decisions) = serve(jwt).await;
    let old = provider.tokens.get(Some(ORDERS), "orders.read").await;
    passes(&channel, &old).await;
    provider.tell("rotate").await;
    until_keys(&mut fetches, 4).await;
    let new = provider.tokens.get(Some(ORDERS), "orders.read").await;
    assert_ne!(key_of(&new), key_of(&old));
    for token in [&old, &new, &old, &new] {
        passes(&channel, token).await;
    }
    provider.tell("retire").await;
    until_keys(&mut fetches, 2).await;
    assert_eq!(call_with(&channel, MethodKind::Unary, &old).await.code, Code::Unauthenticated);
    passes(&channel, &new).await;
    let mut results = Vec::new();
    while let Ok(decision) = decisions.try_recv() {
        results.push(decision);
    }
    let refused: Vec<_> = results.iter().filter(|(result, _)| result != "passed").collect();
    let why = format!("kid: want a key of the issuer, got {}", key_of(&old));
    assert_eq!(refused, [&("TOKEN_INVALID".to_owned(), why)]);
}
