//! The settings of a layer.

use std::sync::Arc;
use std::time::Duration;

use tonic_call::{AllowedMetadata, MethodKind, MethodTable, Rpc, Side};
use tracing::Level;

use crate::finished::Finished;
use crate::outputs::Outputs;
use crate::refusals::RefusalLimit;
use crate::sample::Sample;

type Function<T> = Arc<dyn Fn(&Finished<'_>) -> T + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) side: Side,
    pub(crate) level: Option<Function<Option<Level>>>,
    pub(crate) filter: Option<Function<bool>>,
    pub(crate) hook: Option<Function<()>>,
    pub(crate) outputs: Outputs,
    pub(crate) sample: Arc<Sample>,
    pub(crate) slow: Slow,
    pub(crate) refusals: Option<RefusalLimit>,
    pub(crate) starts: Option<Level>,
    pub(crate) messages: Option<Level>,
    pub(crate) infrastructure: bool,
    pub(crate) handler_span: bool,
    pub(crate) fields: Vec<&'static str>,
    pub(crate) request_metadata: AllowedMetadata,
    pub(crate) response_metadata: AllowedMetadata,
}

/// When a call is slow.
#[derive(Clone)]
pub(crate) enum Slow {
    None,
    SingleResponse(Duration),
    PerMethod(Arc<MethodTable<Option<Duration>>>),
}

impl Settings {
    pub(crate) fn new(side: Side) -> Self {
        Self {
            side,
            level: None,
            filter: None,
            hook: None,
            outputs: Outputs::default(),
            sample: Arc::new(Sample::all()),
            slow: Slow::None,
            refusals: None,
            starts: None,
            messages: None,
            infrastructure: false,
            handler_span: side == Side::Server,
            fields: Vec::new(),
            request_metadata: AllowedMetadata::default(),
            response_metadata: AllowedMetadata::default(),
        }
    }

    /// Whether calls of this method are logged only when they fail.
    pub(crate) fn is_quiet(&self, rpc: &Rpc) -> bool {
        !self.infrastructure && rpc.is_infrastructure()
    }
}

impl Slow {
    pub(crate) fn is_slow(&self, rpc: &Rpc, took: Duration) -> bool {
        let limit = match self {
            Self::None => None,
            Self::SingleResponse(limit) => {
                let kind = rpc.known().and_then(|known| known.kind);
                kind.is_none_or(MethodKind::has_one_response).then_some(*limit)
            }
            Self::PerMethod(limits) => *limits.get(rpc),
        };
        limit.is_some_and(|limit| took > limit)
    }
}
