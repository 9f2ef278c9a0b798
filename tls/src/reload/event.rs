use std::fmt;
use std::sync::Arc;

use tonic_call::guarded;

use super::status::TlsStatus;
use crate::material::TlsError;

/// Changed files were read: see `on_reload`.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReloadEvent<'a> {
    /// Whether they are used now.
    pub result: ReloadResult,
    /// Why they are not used.
    pub error: Option<&'a TlsError>,
    /// What is in use now.
    pub status: &'a TlsStatus,
}

/// Whether changed files are used. Fit for a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReloadResult {
    /// New connections use them.
    Renewed,
    /// They can't be used, and the previous ones stay in use. Repeated at each attempt, until the files are good.
    Refused,
}

impl ReloadResult {
    /// `renewed` or `refused`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for ReloadResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The hook for changed files, if there is one.
#[derive(Clone, Default)]
pub(crate) struct OnReload(Option<Arc<Hook>>);

type Hook = dyn Fn(&ReloadEvent<'_>) + Send + Sync;

impl OnReload {
    pub(crate) fn new(hook: impl Fn(&ReloadEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(super) fn call(&self, event: &ReloadEvent<'_>) {
        let Some(hook) = &self.0 else { return };
        if guarded(|| hook(event)).is_err() {
            tracing::error!(target: "tonic_tls_reload", "the hook for reloaded TLS files panicked");
        }
    }
}
