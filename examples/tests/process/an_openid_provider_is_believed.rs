//! `orders serve --issuer` with a third-party OpenID provider: the certified `oidc-provider` of npm.
//!
//! It needs Node.js 22 or newer, and the packages that `npm ci --prefix .ci/openid` installs:
//! `cargo test -p orders --test process -- --ignored openid`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use orders::v1::order_service_client::OrderServiceClient;
use orders::v1::{ListOrdersRequest, Order};
use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::common::process::{Served, get, orders};
use crate::common::{order, reason, soon};
use crate::provider::{BILLING, ORDERS, ORDERS_BY_EC, Provider, key_of};

const CALLERS: usize = 4;

fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// The orders that this token may list.
async fn list(channel: &Channel, token: &str) -> Result<Vec<Order>, Status> {
    let request = with_token(token, ListOrdersRequest::default());
    let mut client = OrderServiceClient::new(channel.clone());
    let mut answers = soon(client.list_orders(request)).await?.into_inner();
    let mut orders = Vec::new();
    while let Some(order) = soon(answers.message()).await? {
        orders.push(order);
    }
    Ok(orders)
}

async fn create(channel: &Channel, token: &str) -> Result<Order, Status> {
    let request = with_token(token, order("ann@example.org", 1));
    let mut client = OrderServiceClient::new(channel.clone());
    soon(client.create_order(request)).await.map(tonic::Response::into_inner)
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), reason(&status))
}

/// The series of a counter, by its labels.
async fn counted(metrics: &str, name: &str) -> BTreeMap<String, u64> {
    let (_, text) = get(metrics, "/metrics").await;
    let series = text.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.split_once("} ")?;
        Some((labels.to_owned(), value.parse().unwrap()))
    });
    series.filter(|(_, value)| *value != 0).collect()
}

/// Calls with new tokens and an old one until it is stopped. Returns the number of calls for each key.
struct Callers {
    calls: Arc<Mutex<BTreeMap<String, u64>>>,
    rounds: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Callers {
    fn start(provider: &Provider, channel: &Channel, old: &str) -> Self {
        let calls = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let (round, rounds) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for caller in 0..CALLERS {
            let (tokens, channel, old) = (provider.tokens.clone(), channel.clone(), old.to_owned());
            let (calls, round, stopped) = (Arc::clone(&calls), round.clone(), stopped.clone());
            let resource = [ORDERS, ORDERS_BY_EC][caller % 2];
            tasks.spawn(async move {
                while !*stopped.borrow() {
                    let new = tokens.get(Some(resource), "orders.read").await;
                    for token in [&new, &new, &old] {
                        assert_eq!(list(&channel, token).await.expect("no call is lost").len(), 1);
                        *calls.lock().unwrap().entry(key_of(token)).or_default() += 1;
                    }
                    round.send_modify(|rounds| *rounds += 1);
                }
            });
        }
        Self { calls, rounds, stop, tasks }
    }

    /// Waits until each token was used more than once.
    async fn go_on(&mut self) {
        let until = *self.rounds.borrow() + 10 * CALLERS;
        soon(self.rounds.wait_for(|rounds| *rounds >= until)).await.unwrap();
    }

    async fn stop(mut self) -> BTreeMap<String, u64> {
        self.stop.send_replace(true);
        while let Some(caller) = soon(self.tasks.join_next()).await {
            caller.expect("no call is lost");
        }
        self.calls.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Node.js and what npm installs in .ci/openid"]
async fn its_tokens_are_good_for_what_they_say_while_its_keys_are_rotated() {
    let mut provider = Provider::start().await;
    let reader = provider.tokens.get(Some(ORDERS), "orders.read").await;
    let writer = provider.tokens.get(Some(ORDERS_BY_EC), "orders.read+orders.write").await;
    let of_others = provider.tokens.get(Some(BILLING), "orders.read").await;
    provider.tell("close").await;

    let serve = ["serve", "--listen", "127.0.0.1:0", "--db", ":memory:", "--log", "json"];
    let believe = ["--issuer", &provider.issuer, "--audience", "orders"];
    let more = ["--metrics", "127.0.0.1:0", "--drain-delay", "0"];
    let mut served = Served::spawn(orders(&[&serve[..], &believe, &more].concat())).await;
    let metrics = served.metrics_address().await;
    let channel = Endpoint::from_shared(served.url()).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut status = async || soon(watch.message()).await.unwrap().unwrap().status();

    assert_eq!(status().await, ServingStatus::NotServing);
    while !served.next_log_line().await.contains("keys of an issuer could not be fetched") {}
    let too_early = refused(list(&channel, &reader).await);
    assert_eq!(too_early, (Code::Unavailable, "VERIFIER_UNAVAILABLE".to_owned()));
    provider.tell("open").await;
    assert_eq!(status().await, ServingStatus::Serving);

    let created = create(&channel, &writer).await.unwrap();
    assert_eq!(list(&channel, &reader).await.unwrap(), [created]);
    let too_little = refused(create(&channel, &reader).await);
    assert_eq!(too_little, (Code::PermissionDenied, "SCOPE_INSUFFICIENT".to_owned()));
    let for_others = refused(list(&channel, &of_others).await);
    assert_eq!(for_others, (Code::Unauthenticated, "TOKEN_INVALID".to_owned()));

    let mut callers = Callers::start(&provider, &channel, &reader);
    callers.go_on().await;
    provider.tell("rotate").await;
    callers.go_on().await;
    let calls = callers.stop().await;
    assert_eq!(calls.len(), 4, "two keys, and those in their place: {calls:?}");

    let fetches = counted(&metrics, "auth_jwks_fetches_total").await;
    // One at the start, and one for all tokens with an unknown key.
    let of = |result: &str| fetches.get(&format!("result=\"{result}\"")).copied().unwrap_or(0);
    assert_eq!(of("ok"), 2, "{fetches:?}");
    assert!(of("status") >= 1 && fetches.len() == 2, "{fetches:?}");
    let decisions = counted(&metrics, "auth_decisions_total").await;
    let of = |result: &str| {
        let of_it =
            decisions.iter().filter(|(labels, _)| labels.contains(&format!("\"{result}\"")));
        of_it.map(|(_, times)| times).sum::<u64>()
    };
    assert_eq!(of("passed"), calls.values().sum::<u64>() + 2, "{decisions:?}");
    let refusals = ["VERIFIER_UNAVAILABLE", "SCOPE_INSUFFICIENT", "TOKEN_INVALID"];
    assert_eq!(refusals.map(of), [1, 1, 1], "{decisions:?}");
    // The health watch is public.
    assert_eq!(of("passed") + 4, decisions.values().sum::<u64>(), "{decisions:?}");

    drop((watch, health, channel));
    served.signal(Signal::TERM);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("eyJ"), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let of_calls: Vec<_> = lines.filter(|line| line["message"] == "finished call").collect();
    let who = format!("{}#orders-caller", provider.issuer);
    let passed = of_calls.iter().filter(|line| line["enduser.id"] == *who);
    // A caller with too few scopes is identified.
    assert_eq!(passed.count() as u64, of("passed") + 1);
    let invalid = of_calls.iter().find(|line| line["grpc.refused_reason"] == "TOKEN_INVALID");
    let invalid = invalid.expect("a line");
    assert_eq!(
        (&invalid["auth.check"], &invalid["auth.received"]),
        (&"aud".into(), &"billing".into())
    );
}
