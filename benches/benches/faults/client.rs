//! The clients that are compared.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use http::{Request, Response};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Code;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic_balance::Balanced;
use tonic_call::BoxError;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_retry_layer::{RetryLayer, ServiceConfig};
use tower::{Layer as _, Service};

use crate::calls::{Load, Over, now};

/// A client with a balancer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    Balance,
    BalanceAndRetry,
    BalanceList,
    GrpcGo,
    GrpcGoAndRetry,
}

/// The service config of the fixture, for the service that is called here.
fn config() -> String {
    const FIXTURE: &str = include_str!("../../../call/tests/service_config/orders.json");
    FIXTURE.replace("orders.v1.OrderService", "test.v1.Kinds")
}

const ROUND_ROBIN: &str = r#"{"loadBalancingConfig": [{"round_robin": {}}]}"#;

impl Client {
    const ALL: [Self; 5] = [
        Self::Balance,
        Self::BalanceAndRetry,
        Self::BalanceList,
        Self::GrpcGo,
        Self::GrpcGoAndRetry,
    ];

    /// Those that can be run.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        let has_go = grpc_go_program().is_some();
        Self::ALL
            .into_iter()
            .filter(move |client| has_go || !matches!(client, Self::GrpcGo | Self::GrpcGoAndRetry))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Balance => "tonic-balance",
            Self::BalanceAndRetry => "tonic-balance, retry layer",
            Self::BalanceList => "tonic's balance_list",
            Self::GrpcGo => "grpc-go",
            Self::GrpcGoAndRetry => "grpc-go, retry policy",
        }
    }

    /// Makes all calls, and returns what became of them.
    pub(crate) async fn calls(self, addresses: &[SocketAddr], load: Load) -> Vec<Over> {
        let endpoint = |authority: &str| {
            let endpoint = Endpoint::from_shared(format!("http://{authority}")).expect("a URI");
            if !load.pings {
                return endpoint;
            }
            endpoint
                .http2_keep_alive_interval(Load::PING_INTERVAL)
                .keep_alive_timeout(Load::PING_TIMEOUT)
        };
        let balanced = || Balanced::list(endpoint("orders.svc"), addresses.iter().copied()).build();
        match self {
            Self::Balance => steady(balanced(), load).await,
            Self::BalanceAndRetry => {
                let config = ServiceConfig::from_json(&config()).expect("a service config");
                steady(RetryLayer::new(&config).layer(balanced()), load).await
            }
            Self::BalanceList => {
                let endpoints = addresses.iter().map(|address| endpoint(&address.to_string()));
                steady(Channel::balance_list(endpoints), load).await
            }
            Self::GrpcGo => grpc_go(ROUND_ROBIN, addresses, load).await,
            Self::GrpcGoAndRetry => grpc_go(&config(), addresses, load).await,
        }
    }
}

/// Begins each call at its time, even if others have no answer yet.
async fn steady<T, B>(channel: T, load: Load) -> Vec<Over>
where
    T: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    T::Error: Into<BoxError>,
    T::Future: Send,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send,
{
    let client = KindsClient::new(channel);
    let mut calls = JoinSet::new();
    let start = Instant::now();
    for number in 0..load.calls() {
        sleep_until(start + Duration::from_secs_f64(number as f64 / Load::RATE)).await;
        let mut client = client.clone();
        calls.spawn(async move {
            let (began, start) = (now(), Instant::now());
            let mut request = tonic::Request::new(Ask::default());
            request.set_timeout(Load::DEADLINE);
            // While `balance_list` has no connection, it does not watch the deadline.
            let code = match timeout(Load::DEADLINE, client.unary(request)).await {
                Ok(Ok(_)) => Code::Ok,
                Ok(Err(status)) => status.code(),
                Err(_) => Code::DeadlineExceeded,
            };
            Over { began, took: start.elapsed(), code }
        });
    }
    calls.join_all().await
}

/// The program in `benches/grpc-go`, if it was built.
fn grpc_go_program() -> Option<OsString> {
    std::env::var_os("GRPC_GO")
}

/// Runs the program in `benches/grpc-go`.
async fn grpc_go(config: &str, addresses: &[SocketAddr], load: Load) -> Vec<Over> {
    let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    let ping =
        if load.pings { [Load::PING_INTERVAL, Load::PING_TIMEOUT] } else { [Duration::ZERO; 2] };
    let program = grpc_go_program().expect("it is not compared without its program");
    let seconds = [load.seconds, Load::DEADLINE.as_secs_f64()];
    let output = Command::new(program)
        .args([&addresses.join(","), config, &Load::RATE.to_string()])
        .args(seconds.into_iter().chain(ping.map(|time| time.as_secs_f64())).map(|n| n.to_string()))
        .stderr(Stdio::inherit())
        .output()
        .await
        .expect("it runs");
    assert!(output.status.success(), "grpc-go has failed");
    let lines = String::from_utf8(output.stdout).expect("it prints numbers");
    lines.lines().map(over).collect()
}

fn over(line: &str) -> Over {
    let numbers: Vec<u64> =
        line.split(' ').map(|number| number.parse().expect("a number")).collect();
    let [began, took, code] = numbers[..] else { panic!("three numbers, and not {line}") };
    let [began, took] = [began, took].map(Duration::from_micros);
    Over { began, took, code: Code::from_i32(i32::try_from(code).expect("a code")) }
}
