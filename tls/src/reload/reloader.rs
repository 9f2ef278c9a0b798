//! A configuration, and the task that keeps it up to date.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::UnixTime;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::settings::Settings;
use super::status::TlsStatus;
use crate::material::{Contents, TlsError, TlsFile, Validity, read_stable};

/// How a configuration is made from files.
pub(crate) trait Recipe: Send + Sync + 'static {
    type Config: Send + Sync + 'static;

    fn files(&self) -> &[TlsFile];

    /// Makes a configuration from the contents of the files, or says why they are not good.
    fn make(
        &self,
        contents: &Contents,
        now: UnixTime,
    ) -> Result<(Self::Config, Option<Validity>), TlsError>;
}

/// A configuration that follows its files, for as long as it is used.
pub(crate) struct Reloader<R: Recipe> {
    pub(super) recipe: R,
    pub(super) settings: Settings,
    pub(super) current: ArcSwap<Loaded<R::Config>>,
    state: Mutex<State>,
    /// Only one task checks the files at a time.
    pub(super) checking: tokio::sync::Mutex<()>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// Contents are compared by their hash, so that no copy of the private key stays in memory.
    pub(super) hasher: RandomState,
}

pub(super) struct Loaded<C> {
    pub(super) config: Arc<C>,
    pub(super) validity: Option<Validity>,
    pub(super) contents: u64,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) renewals: u64,
    pub(super) error: Option<Arc<TlsError>>,
    /// Whether an event has reported that the certificate in use has expired.
    pub(super) reported_expiry: bool,
}

impl<R: Recipe> Reloader<R> {
    /// Reads the files for the first time. Blocks: they are small.
    pub(crate) fn new(recipe: R, settings: Settings) -> Result<Arc<Self>, TlsError> {
        let hasher = RandomState::new();
        let contents = read_stable(recipe.files())?;
        let (config, validity) = recipe.make(&contents, settings.now())?;
        let contents = hasher.hash_one(&contents);
        let loaded = Loaded { config: Arc::new(config), validity, contents };
        let reloader = Arc::new(Self {
            recipe,
            settings,
            current: ArcSwap::from_pointee(loaded),
            state: Mutex::default(),
            checking: tokio::sync::Mutex::default(),
            task: Mutex::default(),
            hasher,
        });
        reloader.start();
        Ok(reloader)
    }

    /// The newest checked configuration.
    fn config(&self) -> Arc<R::Config> {
        Arc::clone(&self.current.load().config)
    }

    /// As [`config`](Self::config). Also starts the task, since the runtime may have begun after this was made.
    pub(crate) fn started_config(self: &Arc<Self>) -> Arc<R::Config> {
        self.start();
        self.config()
    }

    #[cfg(feature = "server")]
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn status(&self) -> TlsStatus {
        let validity = self.current.load().validity;
        let state = self.state();
        TlsStatus { validity, renewals: state.renewals, error: state.error.clone() }
    }

    /// Starts the task that reads the files, if there is a runtime and the task does not run.
    fn start(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // It is finished if its runtime has ended.
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(runtime.spawn(run(Arc::downgrade(self), self.settings.interval)));
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Recipe> Drop for Reloader<R> {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

async fn run<R: Recipe>(reloader: Weak<Reloader<R>>, interval: Duration) {
    loop {
        sleep(interval).await;
        let Some(reloader) = reloader.upgrade() else { return };
        // Reported there.
        _ = reloader.check().await;
    }
}
