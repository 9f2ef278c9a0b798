//! Reads the files again, and replaces the configuration if they have changed and are good.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use super::event::{ReloadEvent, ReloadResult};
use super::reloader::{Loaded, Recipe, Reloader, State};
use crate::material::{Contents, Problem, TlsError, date, read};

/// How long changed files must stay the same before they are used: not all writers replace them at once.
const SETTLE: Duration = Duration::from_millis(200);

/// How often files that do not stay the same are read again.
const SETTLE_ATTEMPTS: usize = 25;

impl<R: Recipe> Reloader<R> {
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
}
