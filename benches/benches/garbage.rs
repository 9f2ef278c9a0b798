//! The latency of valid calls while a sender floods the server with tokens that are valid except for their
//! signature, as fast as the server answers; the rate of these bad calls, and the server's CPU time for each.
//!
//! Over loopback, to a server on one thread: valid and bad calls compete for that thread's core. In process, each
//! caller's thread would do the server's work, and a valid call would not wait for any other.
#![allow(clippy::print_stdout)]

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Extensions, HeaderMap, HeaderValue, header};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_layers_benches::{CALLER, Core, Flood, Issuer, Server, verifying_servers};

/// The number of concurrent bad calls.
const AT_ONCE: usize = 16;
/// The number of bad calls after which their sender is limited, if the server has a limit.
const SETTLED: u64 = 1_000;
/// The number of valid calls of each kind, first without bad calls and then with them.
const CALLS: usize = 200;
/// The number of concurrent senders of valid calls.
const CALLERS: usize = 4;
/// No further round starts after this time.
const AT_MOST: Duration = Duration::from_secs(22);

const GOOD: &str = "192.0.2.1";
const BAD: &str = "192.0.2.2";

fn main() {
    let (server, sender) = (Core::start(), Core::start());
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(table(&server, &sender));
}

async fn table(core: &Core, sender: &Core) {
    let issuer = Arc::new(Issuer::es256());
    let servers = {
        let _inside = core.runtime().enter();
        verifying_servers(&issuer)
    };
    let mut subjects = Vec::new();
    for server in &servers {
        subjects.push(Subject::new(server, sender, &issuer).await);
    }
    let start = Instant::now();
    while start.elapsed() < AT_MOST {
        for subject in &mut subjects {
            let round = subject.round(core, sender).await;
            subject.rounds.push(round);
        }
        if std::env::args().any(|argument| argument == "--quick") {
            break;
        }
    }
    print(&subjects);
}

/// A server, its callers, and the measured rounds.
struct Subject {
    name: &'static str,
    issuer: Arc<Issuer>,
    good: KindsClient<Channel>,
    bad: KindsClient<Channel>,
    /// The number of single-use tokens that were sent.
    sent: usize,
    rounds: Vec<Round>,
}

struct Round {
    quiet: Took,
    fed: Took,
    /// The status code of the last bad call.
    code: Code,
    /// Bad calls per second.
    rate: f64,
    /// CPU time of the server per bad call.
    cost: Duration,
}

/// The latency of valid calls in microseconds, as median and 99th percentile: `warm` with a token that was sent
/// before, `cold` with a new token.
struct Took {
    warm: [f64; 2],
    cold: [f64; 2],
}

impl Subject {
    async fn new(server: &Server, sender: &Core, issuer: &Arc<Issuer>) -> Self {
        let bad = sender.runtime().spawn(connect(server.endpoint.clone()));
        let good = connect(server.endpoint.clone()).await;
        let bad = bad.await.expect("it connects");
        let issuer = Arc::clone(issuer);
        Self { name: server.name, issuer, good, bad, sent: 0, rounds: Vec::new() }
    }

