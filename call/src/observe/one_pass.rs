//! Several layers that watch each call in one pass.

use std::any::type_name;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{ObserveLayer, Observer, Side};
use crate::method::KnownMethods;

/// A layer that watches calls, and can do it in one pass with others: see [`observe!`](crate::observe).
///
/// [`ObserveLayer`] is such a layer, around an observer of your own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a layer that watches calls",
    label = "can't share a pass with other layers",
    note = "`observe!` takes `TracingLayer`, `MetricsLayer`, `LoggingLayer`, `ObserveLayer::server(observer)` around \
            an observer of your own, and `Option`s of these",
    note = "any other layer goes into a `.layer(…)` of its own"
)]
pub trait Observing {
    /// What watches the calls.
    type Observer: Observer;

    /// Adds what this layer requires of the pass, with [`Pass::add`].
    fn declare(&self, pass: &mut Pass);

    /// The observer of this layer, for a pass that uses these known methods instead of the layer's own.
    fn into_observer(self, known: &Arc<KnownMethods>) -> Self::Observer;
}

/// What the layers of one pass require, and must agree on.
#[derive(Debug, Default)]
pub struct Pass {
    side: Option<(Side, &'static str)>,
    known: Option<Arc<KnownMethods>>,
    server_timeout: Option<Duration>,
    error: Option<PassError>,
}

/// Layers that can't share one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PassError {
    /// One layer is for a server, the other one for a client.
    Sides {
        /// The layer for a server.
        server: &'static str,
        /// The layer for a client.
        client: &'static str,
    },
    /// Two layers have different descriptor sets.
    Methods,
    /// Two layers have different server timeouts.
    ServerTimeouts(Duration, Duration),
}

impl Pass {
    /// Adds a layer `L` on this side, with its known methods and its server timeout.
    ///
    /// The pass uses the first methods that have a descriptor set; without any, the first of all.
    pub fn add<L>(
        &mut self,
        side: Side,
        known: &Arc<KnownMethods>,
        server_timeout: Option<Duration>,
    ) {
        self.add_side(side, short_name::<L>());
        self.add_known(known);
        if side == Side::Server {
            self.add_server_timeout(server_timeout);
        }
    }

    fn add_side(&mut self, side: Side, layer: &'static str) {
        let (first_side, first) = *self.side.get_or_insert((side, layer));
        match (first_side, side) {
            (Side::Server, Side::Client) => {
                self.fail(PassError::Sides { server: first, client: layer });
            }
            (Side::Client, Side::Server) => {
                self.fail(PassError::Sides { server: layer, client: first });
            }
            _ => {}
        }
    }

    fn add_known(&mut self, known: &Arc<KnownMethods>) {
        let present = self.known.get_or_insert_with(|| Arc::clone(known));
        match (present.methods(), known.methods()) {
            (Some(first), Some(methods)) if !first.is_same_set(methods) => {
                self.fail(PassError::Methods);
            }
            (None, Some(_)) => *present = Arc::clone(known),
            _ => {}
        }
    }

    fn add_server_timeout(&mut self, timeout: Option<Duration>) {
        let Some(timeout) = timeout else { return };
        let first = *self.server_timeout.get_or_insert(timeout);
        if first != timeout {
            self.fail(PassError::ServerTimeouts(first, timeout));
        }
    }

    fn fail(&mut self, error: PassError) {
        self.error.get_or_insert(error);
    }
}

impl<O: Observer> ObserveLayer<O> {
    /// Watches calls with several layers in one pass: `a`, or `(a, b)`, or `(a, (b, c))`, the outermost first. Usually
    /// called by [`observe!`](crate::observe).
    ///
    /// # Errors
    ///
    /// If one layer is for a server and another one for a client, or if two have different descriptor sets or different
    /// server timeouts.
    pub fn one_pass<L: Observing<Observer = O>>(layers: L) -> Result<Self, PassError> {
        let mut pass = Pass::default();
        layers.declare(&mut pass);
        if let Some(error) = pass.error {
            return Err(error);
        }
        // Without any layer, all calls are skipped, on either side.
        let side = pass.side.map_or(Side::Server, |(side, _)| side);
        let known = pass.known.unwrap_or_default();
        let observer = layers.into_observer(&known);
        Ok(Self::new(side, observer).known(known).server_timeout(pass.server_timeout))
    }
}

impl<O: Observer> Observing for ObserveLayer<O> {
    type Observer = O;

    fn declare(&self, pass: &mut Pass) {
        pass.add::<Self>(self.side, &self.known, self.server_timeout);
    }

    fn into_observer(self, _: &Arc<KnownMethods>) -> O {
        self.observer
    }
}

/// A layer that may be switched off.
impl<L: Observing> Observing for Option<L> {
    type Observer = Option<L::Observer>;

    fn declare(&self, pass: &mut Pass) {
        if let Some(layer) = self {
            layer.declare(pass);
        }
    }

    fn into_observer(self, known: &Arc<KnownMethods>) -> Self::Observer {
        self.map(|layer| layer.into_observer(known))
    }
}

/// The first layer is outside the second.
impl<A: Observing, B: Observing> Observing for (A, B) {
    type Observer = (A::Observer, B::Observer);

    fn declare(&self, pass: &mut Pass) {
        self.0.declare(pass);
        self.1.declare(pass);
    }

    fn into_observer(self, known: &Arc<KnownMethods>) -> Self::Observer {
        (self.0.into_observer(known), self.1.into_observer(known))
    }
}

/// The name of a type without its path.
fn short_name<T>() -> &'static str {
    let name = type_name::<T>();
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

impl fmt::Display for PassError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sides { server, client } => write!(
                f,
                "`{server}::server()` and `{client}::client()` can't watch the same calls: make all layers of one pass \
                 for the same side"
            ),
            Self::Methods => f.write_str(
                "the layers of one pass have different methods: give all of them the same `Methods`, or only one of them",
            ),
            Self::ServerTimeouts(first, second) => write!(
                f,
                "the layers of one pass have different server timeouts, {first:?} and {second:?}: set the timeout of the \
                 server on one of them"
            ),
        }
    }
}

impl Error for PassError {}
