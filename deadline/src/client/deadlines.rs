use std::time::Duration;

use tonic_call::{Matches, MethodKind, MethodTable, Rpc};

/// How long the calls of a client may take: a `Duration`, a [`MethodTable`] of them, or `None`.
///
/// A default, and a rule for a service, hold for its unary methods alone: a stream may be meant to last. A rule for a
/// method holds for that method, whatever its kind.
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
pub struct ClientDeadlines(MethodTable<Option<Duration>>);

impl ClientDeadlines {
    /// Whether there is any limit.
    pub(super) fn are_set(&self) -> bool {
        self.0.iter().any(|(_, limit)| limit.is_some())
    }

    /// The limit of a call; its kind decides unless there is a rule for the method.
    pub(super) fn of(&self, rpc: &Rpc, kind: Option<MethodKind>) -> Option<Duration> {
        if rpc.is_well_formed()
            && let Some(limit) = self.0.of(Matches::Method(rpc.full()))
        {
            return *limit;
        }
        self.0.get(rpc).filter(|_| kind == Some(MethodKind::Unary))
    }

    /// Whether there is a limit that holds for unary methods alone.
    pub(super) fn need_kinds(&self) -> bool {
        let mut limits = self.0.iter().filter(|(_, limit)| limit.is_some());
        limits.any(|(matches, _)| !matches!(matches, Matches::Method(_)))
    }
}

/// One limit for all unary methods.
impl From<Duration> for ClientDeadlines {
    fn from(limit: Duration) -> Self {
        Self(limit.into())
    }
}

/// No limits: calls have the deadlines that their callers set, and that of the inbound call.
impl From<Option<Duration>> for ClientDeadlines {
    fn from(limit: Option<Duration>) -> Self {
        Self(limit.into())
    }
}

impl From<MethodTable<Option<Duration>>> for ClientDeadlines {
    fn from(limits: MethodTable<Option<Duration>>) -> Self {
        Self(limits)
    }
}
