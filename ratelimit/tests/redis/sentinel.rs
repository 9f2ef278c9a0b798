//! Quotas in the primary that sentinels know.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic_ratelimit_layer::{Key, Quota, RedisStore, StoreError};

use crate::common::principal;
use crate::redis_server::{RedisServer, free_port};
use crate::{LONG, layer, passes, source, until, wait_for};

/// A primary and its replica, with one password, and a sentinel with another.
struct Watched {
    primary: RedisServer,
    replica: RedisServer,
    sentinel: RedisServer,
}

impl Watched {
    fn start() -> Option<Self> {
        let server = |settings: &[&str]| {
            let usual = ["--requirepass", "node", "--masterauth", "node"];
            let user = ["--user", "limiter", "on", ">secret", "~ratelimit:*"];
            let rights = ["+evalsha", "+eval", "+get", "+set", "+time", "+role"];
            let soon = ["--repl-diskless-sync-delay", "0"];
            let all = [&usual[..], &user, &rights, &soon, settings].concat();
            let mut server = RedisServer::start(&all)?;
            server.url_with("node");
            Some(server)
        };
        let primary = server(&[])?;
        let replica = server(&["--replicaof", "127.0.0.1", &primary.port.to_string()])?;
        wait_for("a replica", || {
            replica.text(&["INFO", "replication"]).contains("master_link_status:up")
        });
        let settings = format!(
            "requirepass guard
sentinel monitor limits 127.0.0.1 {} 1
sentinel auth-pass limits node
sentinel down-after-milliseconds limits 500
sentinel failover-timeout limits 3000
",
            primary.port
        );
        let mut sentinel = RedisServer::start_sentinel(&settings, &[])?;
        sentinel.url_with("guard");
        // Milliseconds. By default it asks for roles each 10 s, waits for four publish periods of 2 s until it makes
        // the old primary a replica, and does nothing for 30 s when the machine has been too busy for it.
        let sooner = ["info-period", "500", "publish-period", "250", "tilt-period", "1000"];
        sentinel.run(&[&["SENTINEL", "DEBUG"][..], &sooner].concat());
        wait_for("a sentinel", || {
            let info = sentinel.text(&["INFO", "sentinel"]);
            info.contains("status=ok") && info.contains("slaves=1")
        });
        Some(Self { primary, replica, sentinel })
    }

    /// The first of the sentinels is away.
    fn store(&self) -> RedisStore {
        let away = format!("redis://127.0.0.1:{}", free_port());
        let urls = [away, self.sentinel.url().replace("//", "//:guard@")];
        RedisStore::sentinel(urls, "limits").unwrap().credentials(Some("limiter"), "secret")
    }
}

#[tokio::test]
async fn after_the_loss_of_the_primary_its_replica_decides() {
    let Some(mut watched) = Watched::start() else { return };
    let store = watched.store().budget(LONG);
    let layer = layer(Quota::per_hour(5).by(Key::principal()), &store);
    assert!(source(&layer).await.contains("redis"));
    assert_eq!(passes(&layer, &principal("ann"), 2).await, 2);
    watched.primary.run(&["WAIT", "1", "5000"]);
    watched.primary.kill();
    until(&layer, false).await;
    assert!(store.ready().is_err());
    let back = until(&layer, true).await;
    println!("back after {back:?}");
    assert_eq!(store.ready(), Ok(()));
    assert_eq!(passes(&layer, &principal("ann"), 9).await, 3);
    assert!(watched.replica.keys() > 0);
}

#[tokio::test]
async fn a_planned_failover_is_followed() {
    let Some(watched) = Watched::start() else { return };
    let store = watched.store().budget(LONG);
    let layer = layer(Quota::per_hour(5).by(Key::principal()), &store);
    assert!(source(&layer).await.contains("redis"));
    // At first it does not know enough of the replica.
    let begin = || watched.sentinel.try_run(&["SENTINEL", "FAILOVER", "limits"]).is_ok();
    wait_for("a sentinel", begin);
    let role = |server: &RedisServer| server.text(&["INFO", "replication"]);
    wait_for("a failover", || {
        role(&watched.primary).contains("role:slave")
            && role(&watched.replica).contains("role:master")
    });
    watched.replica.run(&["FLUSHALL"]);
    let mut names = (0..1_000_000).map(|number| format!("caller-{number}"));
    while watched.replica.keys() == 0 {
        let name = names.next().expect("the new primary is found");
        passes(&layer, &principal(&name), 1).await;
    }
    until(&layer, true).await;
    assert_eq!(store.ready(), Ok(()));
}

