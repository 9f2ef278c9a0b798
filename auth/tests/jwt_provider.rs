//! A certified OpenID provider, by discovery, while it rotates its keys. It needs Node.js and the package
//! that `tests/data/oidc-provider` names, in a copy of that folder:
//!
//! ```sh
//! cp -r auth/tests/data/oidc-provider target/provider && (cd target/provider && npm install)
//! OIDC_PROVIDER=$PWD/target/provider cargo test -p tonic-auth-layer --test jwt_provider -- --ignored
//! ```
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

mod jwt_support;

use std::process::Stdio;
use std::time::SystemTime;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tonic_auth_layer::jwt::Jwt;
use tonic_auth_layer::{Authenticating, Identity, Outcome};

use self::jwt_support::*;

/// Sends a form, and gives the whole answer.
async fn post(issuer: &str, path: &str, form: &str) -> String {
    let host = issuer.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

async fn token(issuer: &str) -> String {
    let form = "grant_type=client_credentials&client_id=shop&client_secret=not-a-secret\
                &scope=orders.read";
    let answer = post(issuer, "/token", form).await;
    let (_, token) = answer.split_once("\"access_token\":\"").unwrap();
    token.split_once('"').unwrap().0.to_owned()
}

async fn caller(jwt: &Jwt, token: &str) -> Identity {
    let parts = call(&[format!("Bearer {token}").as_bytes()], None);
    passes(match ask_parts(jwt, &parts, SystemTime::now()) {
        Authenticating::Ready(outcome) => outcome,
        Authenticating::Later(found) => found.await,
    })
}

#[tokio::test]
#[ignore = "needs Node.js and oidc-provider"]
async fn a_certified_provider_is_believed_while_it_rotates_its_keys() {
    let folder = std::env::var("OIDC_PROVIDER").expect("where the provider is installed");
    let mut provider = Command::new("node")
        .arg("server.mjs")
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(provider.stdout.take().unwrap()).lines();
    let issuer = lines.next_line().await.unwrap().expect("its address");

    let jwt = Jwt::discover(&issuer).audience("orders").rfc9068().build().unwrap();
    jwt.ready().await;
    let first = token(&issuer).await;
    let identity = caller(&jwt, &first).await;
    assert_eq!((identity.issuer(), identity.subject()), (Some(&*issuer), Some("shop")));
    assert!(identity.has_scope("orders.read") && !identity.has_scope("orders.write"));

    // Others call all the while.
    let calls = tokio::spawn({
        let (jwt, first) = (jwt.clone(), first.clone());
        async move {
            for _ in 0..1_000 {
                caller(&jwt, &first).await;
                tokio::task::yield_now().await;
            }
        }
    });
    post(&issuer, "/rotate", "").await;
    let second = token(&issuer).await;
    assert_ne!(second.split('.').next(), first.split('.').next(), "another `kid`");
    caller(&jwt, &second).await;
    caller(&jwt, &first).await;
    calls.await.unwrap();

    let parts = call(&[format!("Bearer {second}x").as_bytes()], None);
    let Authenticating::Ready(Outcome::Refused(failure)) =
        ask_parts(&jwt, &parts, SystemTime::now())
    else {
        panic!("it should be refused at once")
    };
    assert_eq!(failure.check(), "signature");
}
