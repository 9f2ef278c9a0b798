//! `orders call` with several servers.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::process::Signal;

use crate::common::process::{Calling, Ran, Served, orders, run, unreachable};

/// The example: it retries `UNAVAILABLE`.
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/service-config.json");

const CALLS: usize = 2_000;

/// How the calls of each address ended, and the last line of the summary.
fn summary(ran: &Ran) -> (BTreeMap<String, String>, String) {
    let mut lines: Vec<_> = ran.err.lines().collect();
    let last = lines.pop().unwrap().to_owned();
    let by_address = lines.into_iter().filter_map(|line| line.rsplit_once(": "));
    let by_address = by_address.map(|(address, calls)| (address.to_owned(), calls.to_owned()));
    (by_address.collect(), last)
}

/// Two servers, with copies of one database, and the id of the order in it.
async fn twins(folder: &Path, flags: &[&str]) -> ([Served; 2], String) {
    let database = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let serve = async |name: &str| {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--auth", "off", "--metrics", "off"];
        let more = ["--limit", "off", "--db", &database(name)];
        Served::spawn(orders(&[&serve[..], &more, flags].concat())).await
    };
    let first = serve("1").await;
    let create = ["--customer-email", "a@b", "--total-cents", "5", "--currency", "EUR"];
    let created =
        run(&[&["call", "--to", &first.url(), "create-order"], &create[..]].concat()).await;
    let id = created.json()[0]["id"].as_str().unwrap().to_owned();
    first.signal(Signal::INT);
    first.ended().await;
    std::fs::copy(database("1"), database("2")).unwrap();
    ([serve("1").await, serve("2").await], id)
}

#[tokio::test]
async fn calls_go_to_all_servers_in_turn() {
    let [a, b] = [Served::start(&[]).await, Served::start(&[]).await];
    let ran =
        run(&["call", "--to", &a.url(), "--to", &b.url(), "--repeat", "11", "list-orders"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (by_address, last) = summary(&ran);
    assert_eq!(last, "11 calls: 11 OK");
    let mut calls: Vec<_> = by_address.into_iter().collect();
    calls.sort_by(|one, other| one.1.cmp(&other.1));
    let (addresses, calls): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
    assert_eq!(calls, ["5 OK", "6 OK"], "{ran:?}");
    assert!(addresses.contains(&a.address) && addresses.contains(&b.address), "{ran:?}");
}

#[tokio::test]
async fn no_call_fails_while_one_of_two_servers_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let ([a, b], id) = twins(folder.path(), &[]).await;
    let (to, repeat) = ([a.url(), b.url()], CALLS.to_string());
    let call = ["--to", &to[0], "--to", &to[1], "--service-config", CONFIG, "--repeat", &repeat];
    let mut calling = Calling::start(&[&call[..], &["get-order", "--id", &id]].concat());
    calling.answered(300).await;
    a.signal(Signal::KILL);
    let killed = a.address.clone();
    a.ended().await;
    let ran = calling.ended().await;
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), CALLS), "{ran:?}");
    let (by_address, last) = summary(&ran);
    assert_eq!(last, "2000 calls: 2000 OK");
    let count = |calls: &String| -> usize { calls.split(' ').next().unwrap().parse().unwrap() };
    let (of_killed, of_other) = (count(&by_address[&killed]), count(&by_address[&b.address]));
    assert_eq!(of_killed + of_other, CALLS, "{by_address:?}");
    assert!((1..CALLS / 2).contains(&of_killed), "{by_address:?}");
}