/// A sentinel that has not heard of a failover: it names a replica. The flag is set when it has answered.
fn start_stale_sentinel(port: u16) -> (String, Arc<AtomicBool>) {
    let has_answered = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&has_answered);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let answers = Arc::clone(&answers);
            let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
            std::thread::spawn(move || {
                // `*2`, and for each part of the command its length and itself.
                while let Some(Ok(count)) = lines.next() {
                    let parts: usize = count[1..].parse().unwrap();
                    let command: Vec<_> = lines.by_ref().take(2 * parts).flatten().collect();
                    let port = port.to_string();
                    let answer = match command.get(1) {
                        Some(name) if name == "SENTINEL" => {
                            format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len())
                        }
                        _ => "+OK\r\n".to_owned(),
                    };
                    if connection.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                    answers.fetch_or(answer.starts_with('*'), Ordering::SeqCst);
                }
            });
        }
    });
    (url, has_answered)
}

#[tokio::test]
async fn a_sentinel_that_names_a_replica_is_not_believed() {
    let Some(watched) = Watched::start() else { return };
    let right = watched.sentinel.url().replace("//", "//:guard@");
    let (stale, has_answered) = start_stale_sentinel(watched.replica.port);
    let urls = [stale, right];
    let store = RedisStore::sentinel(urls.clone(), "limits").unwrap().budget(LONG);
    let store = store.credentials(Some("limiter"), "secret");
    let layer = layer(Quota::per_hour(5), &store);
    // The other one answers later.
    watched.sentinel.signal("STOP");
    let (source, ()) = tokio::join!(source(&layer), async {
        while !has_answered.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        watched.sentinel.signal("CONT");
    });
    assert!(source.contains("redis"), "{source}");

    let only = RedisStore::sentinel(&urls[..1], "limits").unwrap().budget(LONG);
    let only = only.credentials(Some("limiter"), "secret");
    let layer = crate::layer(Quota::per_hour(5), &only);
    until(&layer, false).await;
    assert_eq!(only.ready(), Err(StoreError::Refused("READONLY".to_owned())));
}

#[tokio::test]
async fn what_is_wrong_with_sentinels_is_named_and_the_password_is_not_shown() {
    let none: [&str; 0] = [];
    assert_eq!(RedisStore::sentinel(none, "limits").unwrap_err(), StoreError::Urls);
    let Some(watched) = Watched::start() else { return };
    let sentinel = watched.sentinel.url();
    let with = |login: &str| sentinel.replace("//", &format!("//{login}@"));
    let away = format!("redis://127.0.0.1:{}", free_port());
    let connect = |url: String, name: &str| {
        RedisStore::sentinel([url, away.clone()], name).unwrap().budget(LONG)
    };
    let cases = [
        (connect(with(":hunter2"), "limits").credentials(None, "node"), StoreError::Login),
        (connect(with(":guard"), "limits").credentials(None, "hunter2"), StoreError::Login),
        (connect(with(":guard"), "limits"), StoreError::Login),
        (connect(with(":guard"), "others"), StoreError::UnknownPrimary("others".to_owned())),
    ];
    for (store, error) in cases {
        let layer = layer(Quota::per_hour(5), &store);
        until(&layer, false).await;
        assert_eq!(store.ready(), Err(error.clone()));
        let shown = format!("{error} {error:?} {store:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("guard"), "{shown}");
    }
    let right = connect(with(":guard"), "limits").credentials(None, "node");
    assert!(source(&layer(Quota::per_hour(5), &right)).await.contains("redis"));
}
