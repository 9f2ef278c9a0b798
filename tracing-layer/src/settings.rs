//! The settings of a layer.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, request};
use tonic_call::{AllowedMetadata, KnownMethods, MethodTable, Rpc, Side};

use crate::conventions::Conventions;
use crate::exception::ExceptionLoggers;
use crate::propagation::Propagation;
use crate::target::Target;
use crate::tracer::Provider;

type Predicate = Arc<dyn Fn(&Rpc, &request::Parts) -> bool + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) side: Side,
    /// The server that a client calls.
    pub(crate) target: Option<Target>,
    pub(crate) known: Arc<KnownMethods>,
    /// Unknown methods for which the service has read a message.
    pub(crate) answered: Arc<KnownMethods>,
    pub(crate) provider: Provider,
    pub(crate) exceptions: Option<ExceptionLoggers>,
    pub(crate) propagation: Propagation,
    pub(crate) conventions: Conventions,
    pub(crate) public: PublicEndpoint,
    pub(crate) filter: Option<Predicate>,
    pub(crate) infrastructure: bool,
    pub(crate) request_metadata: AllowedMetadata,
    pub(crate) response_metadata: AllowedMetadata,
    pub(crate) trace_id: Option<HeaderName>,
    pub(crate) server_timeout: Option<Duration>,
}

/// The calls whose callers are not trusted.
#[derive(Clone)]
pub(crate) enum PublicEndpoint {
    None,
    All,
    PerMethod(Arc<MethodTable<bool>>),
    If(Predicate),
}

impl Settings {
    pub(crate) fn new(side: Side, target: Option<Target>) -> Self {
        Self {
            side,
            target,
            known: Arc::new(KnownMethods::learning()),
            answered: Arc::new(KnownMethods::learning()),
            provider: Provider::Global,
            exceptions: None,
            propagation: Propagation::W3c,
            conventions: Conventions::from_env(),
            public: PublicEndpoint::None,
            filter: None,
            infrastructure: false,
            request_metadata: AllowedMetadata::default(),
            response_metadata: AllowedMetadata::default(),
            trace_id: None,
            server_timeout: None,
        }
    }

    /// Whether the call is traced.
    pub(crate) fn traces(&self, rpc: &Rpc, head: &request::Parts) -> bool {
        (self.infrastructure || !rpc.is_infrastructure())
            && self.filter.as_ref().is_none_or(|keep| keep(rpc, head))
    }
}

impl PublicEndpoint {
    pub(crate) fn is(&self, rpc: &Rpc, head: &request::Parts) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::PerMethod(methods) => *methods.get(rpc),
            Self::If(function) => function(rpc, head),
        }
    }
}