    async fn round(&mut self, core: &Core, sender: &Core) -> Round {
        let before = core.busy().await;
        let quiet = self.calls().await;
        let busy = core.busy().await - before;

        let issuer = Arc::clone(&self.issuer);
        let garbage = move |number| request(issuer.forged(&format!("eve {number}")), BAD);
        let flood = Flood::start(sender, &self.bad, AT_ONCE, garbage);
        while flood.answered() < SETTLED {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (before, answered, start) = (core.busy().await, flood.answered(), Instant::now());
        let fed = self.calls().await;
        let (took, answered) = (start.elapsed(), (flood.answered() - answered) as f64);
        // Subtracts the CPU time of the valid calls, which are as many as without bad calls.
        let cost = (core.busy().await - before).saturating_sub(busy).div_f64(answered);
        let last = self.bad.unary(request(self.issuer.forged("eve"), BAD)).await;
        flood.stop().await;

        let code = last.map_or_else(|status| status.code(), |_| Code::Ok);
        Round { quiet, fed, code, rate: answered / took.as_secs_f64(), cost }
    }

    async fn calls(&mut self) -> Took {
        let known = self.issuer.authorization("ann");
        call(&mut self.good, known.clone()).await;
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let new = (0..CALLS / CALLERS).map(|number| self.sent + number);
            let new: Vec<_> =
                new.map(|number| self.issuer.authorization(&format!("bob {number}"))).collect();
            self.sent += new.len();
            let (mut kinds, known) = (self.good.clone(), known.clone());
            callers.spawn(async move {
                let mut took = Vec::new();
                for new in new {
                    pause().await;
                    let warm = call(&mut kinds, known.clone()).await;
                    pause().await;
                    took.push((warm, call(&mut kinds, new).await));
                }
                took
            });
        }
        let (warm, cold): (Vec<_>, Vec<_>) = callers.join_all().await.into_iter().flatten().unzip();
        let both = |took: Vec<f64>| [quantile(took.clone(), 0.5), quantile(took, 0.99)];
        Took { warm: both(warm), cold: both(cold) }
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        quantile(self.rounds.iter().map(of).collect(), 0.5)
    }
}

async fn connect(endpoint: Endpoint) -> KindsClient<Channel> {
    KindsClient::new(endpoint.connect().await.expect("it listens"))
}

fn request(authorization: HeaderValue, caller: &'static str) -> Request<Ask> {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, authorization);
    headers.insert(CALLER, HeaderValue::from_static(caller));
    Request::from_parts(MetadataMap::from_headers(headers), Extensions::new(), Ask::default())
}

/// Makes one valid call; returns its latency in microseconds.
async fn call(kinds: &mut KindsClient<Channel>, authorization: HeaderValue) -> f64 {
    let start = Instant::now();
    kinds.unary(request(authorization, GOOD)).await.expect("a good token passes");
    start.elapsed().as_secs_f64() * 1e6
}

/// Waits for a random time, so that valid calls are not synchronized with bad ones.
async fn pause() {
    let random = RandomState::new().hash_one(());
    tokio::time::sleep(Duration::from_micros(random % 2_000)).await;
}

fn quantile(mut values: Vec<f64>, quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * quantile).round() as usize]
}

/// Prints two lines per subject: without bad calls, and with them.
fn print(subjects: &[Subject]) {
    let rounds = subjects.first().map_or(0, |subject| subject.rounds.len());
    let title = format!("ES256, {AT_ONCE} bad at once, µs");
    println!("\n{title:<30}{:>26}{:>26}", "remembered", "not remembered");
    let columns = format!("{:>10}{:>8}{:>8}", "p50", "p99", "ratio");
    println!("{:<30}{columns}{columns}{:>10}{:>8}", format!("{rounds} rounds"), "bad/s", "µs each");
    for subject in subjects {
        let quiet = |of: fn(&Took) -> f64| subject.median(|round| of(&round.quiet));
        println!(
            "{:<30}{:>10.0}{:>8.0}{:>18.0}{:>8.0}",
            subject.name,
            quiet(|took| took.warm[0]),
            quiet(|took| took.warm[1]),
            quiet(|took| took.cold[0]),
            quiet(|took| took.cold[1]),
        );
        let fed = |of: fn(&Took) -> f64| subject.median(|round| of(&round.fed));
        let ratio =
            |of: fn(&Took) -> f64| subject.median(|round| of(&round.fed) / of(&round.quiet));
        let code = subject.rounds.last().map_or(Code::Unknown, |round| round.code);
        println!(
            "{:<30}{:>10.0}{:>8.0}{:>8.1}{:>10.0}{:>8.0}{:>8.1}{:>10.0}{:>8.1}",
            format!("  and garbage: {code:?}"),
            fed(|took| took.warm[0]),
            fed(|took| took.warm[1]),
            ratio(|took| took.warm[1]),
            fed(|took| took.cold[0]),
            fed(|took| took.cold[1]),
            ratio(|took| took.cold[1]),
            subject.median(|round| round.rate),
            subject.median(|round| round.cost.as_secs_f64() * 1e6),
        );
    }
}
