//! What a layer was told.

use std::sync::Arc;
use std::time::Duration;

use metrics::Recorder;
use tonic_call::{KnownMethods, Rpc, Side};

use crate::labels::Labels;
use crate::names::{CodeSpelling, Names};

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) side: Side,
    pub(crate) known: Arc<KnownMethods>,
    pub(crate) server_timeout: Option<Duration>,
    pub(crate) names: Names,
    pub(crate) spelling: CodeSpelling,
    pub(crate) labels: Labels,
    pub(crate) message_bytes: bool,
    /// Whether calls of health and reflection are counted.
    pub(crate) infrastructure: bool,
    pub(crate) recorder: Registry,
}

/// Where the series are.
#[derive(Clone)]
pub(crate) enum Registry {
    /// In whichever recorder is installed.
    Installed,
    /// In this one.
    Given(Arc<dyn Recorder + Send + Sync>),
}

impl Settings {
    pub(crate) fn new(side: Side) -> Self {
        Self {
            side,
            known: Arc::new(KnownMethods::learning()),
            server_timeout: None,
            names: Names::default(),
            spelling: CodeSpelling::default(),
            labels: Labels::new(),
            message_bytes: false,
            infrastructure: true,
            recorder: Registry::Installed,
        }
    }
}

impl Settings {
    /// Whether calls of that method are not counted.
    pub(crate) fn leaves_out(&self, rpc: &Rpc) -> bool {
        // A method that nobody serves is a stranger's idea: of those the operator wants to know.
        !self.infrastructure && rpc.is_infrastructure() && !rpc.is_undescribed()
    }
}

impl Registry {
    /// `None` while no recorder is installed: what were registered then would count nothing for
    /// ever.
    pub(crate) fn with<T>(&self, register: impl FnOnce(&dyn Recorder) -> T) -> Option<T> {
        match self {
            Self::Given(recorder) => Some(register(&**recorder)),
            // What stands in for a missing recorder has no size; one that records has a place
            // to do so.
            Self::Installed => metrics::with_recorder(|recorder| {
                (size_of_val(recorder) != 0).then(|| register(recorder))
            }),
        }
    }
}
