//! The settings of a layer.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Label, Recorder};
use tonic::Code;
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
    /// Whether calls of the health and reflection services are counted.
    pub(crate) infrastructure: bool,
    pub(crate) recorder: RecorderSource,
}

/// The recorder to register in.
#[derive(Clone)]
pub(crate) enum RecorderSource {
    /// The installed one.
    Installed,
    /// This one.
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
            recorder: RecorderSource::Installed,
        }
    }

    /// The label of a code, with [`Names::Prometheus`].
    pub(crate) fn code_label(&self, code: Code) -> Label {
        Label::from_static_parts(self.names.code_label(), self.spelling.spell(code))
    }

    /// Whether calls of this method are not counted.
    pub(crate) fn excludes(&self, rpc: &Rpc) -> bool {
        // A method that does not exist may be a scanner's call: operators want to see those.
        !self.infrastructure && rpc.is_infrastructure() && !rpc.is_undescribed()
    }
}

impl RecorderSource {
    /// `None` while no recorder is installed: handles that are registered then would never count.
    pub(crate) fn with<T>(&self, register: impl FnOnce(&dyn Recorder) -> T) -> Option<T> {
        match self {
            Self::Given(recorder) => Some(register(&**recorder)),
            // The placeholder for a missing recorder is zero-sized; a real one has state.
            Self::Installed => metrics::with_recorder(|recorder| {
                (size_of_val(recorder) != 0).then(|| register(recorder))
            }),
        }
    }
}
