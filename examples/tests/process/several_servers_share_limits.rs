//! `--redis`: limits that several servers share.

use std::time::Instant;

use orders::v1::{GetOrderRequest, ListOrdersRequest};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::common::client::{Client, channel, client};
use crate::common::process::{SERVE, Served, get, orders, run};
use crate::common::soon;
use crate::redis_server::RedisServer;

async fn get_order(client: &mut Client) -> tonic::Status {
    let answer = client.get_order(GetOrderRequest { id: "x".to_owned() }).await;
    answer.expect_err("there is none")
}

/// Whether the limit lets a stream pass.
async fn lists_orders(client: &mut Client) -> bool {
    match client.list_orders(ListOrdersRequest::default()).await {
        Ok(orders) => {
            assert_eq!(orders.into_inner().message().await.expect("it ends well"), None);
            true
        }
        Err(status) => {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
            false
        }
    }
}

/// The log line with the configuration.
async fn configuration(served: &mut Served) -> String {
    loop {
        let line = served.next_log_line().await;
        if line.contains("\"message\":\"configuration\"") {
            return line;
        }
    }
}

/// The next log line of a call that was decided by this.
async fn logged(served: &mut Served, source: &str) {
    let field = format!("\"ratelimit.source\":\"{source}\"");
    while !served.next_log_line().await.contains(&field) {}
}

#[tokio::test]
async fn three_servers_share_a_limit_and_say_what_decides() {
    let Some(mut redis) = RedisServer::start(&["--requirepass", "hunter2"]) else { return };
    let url = redis.url_with("hunter2");
    let flags =
        ["--redis", &url, "--limit", "*=1/60", "--redis-fallback", "closed", "--log", "json"];
    let (mut servers, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let mut served = Served::start(&flags).await;
        let configuration = configuration(&mut served).await;
        assert!(
            configuration.contains("redis=") && !configuration.contains("hunter2"),
            "{configuration}"
        );
        clients.push(client(&served, &[]).await);
        servers.push(served);
    }
    // The first calls of a server can come before its connection to Redis, and are refused.
    for client in &mut clients {
        while get_order(client).await.code() == Code::Unavailable {}
    }
    redis.run(&["FLUSHALL"]);
    let (began, mut passed) = (Instant::now(), 0);
    for number in 0..60 {
        for client in &mut clients {
            if number % 2 == 0 {
                passed += u64::from(lists_orders(client).await);
                continue;
            }
            match get_order(client).await.code() {
                Code::NotFound => passed += 1,
                code => assert_eq!(code, Code::ResourceExhausted),
            }
        }
    }
    let most = 61 + began.elapsed().as_secs();
    assert!(passed >= 60 && passed <= most, "{passed}, at most {most}");
    logged(&mut servers[0], "redis").await;

    redis.kill();
    loop {
        let status = get_order(&mut clients[0]).await;
        if status.code() == Code::Unavailable {
            let details = status.get_error_details();
            assert_eq!(details.error_info().unwrap().reason, "LIMITER_UNAVAILABLE");
            break;
        }
    }
    logged(&mut servers[0], "closed").await;
}

/// The value of a sample; `None` if there is none.
async fn sample(metrics: &str, name: &str) -> Option<f64> {
    let (_, text) = get(metrics, "/metrics").await;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(value.parse().expect("a number"))
}

#[tokio::test]
async fn health_and_metrics_show_whether_redis_decides() {
    let Some(mut redis) = RedisServer::start(&[]) else { return };
    let url = redis.url();
    let mut command = orders(&SERVE[..5]);
    command.args([
        "--db",
        ":memory:",
        "--metrics",
        "127.0.0.1:0",
        "--limit",
        "*=1/4",
        "--log",
        "json",
    ]);
    command.args(["--redis-ready", "--redis-remember"]);
    command.envs([("ORDERS_REDIS", url.as_str()), ("ORDERS_REDIS_REPLICAS", "4")]);
    let mut served = Served::spawn(command).await;
    let metrics = served.metrics_address().await;
    let configuration = configuration(&mut served).await;
    assert!(configuration.contains("redis-replicas=4 (ORDERS_REDIS_REPLICAS)"), "{configuration}");
    let request = HealthCheckRequest { service: String::new() };
    let mut health = HealthClient::new(channel(&served).await).watch(request).await.unwrap();
    let health = health.get_mut();
    let mut until = async |status| {
        while soon(health.message()).await.unwrap().expect("a status").status() != status {}
    };
    until(ServingStatus::Serving).await;
    let of = |source| format!("ratelimit_shared_decisions_total{{source=\"{source}\"}}");
    let (ready, breaker) = ("ratelimit_redis_ready", "ratelimit_redis_breaker_open");
    assert_eq!(sample(&metrics, ready).await, Some(1.0));
    assert_eq!(sample(&metrics, breaker).await, Some(0.0));

    let mut client = client(&served, &[]).await;
    while get_order(&mut client).await.code() != Code::ResourceExhausted {}
    while sample(&metrics, &of("remembered")).await.is_none() {
        get_order(&mut client).await;
    }
    logged(&mut served, "remembered").await;
    assert!(sample(&metrics, &of("redis")).await.is_some_and(|calls| calls >= 4.0));
    let buckets = "ratelimit_shared_decision_seconds_bucket{le=\"+Inf\"}";
    assert!(sample(&metrics, buckets).await.is_some_and(|calls| calls >= 5.0));

    redis.kill();
    while sample(&metrics, breaker).await != Some(1.0) {
        get_order(&mut client).await;
    }
    assert_eq!(sample(&metrics, ready).await, Some(0.0));
    until(ServingStatus::NotServing).await;
    get_order(&mut client).await;
    assert!(sample(&metrics, &of("local")).await.is_some());
    // Without a call that notices it.
    redis.restart();
    until(ServingStatus::Serving).await;
    assert_eq!(sample(&metrics, breaker).await, Some(0.0));
}

#[tokio::test]
async fn a_flag_of_redis_that_is_wrong_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let (file, tls) = (file.to_str().unwrap(), "rediss://localhost");
    for (flags, error) in [
        (&["--redis", tls, "--redis-ca", "no-such-file"][..], "--redis-ca no-such-file: No such"),
        (&["--redis", tls, "--redis-ca", file], "ca.pem: the authority of Redis is not PEM"),
        (&["--redis", tls, "--redis-replicas", "0"], "--redis-replicas"),
        (&["--redis-replicas", "3"], "--redis"),
        (&["--redis-ca", file], "--redis"),
        (&["--redis-remember"], "--redis"),
        (&["--redis", tls, "--redis-fallback", "none"], "--redis-fallback"),
    ] {
        let ran = run(&[&SERVE[..], &["--db", ":memory:"], flags].concat()).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.err.contains(error), "{flags:?}: {}", ran.err);
    }
}

#[tokio::test]
async fn a_wrong_url_is_an_error_that_does_not_show_it() {
    let ran = run(&[&SERVE[..], &["--redis", "http://:hunter2@localhost"]].concat()).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    let error = "--redis: the URL of Redis is not valid: it must be redis://";
    assert!(ran.err.contains(error) && !ran.err.contains("hunter2"), "{}", ran.err);
}
