//! What happens to one of the servers.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use crate::calls::{Damage, Load, now};
use crate::client::Client;
use crate::network::{Listening, Unreachable};
use crate::server::Server;

/// What happens to one of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill,
    Drain,
    /// From the start, an address accepts connections and says nothing.
    Silent,
    /// From the start, an address cannot be connected to.
    Unreachable,
    /// A connected server says nothing any more.
    FallsSilent,
    /// The same, and clients send HTTP/2 pings.
    FallsSilentPings,
}

/// How long calls run before a server that works gets its fault.
const BEFORE: Duration = Duration::from_secs(1);
const SERVERS: usize = 4;

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::Kill,
        Self::Drain,
        Self::Silent,
        Self::Unreachable,
        Self::FallsSilent,
        Self::FallsSilentPings,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Drain => "drain",
            Self::Silent => "silent from the start",
            Self::Unreachable => "unreachable from the start",
            Self::FallsSilent => "falls silent",
            Self::FallsSilentPings => "falls silent, with pings",
        }
    }

    /// How often it is repeated: what happens in an instant depends on chance.
    pub(crate) fn runs(self) -> usize {
        match self {
            Self::Kill | Self::Drain => 5,
            _ => 1,
        }
    }

    fn load(self) -> Load {
        let seconds = match self {
            Self::Kill | Self::Drain => 4.0,
            Self::Silent | Self::Unreachable => 10.0,
            Self::FallsSilent => 15.0,
            Self::FallsSilentPings => 30.0,
        };
        Load { seconds, pings: self == Self::FallsSilentPings }
    }

    /// One run with servers of its own.
    pub(crate) async fn run(self, client: Client, damage: &mut Damage) {
        let mut servers: Vec<_> = (0..SERVERS).map(|_| Server::start()).collect();
        let mut addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
        let load = self.load();
        let calls = |addresses: Vec<SocketAddr>| {
            tokio::spawn(async move { client.calls(&addresses, load).await })
        };
        let (calls, fault, late) = match self {
            Self::Kill | Self::Drain => {
                let calls = calls(addresses);
                sleep(BEFORE).await;
                let fault = now();
                if self == Self::Kill {
                    servers[0].kill();
                } else {
                    servers[0].drain();
                }
                let calls = calls.await;
                (calls, fault, (self == Self::Drain).then(|| servers[0].late_calls()))
            }
            Self::Silent => {
                let listening = Listening::silent().await;
                addresses[0] = listening.address;
                let fault = now();
                (calls(addresses).await, fault, None)
            }
            Self::Unreachable => {
                let unreachable = Unreachable::new().await;
                addresses[0] = unreachable.address;
                let fault = now();
                (calls(addresses).await, fault, None)
            }
            Self::FallsSilent | Self::FallsSilentPings => {
                let proxy = Listening::proxy(addresses[0]).await;
                addresses[0] = proxy.address;
                let calls = calls(addresses);
                sleep(BEFORE).await;
                let fault = now();
                proxy.fall_silent();
                (calls.await, fault, None)
            }
        };
        damage.add(&calls.expect("calls do not panic"), fault, late);
    }
}
