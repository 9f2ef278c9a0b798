use std::time::Duration;

use tonic_call::{Matches, MethodKind, MethodTable, Rpc};

/// How long the calls of a client may take: a `Duration`, a [`MethodTable`] of them, or `None`; or gRPC's
/// `ServiceConfig`, with the feature `service-config`.
///
/// A default, and a rule for a service, hold for its unary methods alone: a stream may be meant to last. A rule for a
/// method holds for that method, whatever its kind. The timeouts of a service config hold for all kinds, as in gRPC.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use tonic_call_test_kit::orders;
/// use std::time::Duration;
///
/// use tonic_deadline_layer::{DeadlineLayer, MethodTable, Methods};
///
/// let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
/// let seconds = |seconds| Some(Duration::from_secs(seconds));
/// # let (service, create, list) = ("test.v1.Kinds", "Unary", "ServerStream");
/// # let _ = r#"
/// let (service, create, list) = ("orders.v1.OrderService", "CreateOrder", "ListOrders");
/// # "#;
/// let deadlines = MethodTable::new(seconds(5))
///     .method(service, create, seconds(30))
///     .method(service, list, seconds(60)) // a stream
///     .checked(&methods)?;
/// let layer = DeadlineLayer::client(deadlines).methods(&methods);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ClientDeadlines {
    limits: MethodTable<Option<Duration>>,
    /// Whether a default, and a rule for a service, hold for methods of all four kinds, as in gRPC's service config.
    all_kinds: bool,
}

impl ClientDeadlines {
    /// Whether there is any limit.
    pub(super) fn are_set(&self) -> bool {
        self.limits.iter().any(|(_, limit)| limit.is_some())
    }

    /// The limit of a call; its kind decides unless there is a rule for the method.
    pub(super) fn of(&self, rpc: &Rpc, kind: Option<MethodKind>) -> Option<Duration> {
        if self.all_kinds {
            return *self.limits.get(rpc);
        }
        if rpc.is_well_formed()
            && let Some(limit) = self.limits.of(Matches::Method(rpc.full()))
        {
            return *limit;
        }
        self.limits.get(rpc).filter(|_| kind == Some(MethodKind::Unary))
    }

    /// Whether there is a limit that holds for unary methods alone.
    pub(super) fn need_kinds(&self) -> bool {
        let mut limits = self.limits.iter().filter(|(_, limit)| limit.is_some());
        !self.all_kinds && limits.any(|(matches, _)| !matches!(matches, Matches::Method(_)))
    }
}

/// One limit for all unary methods.
impl From<Duration> for ClientDeadlines {
    fn from(limit: Duration) -> Self {
        MethodTable::from(limit).into()
    }
}

/// No limits: calls have the deadlines that their callers set, and that of the inbound call.
impl From<Option<Duration>> for ClientDeadlines {
    fn from(limit: Option<Duration>) -> Self {
        MethodTable::from(limit).into()
    }
}

impl From<MethodTable<Option<Duration>>> for ClientDeadlines {
    fn from(limits: MethodTable<Option<Duration>>) -> Self {
        Self { limits, all_kinds: false }
    }
}

/// The `timeout` of each method in gRPC's service config, for methods of all four kinds, as in every gRPC client. It
/// needs no [`methods`](crate::ClientDeadlineLayer::methods).
#[cfg(feature = "service-config")]
impl From<&tonic_call::ServiceConfig> for ClientDeadlines {
    fn from(config: &tonic_call::ServiceConfig) -> Self {
        Self { limits: config.timeouts(), all_kinds: true }
    }
}
