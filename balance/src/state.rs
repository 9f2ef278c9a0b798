use std::fmt;
use std::sync::Arc;

use tonic_call::guarded;

use crate::Address;

/// The state of the connection to one address (gRPC, "Connectivity Semantics").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Not connected, because the policy does not need this address now.
    Idle,
    /// A first connection is being made, or one after a loss. Calls wait for it.
    Connecting,
    /// Connected: the server has sent its HTTP/2 SETTINGS, and its health is `SERVING` if that is checked. Calls are
    /// sent here.
    Ready,
    /// The last attempt has failed, or the server's health is not `SERVING`. The next attempts happen in
    /// the background; calls do not wait for them.
    TransientFailure,
    /// The address is no longer used.
    Shutdown,
}

impl State {
    /// The name that gRPC gives to this state, such as `TRANSIENT_FAILURE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "IDLE",
            Self::Connecting => "CONNECTING",
            Self::Ready => "READY",
            Self::TransientFailure => "TRANSIENT_FAILURE",
            Self::Shutdown => "SHUTDOWN",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A change of the state of one address, for [`BalancedBuilder::on_state`](crate::BalancedBuilder::on_state).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StateChange<'a> {
    /// The address.
    pub address: &'a Address,
    /// The state before; `None` for an address that is new, whose first state is [`Idle`](State::Idle).
    pub from: Option<State>,
    /// The state now. The last one is [`Shutdown`](State::Shutdown): the address was removed, or the balancer has ended.
    pub to: State,
    /// Why, if that is not obvious: the error of the attempt, or how the connection was lost.
    pub reason: Option<&'a str>,
}

type OnState = dyn Fn(&StateChange<'_>) + Send + Sync;
type OnPick = dyn Fn(&Address) + Send + Sync;

/// The functions of the user.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) state: Option<Arc<OnState>>,
    pub(crate) pick: Option<Arc<OnPick>>,
}

impl Hooks {
    /// A call is about to be sent to this address.
    pub(crate) fn picked(&self, address: &Address) {
        if let Some(pick) = &self.pick {
            // A panic of the user's function must not fail the call.
            let _ = guarded(|| pick(address));
        }
    }

    fn changed(&self, change: &StateChange<'_>) {
        if let Some(state) = &self.state {
            let _ = guarded(|| state(change));
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("state", &self.state.is_some())
            .field("pick", &self.pick.is_some())
            .finish()
    }
}

/// The state of an address. Logs each change and calls the hooks; the last change is the drop.
#[derive(Debug)]
pub(crate) struct TrackedState {
    target: Arc<str>,
    address: Address,
    hooks: Hooks,
    state: Option<State>,
}

impl TrackedState {
    pub(crate) fn new(target: Arc<str>, address: Address, hooks: Hooks) -> Self {
        let mut tracked = Self { target, address, hooks, state: None };
        tracked.set(State::Idle, None);
        tracked
    }

    pub(crate) fn get(&self) -> State {
        self.state.unwrap_or(State::Idle)
    }

    pub(crate) fn set(&mut self, to: State, reason: Option<&str>) {
        if self.state == Some(to) {
            return;
        }
        let from = self.state.replace(to);
        let change = StateChange { address: &self.address, from, to, reason };
        log(&self.target, &change);
        self.hooks.changed(&change);
    }
}

impl Drop for TrackedState {
    fn drop(&mut self) {
        self.set(State::Shutdown, None);
    }
}

/// Failures are WARN, what affects calls is INFO, the rest is DEBUG.
fn log(target: &str, change: &StateChange<'_>) {
    macro_rules! event {
        ($level:ident) => {
            tracing::$level!(
                target: "tonic_balance",
                server = target,
                address = %change.address,
                from = change.from.map(State::name),
                state = change.to.name(),
                reason = change.reason,
                "connection state changed"
            )
        };
    }
    match (change.from, change.to) {
        (_, State::TransientFailure) => event!(warn),
        (_, State::Ready) | (Some(State::Ready), _) => event!(info),
        _ => event!(debug),
    }
}
