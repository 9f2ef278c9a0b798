//! A real Prometheus scrapes `orders serve`, loads the alert rules, and evaluates the dashboard's queries.
//!
//! `prometheus` must be installed: `cargo test -p orders --test process -- --ignored prometheus`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use orders::v1::order_service_client::OrderServiceClient;
use orders::v1::{GetOrderRequest, ListOrdersRequest, WatchOrderRequest};
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use crate::common::process::{Served, get};
use crate::common::{order, soon};

const DASHBOARD: &str = include_str!("../../../metrics-layer/grafana/grpc.json");
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../metrics-layer/alerts/rules.yml");

/// Selects the metrics of the service `orders`, without health and reflection.
const ORDERS: &str = "grpc_server_started_total{grpc_service=\"orders.v1.OrderService\"}";

/// The result of a query: the value of each series, by some of its labels.
type Values = BTreeMap<String, f64>;

struct Prometheus {
    address: String,
    _child: Child,
}

impl Prometheus {
    fn start(folder: &Path, target: &str) -> Self {
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{RULES:?}]\n\
             scrape_configs: [{{job_name: orders, static_configs: [{{targets: [{target:?}]}}]}}]\n"
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        // It cannot select a free port, because it does not report the selected one.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus is installed");
        Self { address: free.to_string(), _child: child }
    }

    /// The response of its HTTP API, once it is up.
    async fn api(&self, path: &str) -> Value {
        loop {
            if tokio::net::TcpStream::connect(&self.address).await.is_ok() {
                let (head, body) = get(&self.address, &format!("/api/v1/{path}")).await;
                if head.contains(" 200 ") {
                    return serde_json::from_str::<Value>(&body).unwrap()["data"].take();
                }
                assert!(head.contains(" 503 "), "{path}: {head}\n{body}");
            }
            a_moment().await;
        }
    }

    async fn query(&self, expression: &str, time: Option<f64>, labels: &[&str]) -> Values {
        let time = time.map(|time| format!("&time={time:.3}")).unwrap_or_default();
        let data = self.api(&format!("query?query={}{time}", encoded(expression))).await;
        let series = data["result"].as_array().unwrap().iter().map(|series| {
            let label = |label: &&str| series["metric"][label].as_str().unwrap_or("").to_owned();
            let value = series["value"][1].as_str().unwrap().parse().unwrap();
            (labels.iter().map(label).collect::<Vec<_>>().join(" "), value)
        });
        series.collect()
    }

    /// Waits until an expression has this value.
    async fn until(&self, expression: &str, value: f64) {
        let seen = async {
            while self.query(expression, None, &[]).await.get("") != Some(&value) {
                a_moment().await;
            }
        };
        soon(seen).await;
    }
}

/// Prometheus scrapes on its own schedule: there is no event to wait for.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn client(served: &Served) -> OrderServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(served.url()).unwrap();
    OrderServiceClient::new(endpoint.connect().await.unwrap())
}

fn with_fault<T>(message: T, fault: &'static str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-fault", fault.parse().unwrap());
    request
}

/// A call whose `grpc-timeout` cannot be read. Anyone can make it, and it is no failure of the server.
async fn refused(client: &mut OrderServiceClient<Channel>) {
    let mut request = Request::new(GetOrderRequest { id: "x".to_owned() });
    request.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    assert_eq!(client.get_order(request).await.unwrap_err().code(), Code::Internal);
}

/// 3 orders created, 20 read, 5 not found, 8 read with a panic; 2 lists of 3 orders, and 4 that end DATA_LOSS.
async fn calls(client: &mut OrderServiceClient<Channel>) -> String {
    let mut id = String::new();
    for cents in 1..=3 {
        let order = client.create_order(order("ann@example.org", cents)).await.unwrap();
        id = order.into_inner().id;
    }
    for _ in 0..20 {
        client.get_order(GetOrderRequest { id: id.clone() }).await.unwrap();
    }
    for _ in 0..5 {
        let missing = GetOrderRequest { id: "x".to_owned() };
        assert_eq!(client.get_order(missing).await.unwrap_err().code(), Code::NotFound);
    }
    for _ in 0..8 {
        let panics = with_fault(GetOrderRequest { id: id.clone() }, "panic");
        assert_eq!(client.get_order(panics).await.unwrap_err().code(), Code::Internal);
    }
    for _ in 0..2 {
        let list = client.list_orders(ListOrdersRequest::default()).await.unwrap();
        let mut list = list.into_inner();
        while list.message().await.unwrap().is_some() {}
    }
    for _ in 0..4 {
        let lost = with_fault(ListOrdersRequest::default(), "status=DATA_LOSS");
        assert_eq!(client.list_orders(lost).await.unwrap_err().code(), Code::DataLoss);
    }
    id
}