#[tokio::test]
async fn an_address_without_a_server_fails_no_call() {
    let served = Served::start(&[]).await;
    let (nowhere, _socket) = unreachable();
    let dead = nowhere.strip_prefix("http://").unwrap();
    for to in [[nowhere.as_str(), &served.url()], [&served.url(), nowhere.as_str()]] {
        let call = ["call", "--to", to[0], "--to", to[1], "--repeat", "20", "list-orders"];
        let ran = run(&call).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{ran:?}");
        let mut expected = [format!("{dead}: no calls"), format!("{}: 20 OK", served.address)];
        expected.sort();
        let mut lines: Vec<_> = ran.err.lines().collect();
        assert_eq!(lines.pop(), Some("20 calls: 20 OK"));
        lines.sort_unstable();
        assert_eq!(lines, expected);
    }

    // The states, in the log and as a metric.
    let ran = run(&["call", "-v", "--to", &nowhere, "--to", &served.url(), "list-orders"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for (state, level, address) in
        [("READY", "INFO", &*served.address), ("TRANSIENT_FAILURE", "WARN", dead)]
    {
        let sample = format!("grpc_client_connections{{state=\"{state}\"}} 1");
        assert!(ran.err.lines().any(|line| line == sample), "{sample} in {}", ran.err);
        let event = format!("{level} tonic_balance: connection state changed");
        let (address, state) = (format!(" address={address} "), format!(" state=\"{state}\""));
        let is_logged =
            |line: &str| line.contains(&event) && line.contains(&address) && line.contains(&state);
        assert!(ran.err.lines().any(is_logged), "{event}{address}{state} in {}", ran.err);
    }
}

#[tokio::test]
async fn each_address_is_named_if_none_can_be_reached() {
    let ([a, b], ids) = ([unreachable(), unreachable()], ["get-order", "--id", "x"]);
    let ran = run(&[&["call", "--to", &a.0, "--to", &b.0], &ids[..]].concat()).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.starts_with("UNAVAILABLE: cannot connect to "), "{ran:?}");
    for (url, _) in [&a, &b] {
        let failure = format!("{}: Connection refused", url.strip_prefix("http://").unwrap());
        assert!(ran.err.contains(&failure), "{ran:?}");
    }
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
}

/// Guards against: a token that another machine gets because the first one is this one.
#[tokio::test]
async fn a_token_is_sent_to_no_server_unless_all_are_on_this_machine() {
    let [a, b] = [Served::start(&[]).await, Served::start(&[]).await];
    let elsewhere = b.url().replace("127.0.0.1", "0.0.0.0");
    let call = ["call", "--to", &a.url(), "--to", &elsewhere, "--token", "a.b.c", "list-orders"];
    let ran = run(&call).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.starts_with("a token is not sent to 0.0.0.0 without TLS"), "{ran:?}");
}

/// The server that shuts down is killed as soon as the client knows: a call that it got would fail.
#[tokio::test]
async fn a_server_that_is_not_serving_gets_no_call() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    let json = r#"{"loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": "orders.v1.OrderService"}}"#;
    std::fs::write(&config, json).unwrap();
    let config = config.to_str().unwrap();
    let ([a, b], id) = twins(folder.path(), &["--drain-delay", "1h", "--drain-limit", "2h"]).await;
    let (to, repeat) = ([a.url(), b.url()], CALLS.to_string());
    let call =
        ["-v", "--to", &to[0], "--to", &to[1], "--service-config", config, "--repeat", &repeat];
    let mut calling = Calling::start(&[&call[..], &["get-order", "--id", &id]].concat());
    calling.answered(300).await;
    a.signal(Signal::TERM);
    calling.logged("NOT_SERVING").await;
    // The call that was running then is over.
    calling.answered(calling.answers() + 2).await;
    a.signal(Signal::KILL);
    let killed = a.address.clone();
    a.ended().await;
    let ran = calling.ended().await;
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), CALLS), "{}", ran.err);
    let (by_address, last) = summary(&ran);
    assert_eq!(last, "2000 calls: 2000 OK");
    let count = |calls: &String| -> usize { calls.split(' ').next().unwrap().parse().unwrap() };
    assert!(count(&by_address[&killed]) < CALLS / 2, "{by_address:?}");
    assert_eq!(count(&by_address[&killed]) + count(&by_address[&b.address]), CALLS);
}
