//! Rate limits, and what callers and the log contain about refused calls.
//!
//! These tests do not wait: a quota that refills in a second may refill during a test. So they know the minimum
//! number of calls that pass and, from the elapsed time, the maximum.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use orders::v1::{CreateOrderRequest, GetOrderRequest, ListOrdersRequest, QuoteRequest};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::common::client::{Client, channel, client, each, with_token};
use crate::common::issuer::{ISSUER, Issuer};
use crate::common::process::{SERVE, Served, get, orders, run};
use crate::common::{reason, soon};

const BOTH: &str = "orders.read orders.write";

/// A server that trusts an issuer.
async fn start(more: &[&str]) -> (TempDir, Issuer, Served) {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::new());
    let file = folder.path().join("keys.json");
    std::fs::write(&file, issuer.keys()).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--db", ":memory:", "--log", "json"];
    let believe = ["--issuer", ISSUER, "--audience", "orders", "--jwks", file.to_str().unwrap()];
    let served = Served::spawn(orders(&[&serve[..], &believe, more].concat())).await;
    (folder, issuer, served)
}

async fn caller(served: &Served, issuer: &Issuer, name: &str) -> Client {
    with_token(served, &issuer.token_of(name, "orders", BOTH)).await
}

/// Calls under a limit of this many at once, and one more each second.
struct Calls {
    began: Instant,
    passed: u64,
    refused: Vec<Status>,
}

impl Calls {
    fn begin() -> Self {
        Self { began: Instant::now(), passed: 0, refused: Vec::new() }
    }

    fn count<T>(&mut self, answer: Result<T, Status>) {
        match answer {
            Err(status) if status.code() == Code::ResourceExhausted => {
                assert_eq!(reason(&status), "RATE_LIMITED");
                self.refused.push(status);
            }
            Err(status) => {
                let by_the_service = [Code::NotFound, Code::InvalidArgument, Code::Unimplemented];
                assert!(by_the_service.contains(&status.code()), "{status:?}");
                self.passed += 1;
            }
            Ok(_) => self.passed += 1,
        }
    }

    async fn get(&mut self, client: &mut Client, times: usize) {
        for _ in 0..times {
            self.count(client.get_order(GetOrderRequest { id: "x".to_owned() }).await);
        }
    }

    #[track_caller]
    fn are_limited_to(&self, burst: u64) {
        let most = burst + self.began.elapsed().as_secs();
        assert!((burst..=most).contains(&self.passed), "{burst} <= {} <= {most}", self.passed);
    }
}

/// The names of the limits that refused the call.
fn limits(statuses: &[Status]) -> BTreeSet<String> {
    let limit = |status: &Status| {
        status.get_details_error_info().and_then(|mut info| info.metadata.remove("limit"))
    };
    statuses.iter().map(|status| limit(status).expect("the name of a limit")).collect()
}

/// Checks the status of a caller whose limit is `1/{burst}:principal`.
fn tells_when_to_come_back(status: &Status, burst: u32) {
    let name = format!("1/{burst}:principal");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(status), "RATE_LIMITED");
    assert_eq!(limits(std::slice::from_ref(status)), BTreeSet::from([name.clone()]));
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay).expect("a time");
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    let wait = wait.as_nanos().div_ceil(1_000_000);
    assert_eq!(status.message(), format!("too many calls, try again in {wait} ms"));

    let failure = status.get_details_quota_failure().expect("a QuotaFailure");
    let [limit] = &failure.violations[..] else { panic!("one limit: {failure:?}") };
    let description = format!("1 call per second, {burst} at once");
    assert_eq!((&*limit.subject, &*limit.description), ("principal", &*description));
    assert_eq!((&limit.quota_id, limit.quota_value), (&name, burst.into()));

    let text = |key| status.metadata().get(key).and_then(|value| value.to_str().ok());
    assert_eq!(text("grpc-retry-pushback-ms"), Some(&*wait.to_string()));
    assert_eq!(text("ratelimit-policy"), Some(&*format!("{name:?};q={burst};w={burst}")));
    assert_eq!(text("ratelimit"), Some(&*format!("{name:?};r=0;t=1")));
}

#[tokio::test]
async fn a_burst_passes_and_who_wants_more_is_told_when_to_come_back() {
    let limit = "orders.v1.OrderService/GetOrder=1/3:principal";
    let (_folder, issuer, served) = start(&["--metrics", "off", "--limit", limit]).await;
    let mut ann = caller(&served, &issuer, "ann").await;
    let mut calls = Calls::begin();
    calls.get(&mut ann, 20).await;
    calls.are_limited_to(3);
    for refused in &calls.refused {
        tells_when_to_come_back(refused, 3);
    }
    // Other methods have no limit.
    let list = ann.list_orders(ListOrdersRequest::default()).await.unwrap();
    assert!(!list.metadata().contains_key("ratelimit"), "{list:?}");
}