/// The expression of each server panel, by its title, as Grafana sends it.
fn panels() -> BTreeMap<String, String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let of_servers =
        |panel: &&Value| panel["type"] != "row" && panel.to_string().contains("_server_");
    let expression = |panel: &Value| {
        let text = panel["targets"][0]["expr"].as_str().unwrap();
        let all = ["$namespace", "$job", "$pod", "$instance", "$method"].into_iter();
        let text = text.replace("$__rate_interval", "5m").replace("$__range", "5m");
        // The methods of the second version have the same names.
        let text = text.replace("$service", "orders.v1.OrderService");
        (
            panel["title"].as_str().unwrap().to_owned(),
            all.fold(text, |t, name| t.replace(name, ".*")),
        )
    };
    panels.iter().filter(of_servers).map(expression).collect()
}

#[track_caller]
fn close(what: &str, seen: &Values, expected: &[(&str, f64)]) {
    let said: Values =
        seen.iter().filter(|(_, value)| **value != 0.0).map(|(k, v)| (k.clone(), *v)).collect();
    assert_eq!(said.len(), expected.len(), "{what}: {said:?}");
    for (labels, value) in expected {
        let seen = said.get(*labels).unwrap_or_else(|| panic!("{what}: no {labels} in {said:?}"));
        assert!(
            (seen - value).abs() <= 1e-9 * value.abs(),
            "{what}, {labels}: {seen}, not {value}"
        );
    }
}

