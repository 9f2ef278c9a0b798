//! Users and passwords of Redis.

use tonic_ratelimit_layer::{Key, Quota, RedisStore, StoreError};

use crate::common::{Lines, Who, principal};
use crate::redis_server::RedisServer;
use crate::{layer, passes, source, store, until};

#[tokio::test]
async fn a_wrong_password_is_named_and_not_shown_at_the_start_and_later() {
    let Some(mut redis) = RedisServer::start(&["--requirepass", "right"]) else { return };
    let lines = Lines::default();
    let collecting = lines.collect();
    let wrong = redis.url().replace("//", "//:hunter2@");
    let wrong = store(&wrong);
    let refused = layer(Quota::per_hour(3), &wrong);
    assert_eq!(passes(&refused, &Who::default(), 5).await, 3);
    let error = wrong.ready().unwrap_err();
    assert_eq!(error, StoreError::Login);
    drop(collecting);
    let shown = format!("{error} {error:?} {wrong:?} {}", lines.text());
    assert!(shown.contains("password") && !shown.contains("hunter2"), "{shown}");

    let right = store(&redis.url_with("right"));
    let layer = layer(Quota::per_hour(3), &right);
    assert!(source(&layer).await.contains("redis"));
    redis.run(&["CONFIG", "SET", "requirepass", "changed"]);
    redis.url_with("changed");
    redis.run(&["CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES"]);
    until(&layer, false).await;
    while right.ready() != Err(StoreError::Login) {
        tokio::task::yield_now().await;
    }
    redis.run(&["CONFIG", "SET", "requirepass", "right"]);
    until(&layer, true).await;
}

/// What the documentation says that a user needs.
#[tokio::test]
async fn a_user_needs_few_rights() {
    let rights = ["~p:*", "+evalsha", "+eval", "+get", "+set", "+time"];
    let user = [&["--user", "limiter", "on", ">secret"], &rights[..]].concat();
    let Some(redis) = RedisServer::start(&user) else { return };
    let limits = || Quota::per_hour(3).by(Key::principal());
    let in_url = redis.url().replace("//", "//limiter:secret@");
    let apart = || store(&redis.url()).credentials(Some("limiter"), "secret");
    for (number, store) in [store(&in_url), apart()].into_iter().enumerate() {
        let layer = layer(limits(), &store.prefix("p"));
        assert!(source(&layer).await.contains("redis"), "{number}");
        let passed = passes(&layer, &principal("ann"), 5).await;
        assert_eq!(passed, [3, 0][number]);
    }
    let other_keys = apart().prefix("q");
    let layer = layer(limits(), &other_keys);
    assert!(source(&layer).await.contains("local"));
    assert!(matches!(other_keys.ready(), Err(StoreError::Refused(_))), "{:?}", other_keys.ready());
}

#[test]
fn the_urls_of_valkey_are_known() {
    assert!(RedisStore::connect("valkey://user:password@localhost:6379/1").is_ok());
    let has_tls = cfg!(any(feature = "redis-tls-aws-lc", feature = "redis-tls-ring"));
    let tls = RedisStore::connect("valkeys://localhost");
    assert_eq!(tls.err(), (!has_tls).then_some(StoreError::NoTls));
}
