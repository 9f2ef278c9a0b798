use std::future::Future;
use std::time::{Duration, Instant};

use http::HeaderValue;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;

use super::plan::AT_ONCE;
use super::protocol::{Kind, Load, Loads, MESSAGES};
use super::rows::{self, Row};
use super::setup::Setup;
use super::statistics::quantile;
use super::{Allocator, Error};
use crate::many;
use crate::one_core::{Core, thread_time};

/// Servers of a row on loopback, and the bare server.
#[derive(Debug)]
pub(super) struct EndToEnd {
    allocator: Allocator,
    /// One thread, for the client and for all servers but one.
    runtime: Runtime,
    bare: Caller,
    together: Caller,
    /// The thread of the other server.
    core: Core,
    apart: Caller,
}

impl EndToEnd {
    pub(super) fn start(row: &Row, allocator: Allocator) -> Result<Self, Error> {
        let setup = Setup::new(many::known());
        let bare = rows::named(rows::BARE).ok_or("there is no bare row")?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let core = Core::start_in(allocator.uncounted);
        let [beside, here] = {
            let _inside = runtime.enter();
            [(bare.server)(&setup), (row.server)(&setup)]
        };
        let there = {
            let _inside = core.runtime().enter();
            (row.server)(&setup)
        };
        let [bare, together, apart] = runtime.block_on(async {
            let mut callers = Vec::new();
            for server in [beside, here, there] {
                callers.push(Caller::connect(&server.endpoint, setup.token()).await?);
            }
            <[Caller; 3]>::try_from(callers).map_err(|_| Error::from("three servers"))
        })?;
        Ok(Self { allocator, runtime, bare, together, core, apart })
    }

    /// The bare server and then the row, each on the thread of its client.
    pub(super) fn together(&self, call: Kind, calls: u32) -> Loads {
        let load = |caller: &Caller| {
            let start = thread_time();
            let took = self.block_on(caller.calls(call, calls));
            load(took, thread_time().saturating_sub(start))
        };
        Loads { bare: load(&self.bare), subject: load(&self.together) }
    }

    /// The row on a thread of its own.
    pub(super) fn apart(&self, call: Kind, calls: u32) -> Load {
        self.block_on(async {
            let start = self.core.busy().await;
            let took = self.apart.calls(call, calls).await;
            load(took, self.core.busy().await.saturating_sub(start))
        })
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let (mut future, mut output) = (Some(future), None);
        (self.allocator.uncounted)(&mut || {
            output = future.take().map(|future| self.runtime.block_on(future));
        });
        output.expect("it runs once")
    }
}

/// The client of one server.
#[derive(Clone, Debug)]
struct Caller {
    kinds: KindsClient<Channel>,
    token: MetadataValue<tonic::metadata::Ascii>,
}

impl Caller {
    async fn connect(endpoint: &Endpoint, token: HeaderValue) -> Result<Self, Error> {
        let kinds = KindsClient::new(endpoint.connect().await?);
        Ok(Self { kinds, token: token.to_str()?.parse()? })
    }

    /// Makes this many calls, [`AT_ONCE`] at once; returns the latency of each.
    fn calls(&self, call: Kind, calls: u32) -> impl Future<Output = Vec<Duration>> + use<> {
        let mut callers = JoinSet::new();
        let caller = self.clone();
        async move {
            for _ in 0..AT_ONCE {
                let mut caller = caller.clone();
                callers.spawn(async move {
                    let mut took = Vec::new();
                    for _ in 0..calls / AT_ONCE {
                        let start = Instant::now();
                        caller.call(call).await;
                        took.push(start.elapsed());
                    }
                    took
                });
            }
            callers.join_all().await.concat()
        }
    }

    async fn call(&mut self, call: Kind) {
        let mut request = Request::new(Ask::default());
        request.metadata_mut().insert("authorization", self.token.clone());
        match call {
            Kind::Unary => {
                self.kinds.unary(request).await.expect("it answers");
            }
            Kind::Stream => {
                let response = self.kinds.server_stream(request).await.expect("it answers");
                let (mut notes, mut count) = (response.into_inner(), 0.0);
                while notes.message().await.expect("a message").is_some() {
                    count += 1.0;
                }
                assert_eq!(count, MESSAGES, "messages of a stream");
            }
        }
    }
}

fn load(took: Vec<Duration>, cpu: Duration) -> Load {
    let micros = |took: Duration| took.as_secs_f64() * 1e6;
    let mut latencies: Vec<f64> = took.into_iter().map(micros).collect();
    latencies.sort_by(f64::total_cmp);
    let of = |part| quantile(&latencies, part).unwrap_or_default();
    Load { cpu: micros(cpu) / latencies.len().max(1) as f64, p50: of(0.5), p99: of(0.99) }
}