#[tokio::test]
#[ignore = "needs prometheus"]
async fn prometheus_answers_with_the_numbers_that_the_calls_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Served::start(&["--metrics", "127.0.0.1:0", "--faults"]).await;
    let prometheus = Prometheus::start(folder.path(), &served.metrics_address().await);
    // Prometheus has now scraped every series at zero.
    prometheus.until("sum(up)", 1.0).await;

    let mut client = client(&served).await;
    refused(&mut client).await;
    let id = calls(&mut client).await;
    let mut watch = client.watch_order(WatchOrderRequest { id }).await.unwrap().into_inner();
    soon(watch.message()).await.unwrap().unwrap();
    prometheus.until("sum(grpc_server_handled_total)", 43.0).await;
    prometheus.until("sum(grpc_server_in_flight)", 1.0).await;
    // At the time of a scrape nothing is extrapolated: an increase is exact.
    let scraped = prometheus.query("timestamp(up)", None, &[]).await[""];

    let panels = panels();
    let per_second = |calls: f64| calls / 300.0;
    for (title, labels, expected) in [
        (
            "Calls",
            &["grpc_method"][..],
            &[
                ("CreateOrder", per_second(3.0)),
                ("GetOrder", per_second(34.0)),
                ("ListOrders", per_second(6.0)),
                ("WatchOrder", per_second(1.0)),
            ][..],
        ),
        ("Error ratio", &["grpc_method"], &[("GetOrder", 9.0 / 34.0), ("ListOrders", 4.0 / 6.0)]),
        (
            "Errors by code",
            &["grpc_method", "grpc_code"],
            &[
                ("GetOrder NotFound", per_second(5.0)),
                ("GetOrder Internal", per_second(9.0)),
                ("ListOrders DataLoss", per_second(4.0)),
            ],
        ),
        ("In flight", &["grpc_method"], &[("WatchOrder", 1.0)]),
        (
            "Messages received",
            &["grpc_method"],
            &[
                ("CreateOrder", per_second(3.0)),
                ("GetOrder", per_second(33.0)),
                ("ListOrders", per_second(6.0)),
                ("WatchOrder", per_second(1.0)),
            ],
        ),
        (
            "Messages sent",
            &["grpc_method"],
            &[
                ("CreateOrder", per_second(3.0)),
                ("GetOrder", per_second(20.0)),
                ("ListOrders", per_second(6.0)),
                ("WatchOrder", per_second(1.0)),
            ],
        ),
        ("Panics", &["grpc_method"], &[("GetOrder", 8.0)]),
        ("Refusals", &["grpc_method", "reason"], &[("GetOrder TIMEOUT_MALFORMED", 1.0)]),
        // The overview includes health and reflection, which were not called.
        ("Calls per second", &[], &[("", per_second(44.0))]),
        ("Failed calls", &[], &[("", 13.0 / 43.0)]),
        ("Calls in flight", &[], &[("", 1.0)]),
        ("Refused per second", &[], &[]),
        ("Panics in this time", &[], &[("", 8.0)]),
    ] {
        let seen = prometheus.query(&panels[title], Some(scraped), labels).await;
        close(title, &seen, expected);
    }
    for title in ["Latency p50", "Latency p95", "Latency p99"] {
        let seen = prometheus.query(&panels[title], Some(scraped), &["grpc_method"]).await;
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["CreateOrder", "GetOrder"], "{title}");
        assert!(seen.values().all(|seconds| (0.0..60.0).contains(seconds)), "{title}: {seen:?}");
    }
    let slowest = prometheus.query(&panels["Slowest 1 %"], Some(scraped), &[]).await;
    assert!(slowest.len() == 1 && slowest[""] < 60.0, "{slowest:?}");
    assert_eq!(panels.len(), 17, "{:?}", panels.keys());

    let rules = prometheus.api("rules").await;
    let groups = rules["groups"].as_array().unwrap();
    let rules: BTreeMap<_, _> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .map(|rule| (rule["name"].as_str().unwrap(), rule["query"].as_str().unwrap()))
        .collect();
    for window in ["5m", "30m", "1h", "6h"] {
        let name = format!("job_grpc_service_grpc_code:grpc_server_handled:increase{window}");
        let of_orders = format!("({}) and on (grpc_service) {ORDERS}", rules[&*name]);
        let seen = prometheus.query(&of_orders, Some(scraped), &["grpc_code"]).await;
        let codes = [("OK", 25.0), ("NotFound", 5.0), ("Internal", 9.0), ("DataLoss", 4.0)];
        close(&name, &seen, &codes);
    }
    // They count the refusal and subtract it. The panels do not: `rate` ignores the first sample of a series.
    let name = "job_grpc_service:grpc_server_refused_timeout:increase5m";
    let seen = prometheus.query(rules[name], Some(scraped), &["grpc_service"]).await;
    close(name, &seen, &[("orders.v1.OrderService", 1.0)]);
    // The recording rules record ratios, which extrapolation does not change.
    let ratio = "job_grpc_service:grpc_server_failed_per_handled:ratio_increase1h";
    prometheus.until(&format!("round(sum({ratio}) * 43)"), 12.0).await;

    let firing =
        |alert: &str| format!("count(ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}})");
    for alert in ["GrpcPanics", "GrpcErrorBudgetBurnFast", "GrpcErrorBudgetBurnSlow"] {
        assert!(rules.contains_key(alert));
        prometheus.until(&firing(alert), 1.0).await;
    }

    drop((watch, client));
    prometheus.until("sum(grpc_server_in_flight)", 0.0).await;
    served.signal(Signal::INT);
    assert_eq!(served.ended().await.0.code(), Some(0));
}

/// Guards against: a dashboard with empty client panels, or without a selection of pods.
#[test]
fn the_dashboard_opens_with_an_overview_and_without_the_clients() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let rows: Vec<_> = panels.iter().filter(|panel| panel["type"] == "row").collect();
    let rows_are: Vec<_> = rows.iter().map(|row| (&row["title"], &row["collapsed"])).collect();
    let (closed, open) = (Value::Bool(true), Value::Bool(false));
    let titles = ["Overview", "Server", "Client"].map(Value::from);
    assert_eq!(rows_are, [(&titles[0], &open), (&titles[1], &open), (&titles[2], &closed)]);
    let of_clients = rows[2]["panels"].as_array().unwrap();
    assert_eq!(of_clients.len(), 9);
    assert!(
        !panels
            .iter()
            .filter(|panel| panel["type"] != "row")
            .any(|panel| { panel.to_string().contains("grpc_client_") })
    );

    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<_> =
        variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    let all = ["datasource", "namespace", "job", "pod", "instance", "service", "method"];
    assert_eq!(variables, all);
    let shown: Vec<_> =
        panels.iter().chain(of_clients).filter(|panel| panel["type"] != "row").collect();
    let ids: std::collections::BTreeSet<_> =
        panels.iter().chain(of_clients).map(|p| p["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len() + of_clients.len());
    for panel in shown {
        let expression = panel["targets"][0]["expr"].as_str().unwrap();
        for variable in &all[1..] {
            assert!(expression.contains(&format!("=~\"${variable}\"")), "{variable}: {expression}");
        }
    }
}
