//! Reads the files again and again, and replaces the configuration when they have changed and are good.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::pki_types::UnixTime;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::event::{ReloadEvent, ReloadResult};
use super::settings::Settings;
use super::status::TlsStatus;
use crate::material::{Contents, Problem, TlsError, TlsFile, Validity, date, read, read_stable};

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
    recipe: R,
    settings: Settings,
    current: ArcSwap<Loaded<R::Config>>,
    state: Mutex<State>,
    /// Only one task checks the files at a time.
    checking: tokio::sync::Mutex<()>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// Contents are compared by their hash, so that no copy of the private key stays in memory.
    hasher: RandomState,
}

struct Loaded<C> {
    config: Arc<C>,
    validity: Option<Validity>,
    contents: u64,
}

#[derive(Default)]
struct State {
    renewals: u64,
    error: Option<Arc<TlsError>>,
    /// Whether an event has reported that the certificate in use has expired.
    reported_expiry: bool,
}

/// How long changed files must stay the same before they are used: not all writers replace them at once.
const SETTLE: Duration = Duration::from_millis(200);

/// How often files that do not stay the same are read again.
const SETTLE_ATTEMPTS: usize = 25;

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

    /// Reads the files now. Returns whether changed files came into use.
    pub(crate) async fn check(self: &Arc<Self>) -> Result<bool, Arc<TlsError>> {
        let _one = self.checking.lock().await;
        let result = match self.read_settled().await {
            Ok(None) => Ok(None),
            Ok(Some(contents)) => self.make(contents).await.map(Some),
            Err(error) => Err(error),
        };
        let checked = match result {
            Ok(None) => {
                self.state().error = None;
                Ok(false)
            }
            Ok(Some(loaded)) => {
                self.replace(loaded);
                Ok(true)
            }
            Err(error) => Err(self.refuse(error)),
        };
        self.report_expiry();
        checked
    }

    /// The contents of the files once they stay the same; `None` if they are those in use.
    async fn read_settled(self: &Arc<Self>) -> Result<Option<Contents>, TlsError> {
        let mut last = None;
        for _ in 0..SETTLE_ATTEMPTS {
            let read = self.blocking(|reloader| read(reloader.recipe.files())).await;
            match read {
                Ok(contents) if self.is_current(&contents) => return Ok(None),
                // Twice the same, good or bad.
                _ if last.as_ref() == Some(&read) => return read.map(Some),
                _ => last = Some(read),
            }
            sleep(SETTLE).await;
        }
        Err(TlsError::without_file(Problem::Unstable))
    }

    fn is_current(&self, contents: &Contents) -> bool {
        self.hasher.hash_one(contents) == self.current.load().contents
    }

    async fn make(self: &Arc<Self>, contents: Contents) -> Result<Loaded<R::Config>, TlsError> {
        self.blocking(move |reloader| {
            let (config, validity) = reloader.recipe.make(&contents, reloader.settings.now())?;
            let contents = reloader.hasher.hash_one(&contents);
            Ok(Loaded { config: Arc::new(config), validity, contents })
        })
        .await
    }

    /// Reading files and keys blocks.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        run: impl FnOnce(&Self) -> Result<T, TlsError> + Send + 'static,
    ) -> Result<T, TlsError> {
        let reloader = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || run(&reloader)).await;
        task.unwrap_or_else(|error| {
            Err(TlsError::without_file(Problem::Unusable(error.to_string())))
        })
    }

    fn replace(&self, loaded: Loaded<R::Config>) {
        let not_after = loaded.validity.map(|validity| date(validity.not_after));
        self.current.store(Arc::new(loaded));
        let mut state = self.state();
        *state = State { renewals: state.renewals + 1, ..State::default() };
        drop(state);
        tracing::info!(target: "tonic_tls_reload", not_after, "TLS files were renewed; new connections use them");
        let (result, error) = (ReloadResult::Renewed, None);
        self.settings.on_reload.call(&ReloadEvent { result, error, status: &self.status() });
    }

    fn refuse(&self, error: TlsError) -> Arc<TlsError> {
        let error = Arc::new(error);
        let known = self.state().error.replace(Arc::clone(&error));
        // Not at each attempt: a problem can last for days.
        if known.is_none_or(|known| known != error) {
            tracing::warn!(
                target: "tonic_tls_reload",
                %error,
                problem = error.problem().as_str(),
                "changed TLS files can't be used; the previous ones stay in use",
            );
        }
        let status = self.status();
        let (result, refused) = (ReloadResult::Refused, Some(&*error));
        self.settings.on_reload.call(&ReloadEvent { result, error: refused, status: &status });
        error
    }

    fn report_expiry(&self) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(self.settings.now().as_secs());
        let Some(validity) = self.current.load().validity else { return };
        if validity.has_expired(now) && !std::mem::replace(&mut self.state().reported_expiry, true)
        {
            tracing::error!(
                target: "tonic_tls_reload",
                not_after = date(validity.not_after),
                "the TLS certificate in use has expired, and the files have no new one",
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
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
