//! The servers: the states of their connections, and to which of them each call was sent.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{describe_gauge, gauge};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic_balance::{Address, Balanced, State, StateChange};
use tonic_call::ServiceConfig;
use tonic_tls_reload::TlsEndpoint;

use super::{resolve, tls, tls_errors};
use crate::cli::CallArgs;

const CONNECTIONS: &str = "grpc_client_connections";

/// Maximum time to connect to one address; `--timeout` may be shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the first of several calls waits for the other addresses, and the end for the log lines about connections.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// The channel to all servers, and what it reports.
pub(crate) struct Servers {
    channel: Balanced,
    states: watch::Receiver<States>,
    picks: Picks,
}

/// The state of each address, and why it has failed, if it has.
type States = BTreeMap<Address, (State, Option<String>)>;

/// The addresses that calls were sent to.
type Picks = Arc<Mutex<Vec<Address>>>;

impl Servers {
    /// Begins to connect. The calls wait for it, so that the layers see a failure, and the deadline covers the wait.
    ///
    /// `encrypted` is the endpoint if the connections are encrypted.
    pub(super) fn connect(
        args: &CallArgs,
        encrypted: Option<&TlsEndpoint>,
        config: &ServiceConfig,
    ) -> Self {
        let endpoint = match encrypted {
            Some(encrypted) => encrypted.endpoint().clone(),
            None => Endpoint::from(args.first_url().clone()),
        };
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT);
        let builder = match &args.to[..] {
            [_] => Balanced::host(endpoint),
            urls => resolve::all_of(endpoint, urls),
        };
        let builder = match encrypted {
            Some(endpoint) => builder.connector(tls::connector(endpoint)),
            None => builder,
        };
        let (sender, states) = watch::channel(States::new());
        let picks = Picks::default();
        let picked = Arc::clone(&picks);
        describe_gauge!(CONNECTIONS, "Addresses of the servers, by the state of the connection.");
        let channel = builder
            .service_config(config)
            .on_state(move |change| {
                count(change);
                sender.send_modify(|states| update(states, change));
            })
            .on_pick(move |address| lock(&picked).push(address.clone()))
            .build();
        Self { channel, states, picks }
    }

    pub(super) fn channel(&self) -> Balanced {
        self.channel.clone()
    }

    /// The addresses, in order.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.states.borrow().keys().cloned().collect()
    }

    /// Takes the addresses that were picked since the last time.
    pub(crate) fn take_picks(&self) -> Vec<Address> {
        mem::take(&mut lock(&self.picks))
    }

    /// The error of each address that has failed.
    pub(super) fn failures(&self) -> Vec<String> {
        let states = self.states.borrow();
        let failed = states.iter().filter_map(|(address, (_, reason))| {
            reason.as_ref().map(|reason| format!("{address}: {}", tls_errors::plainly(reason)))
        });
        failed.collect()
    }

    /// Waits a short time until no address is being connected to.
    pub(crate) async fn wait_for_connections(&self) {
        let mut states = self.states.clone();
        let is = |wanted| move |(state, _): &(State, _)| *state == wanted;
        let settled = async {
            let settled = states.wait_for(|states| {
                !states.values().all(is(State::Idle)) && !states.values().any(is(State::Connecting))
            });
            _ = settled.await;
            // The hook is called just before calls can use the connection.
            while self.channel.states().iter().any(|(_, state)| *state == State::Connecting) {
                yield_now().await;
            }
        };
        // Without all of them, the calls go to those that are connected.
        _ = timeout(SHORT_WAIT, settled).await;
    }

    /// Waits until calls are no longer sent to one of the addresses.
    pub(crate) async fn wait_for_a_loss(&self) {
        let mut states = self.states.clone();
        let lost = |states: &States| states.values().any(|(state, _)| *state != State::Ready);
        // The sender lives as long as the channel.
        _ = states.wait_for(lost).await;
        // The hook is called just before calls avoid the address.
        while self.channel.states().iter().all(|(_, state)| *state == State::Ready) {
            yield_now().await;
        }
    }

    /// Closes the connections. Waits a short time until that is logged, so that it is not logged in between what is
    /// printed afterwards.
    pub(super) async fn close(self) {
        let Self { channel, mut states, .. } = self;
        drop(channel);
        _ = timeout(SHORT_WAIT, states.wait_for(States::is_empty)).await;
    }
}

/// Sets the gauge.
fn count(change: &StateChange<'_>) {
    let connections = |state: State| gauge!(CONNECTIONS, "state" => state.name());
    if let Some(from) = change.from {
        connections(from).decrement(1);
    }
    if change.to != State::Shutdown {
        connections(change.to).increment(1);
    }
}

fn update(states: &mut States, change: &StateChange<'_>) {
    if change.to == State::Shutdown {
        states.remove(change.address);
        return;
    }
    let reason = change.reason.filter(|_| change.to == State::TransientFailure);
    states.insert(change.address.clone(), (change.to, reason.map(str::to_owned)));
}

fn lock(picks: &Picks) -> std::sync::MutexGuard<'_, Vec<Address>> {
    picks.lock().unwrap_or_else(PoisonError::into_inner)
}