#[tokio::test]
async fn each_caller_has_a_burst_of_his_own() {
    let (_folder, issuer, served) =
        start(&["--metrics", "off", "--limit", "*=1/3:principal"]).await;
    for name in ["ann", "bob"] {
        let mut calls = Calls::begin();
        // With any token, on any connection.
        for _ in 0..5 {
            calls.get(&mut caller(&served, &issuer, name).await, 4).await;
        }
        calls.are_limited_to(3);
    }
}

#[tokio::test]
async fn strangers_take_nothing_from_those_who_may() {
    let (_folder, issuer, served) = start(&["--metrics", "off", "--limit", "*=1/3"]).await;
    let of_another_issuer = Issuer::new().token("orders", BOTH);
    let mut stranger = with_token(&served, &of_another_issuer).await;
    for _ in 0..20 {
        let refused = stranger.get_order(GetOrderRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    let mut calls = Calls::begin();
    calls.get(&mut caller(&served, &issuer, "ann").await, 3).await;
    assert_eq!(calls.passed, 3);
}

#[tokio::test]
async fn of_several_limits_a_call_takes_from_all_or_from_none() {
    let several = ["--limit", "*=1/2:principal", "--limit", "*=1/3"];
    let (_folder, issuer, served) = start(&[&["--metrics", "off"], &several[..]].concat()).await;
    let mut all = Calls::begin();
    all.get(&mut caller(&served, &issuer, "ann").await, 20).await;
    all.are_limited_to(2);
    let of_ann = all.passed;
    all.get(&mut caller(&served, &issuer, "bob").await, 20).await;
    assert!(all.passed > of_ann, "what was refused to her was taken from him");
    all.are_limited_to(3);
    let both = BTreeSet::from(["1/2:principal".to_owned(), "1/3".to_owned()]);
    assert!(limits(&all.refused).is_subset(&both), "{:?}", limits(&all.refused));
}

#[tokio::test]
async fn the_most_exact_limit_counts() {
    let limit = ["orders.v1.OrderService=1/3", "*=1/1"];
    let exact = "orders.v1.OrderService/GetOrder=1000/1000";
    let served = Served::start(&["--limit", limit[0], "--limit", limit[1], "--limit", exact]).await;
    let mut of_the_service = Calls::begin();
    for _ in 0..3 {
        for (method, answer) in each(client(&served, &[]).await).await {
            if method == "GetOrder" {
                assert_eq!(answer.unwrap_err().code(), Code::NotFound);
            } else {
                of_the_service.count(answer);
            }
        }
    }
    of_the_service.are_limited_to(3);
    assert!(limits(&of_the_service.refused).iter().all(|name| name == "1/3"));

    let mut unknown = Grpc::new(channel(&served).await);
    let mut of_none = Calls::begin();
    for number in 0..10 {
        let path: PathAndQuery = format!("/no.such.Service/Method{number}").parse().unwrap();
        unknown.ready().await.unwrap();
        let codec = ProstCodec::<GetOrderRequest, GetOrderRequest>::default();
        of_none.count(unknown.unary(Request::new(GetOrderRequest::default()), path, codec).await);
    }
    of_none.are_limited_to(1);
}

#[tokio::test]
async fn every_kind_of_call_is_refused_alike() {
    let limit = ["--metrics", "off", "--limit", "orders.v1.OrderService=1/1:principal"];
    let (_folder, issuer, served) = start(&limit).await;
    let mut refused = BTreeSet::new();
    // A method whose call has passed is called again.
    let all = async {
        while refused.len() < 7 {
            for (method, answer) in each(caller(&served, &issuer, "ann").await).await {
                if let Err(status) = answer
                    && status.code() == Code::ResourceExhausted
                {
                    tells_when_to_come_back(&status, 1);
                    refused.insert(method);
                }
            }
        }
    };
    soon(all).await;
}

/// Guards against: a caller that never stops sending, and a server that responds only after it has read everything.
#[tokio::test]
async fn a_refusal_does_not_wait_for_the_end_of_the_request() {
    let served = Served::start(&["--limit", "*=1/1"]).await;
    let endless = |_| async {
        let mut client = client(&served, &[]).await;
        let orders = stream::pending::<CreateOrderRequest>();
        client.import_orders(orders).await.map(drop)
    };
    is_refused((0..20).map(endless)).await;
    let endless = |_| async {
        let mut client = client(&served, &[]).await;
        let quotes = stream::pending::<QuoteRequest>();
        client.quote_orders(quotes).await.map(drop)
    };
    is_refused((0..20).map(endless)).await;
}

/// One of the calls, which begin at the same time, is refused.
async fn is_refused(calls: impl Iterator<Item = impl Future<Output = Result<(), Status>>>) {
    let refused = |answer: &Result<(), Status>| std::future::ready(answer.is_err());
    let refused =
        calls.collect::<FuturesUnordered<_>>().filter(refused).boxed_local().into_future();
    let (first, _) = soon(refused).await;
    assert_eq!(first.unwrap().unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn health_has_no_limit() {
    let served = Served::start(&["--limit", "*=1/1"]).await;
    let mut health = HealthClient::new(channel(&served).await);
    for _ in 0..50 {
        health.check(HealthCheckRequest::default()).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_limited_if_it_is_off_or_if_it_is_little() {
    for more in [&["--limit", "off"][..], &[]] {
        let served = Served::start(more).await;
        let mut calls = Calls::begin();
        calls.get(&mut client(&served, &[]).await, 200).await;
        assert_eq!(calls.passed, 200, "{more:?}");
    }
}

/// This many calls, each with another value of that metadata.
async fn with_each_another(served: &Served, key: &'static str) -> Calls {
    let mut calls = Calls::begin();
    for number in 0..20 {
        let value = format!("192.0.2.{number}");
        calls.get(&mut client(served, &[(key, &value)]).await, 1).await;
    }
    calls
}

#[tokio::test]
async fn only_a_proxy_may_say_who_calls() {
    const BY_ADDRESS: [&str; 2] = ["--limit", "*=1/3:peer"];
    let direct = Served::start(&BY_ADDRESS).await;
    with_each_another(&direct, "x-forwarded-for").await.are_limited_to(3);
    let behind = ["--behind", "10.0.0.0/8", "--behind", "127.0.0.1"];
    let behind_a_proxy = Served::start(&[&BY_ADDRESS[..], &behind].concat()).await;
    let calls = with_each_another(&behind_a_proxy, "x-forwarded-for").await;
    assert_eq!(calls.passed, 20);
}

/// Guards against: invalid tokens of one client that lock out all clients behind the same ingress.
#[tokio::test]
async fn bad_tokens_count_against_the_client_that_a_proxy_names_with_and_without_a_limit() {
    for limit in [&[][..], &["--limit", "off"]] {
        let behind = ["--metrics", "off", "--behind", "127.0.0.1"];
        let (_folder, issuer, served) = start(&[&behind, limit].concat()).await;
        let stranger = Issuer::new();
        let get = async |token: String, client_is: &str| {
            let bearer = format!("Bearer {token}");
            let metadata = [("authorization", &*bearer), ("x-forwarded-for", client_is)];
            let mut client = client(&served, &metadata).await;
            client.get_order(GetOrderRequest { id: "x".to_owned() }).await.unwrap_err()
        };
        let mut refused = BTreeSet::new();
        // Sixty at once, and one more each second.
        for n in 0..100 {
            let forged = stranger.token_of(&n.to_string(), "orders", BOTH);
            refused.insert(reason(&get(forged, "192.0.2.1").await));
        }
        assert!(refused.contains("RATE_LIMITED"), "{limit:?}: {refused:?}");
        for n in 0..5 {
            let good = issuer.token_of(&n.to_string(), "orders", BOTH);
            let status = get(good, &format!("198.51.100.{n}")).await;
            assert_eq!(status.code(), Code::NotFound, "{limit:?}: {status:?}");
        }
    }
}

#[tokio::test]
async fn who_invents_keys_is_held_by_the_limit_beside() {
    const BY_TENANT: [&str; 2] = ["--limit", "*=1/3:metadata:x-tenant"];
    let alone = Served::start(&BY_TENANT).await;
    assert_eq!(with_each_another(&alone, "x-tenant").await.passed, 20);
    let mut one = Calls::begin();
    one.get(&mut client(&alone, &[("x-tenant", "a")]).await, 20).await;
    one.are_limited_to(3);
    let beside = Served::start(&[&BY_TENANT[..], &["--limit", "*=1/4:peer"]].concat()).await;
    with_each_another(&beside, "x-tenant").await.are_limited_to(4);
}

#[tokio::test]
async fn the_log_and_the_metrics_say_who_has_refused_and_by_which_limit() {
    let limit = "orders.v1.OrderService/GetOrder=1/3:principal";
    let (_folder, issuer, mut served) =
        start(&["--metrics", "127.0.0.1:0", "--limit", limit]).await;
    let metrics = served.metrics_address().await;
    let mut calls = Calls::begin();
    // Few enough that each refusal has a log line within one second.
    calls.get(&mut caller(&served, &issuer, "ann").await, 13).await;
    calls.are_limited_to(3);
    let refused = calls.refused.len();
    let mut again = client(&served, &[("grpc-previous-rpc-attempts", "2")]).await;
    again.get_order(GetOrderRequest::default()).await.unwrap_err();

    let (_, text) = get(&metrics, "/metrics").await;
    let of_get = "grpc_type=\"unary\",grpc_service=\"orders.v1.OrderService\",grpc_method=\"GetOrder\",protocol=\"grpc\"";
    for sample in [
        format!("grpc_server_handled_total{{{of_get},grpc_code=\"ResourceExhausted\"}} {refused}"),
        format!("grpc_server_handled_total{{{of_get},grpc_code=\"NotFound\"}} {}", calls.passed),
        format!(
            "grpc_server_refused_total{{{of_get},refused_by=\"ratelimit\",reason=\"RATE_LIMITED\",shadow=\"false\"}} {refused}"
        ),
    ] {
        assert!(text.lines().any(|line| line == sample), "{sample} in {text}");
    }
    assert!(!text.contains("ann"), "{text}");

    served.signal(Signal::INT);
    let (_, _, log) = served.ended().await;
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let lines: Vec<_> = lines.filter(|line| line["grpc.refused_by"] == "ratelimit").collect();
    assert_eq!(lines.len(), refused);
    for (line, status) in lines.iter().zip(&calls.refused) {
        let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap();
        let told: u64 = pushback.to_str().unwrap().parse().unwrap();
        let expected = serde_json::json!({
            "level": "WARN", "rpc.method": "orders.v1.OrderService/GetOrder",
            "rpc.response.status_code": "RESOURCE_EXHAUSTED", "grpc.ended_by": "refusal",
            "grpc.refused_reason": "RATE_LIMITED", "grpc.request.messages": 0,
            "enduser.id": format!("{ISSUER}#ann"), "ratelimit.limit": "1/3:principal",
            "ratelimit.key": "principal", "ratelimit.wait_ms": told, "fields": null,
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&line[key], value, "{key} in {line:#}");
        }
    }
    let attempts = "\"rpc.request.metadata.grpc-previous-rpc-attempts\":\"2\"";
    assert_eq!(log.matches(attempts).count(), 1, "{log}");
    let passed = log.lines().find(|line| line.contains("NOT_FOUND")).expect("a line");
    assert!(!passed.contains("ratelimit"), "{passed}");
}

#[tokio::test]
async fn a_call_that_is_refused_says_of_which_limit_and_when_to_come_back() {
    let served = Served::start(&["--limit", "*=1/1"]).await;
    let refused = async {
        loop {
            let ran = run(&["call", "--to", &served.url(), "list-orders"]).await;
            if ran.code != Some(0) {
                return ran;
            }
        }
    };
    let refused = soon(refused).await;
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
    let told = refused.err.strip_prefix("RESOURCE_EXHAUSTED: too many calls, try again in ");
    let (wait, limit) = told.and_then(|told| told.split_once(" ms\n")).expect("a time");
    assert!((1..=1000).contains(&wait.parse::<u32>().unwrap()), "{refused:?}");
    assert_eq!(limit, "  global: 1 call per second, 1 at once\n");
}

#[tokio::test]
async fn a_limit_that_makes_no_sense_is_told_before_anything_listens() {
    for (flags, why) in [
        (&["--limit", "orders.v1.OrderService/Gone=1/1"][..], "has no such method"),
        (&["--limit", "orders.v1.Orders=1/1"], "has no such service"),
        (&["--limit", "*=1/0"], "the quota \"1/0\""),
        (&["--limit", "*=1/1", "--limit", "*=1/1"], "--limit *=1/1 is given twice"),
        (&["--limit", "*=1/1", "--limit", "off"], "--limit off"),
        (&["--limit", "*=1/1:peer", "--behind", "ingress"], "--behind ingress"),
        (&["--behind", "ingress"], "--behind ingress"),
        (&["--behind", "ingress", "--limit", "off"], "--behind ingress"),
    ] {
        let ran = run(&[&SERVE[..], &["--db", ":memory:"], flags].concat()).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{flags:?}");
        assert!(ran.err.contains(why), "{flags:?}: {}", ran.err);
    }
}
