//! `--redis`: limits that several servers share.

use std::time::Instant;

use orders::v1::GetOrderRequest;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::common::client::{Client, client};
use crate::common::process::{SERVE, Served, run};
use crate::redis_server::RedisServer;

async fn get_order(client: &mut Client) -> tonic::Status {
    let answer = client.get_order(GetOrderRequest { id: "x".to_owned() }).await;
    answer.expect_err("there is none")
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
        let configuration = served.next_log_line().await;
        assert!(!configuration.contains("hunter2"), "{configuration}");
        clients.push(client(&served, &[]).await);
        servers.push(served);
    }
    // The first calls of a server can come before its connection to Redis, and are refused.
    for client in &mut clients {
        while get_order(client).await.code() == Code::Unavailable {}
    }
    redis.run(&["FLUSHALL"]);
    let (began, mut passed) = (Instant::now(), 0);
    for _ in 0..60 {
        for client in &mut clients {
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

#[tokio::test]
async fn a_wrong_url_is_an_error_that_does_not_show_it() {
    let ran = run(&[&SERVE[..], &["--redis", "http://:hunter2@localhost"]].concat()).await;
    let text = format!("{ran:?}");
    assert!(text.contains("--redis") && !text.contains("hunter2"), "{text}");
}
