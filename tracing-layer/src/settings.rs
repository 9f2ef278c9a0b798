//! How a layer was built.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, request};
use tonic_call::{AllowedMetadata, KnownMethods, MethodTable, Rpc, Side};

use crate::conventions::Conventions;
use crate::exception::Tellers;
use crate::propagation::Propagation;
use crate::target::Target;
use crate::tracer::Provider;

type Predicate = Arc<dyn Fn(&Rpc, &request::Parts) -> bool + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) side: Side,
    /// Where a client's calls go.
    pub(crate) target: Option<Target>,
    pub(crate) known: Arc<KnownMethods>,
    /// The methods that are not known, and a service took a message for all the same.
    pub(crate) answered: Arc<KnownMethods>,
    pub(crate) provider: Provider,
    pub(crate) exceptions: Option<Tellers>,
    pub(crate) propagation: Propagation,
    pub(crate) conventions: Conventions,
    pub(crate) public: Public,
    pub(crate) filter: Option<Predicate>,
    pub(crate) infrastructure: bool,
    pub(crate) request_metadata: AllowedMetadata,
    pub(crate) response_metadata: AllowedMetadata,
    pub(crate) trace_id: Option<HeaderName>,
    pub(crate) server_timeout: Option<Duration>,
}

/// Which calls come from strangers.
#[derive(Clone)]
pub(crate) enum Public {
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
            public: Public::None,
            filter: None,
            infrastructure: false,
            request_metadata: AllowedMetadata::default(),
            response_metadata: AllowedMetadata::default(),
            trace_id: None,
            server_timeout: None,
        }
    }

    /// Whether the call has a span.
    pub(crate) fn traces(&self, rpc: &Rpc, head: &request::Parts) -> bool {
        (self.infrastructure || !rpc.is_infrastructure())
            && self.filter.as_ref().is_none_or(|keep| keep(rpc, head))
    }
}

impl Public {
    pub(crate) fn is(&self, rpc: &Rpc, head: &request::Parts) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::PerMethod(methods) => *methods.get(rpc),
            Self::If(function) => function(rpc, head),
        }
    }
}
