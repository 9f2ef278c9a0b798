//! Tokens from an asynchronous function.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::source::{NoToken, Obtaining, TokenSource};
use super::token::BearerToken;

/// Provides tokens by an asynchronous function.
///
/// It is called for every call, so let it cache the token. After a failure it is called again at the earliest a second
/// later: until then calls get the same failure from memory, as do the further attempts of a call that is retried.
pub fn token_async<F, T>(function: F) -> TokenAsync<F>
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<BearerToken, NoToken>> + Send + 'static,
{
    TokenAsync { function, last: Arc::default() }
}

/// The token source of [`token_async`]. Clones share the memory of a failure.
#[derive(Clone)]
pub struct TokenAsync<F> {
    function: F,
    last: Arc<LastFailure>,
}

/// How long after a failure the function is called again; as for a token file.
const AFTER_ERROR: Duration = Duration::from_secs(1);

#[derive(Default)]
struct LastFailure(Mutex<Option<(NoToken, Instant)>>);

impl LastFailure {
    /// The last failure, if it is not yet time to try again.
    fn recent(&self) -> Option<NoToken> {
        let last = self.last();
        last.as_ref().filter(|(_, at)| at.elapsed() < AFTER_ERROR).map(|(why, _)| why.clone())
    }

    fn record(&self, result: &Result<BearerToken, NoToken>) {
        *self.last() = result.as_ref().err().map(|why| (why.clone(), Instant::now()));
    }

    fn last(&self) -> MutexGuard<'_, Option<(NoToken, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F, T> TokenSource for TokenAsync<F>
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<BearerToken, NoToken>> + Send + 'static,
{
    fn token(&self) -> Obtaining {
        if let Some(why) = self.last.recent() {
            return Obtaining::Ready(Err(why));
        }
        let (token, last) = ((self.function)(), Arc::clone(&self.last));
        Obtaining::Later(Box::pin(async move {
            let result = token.await;
            last.record(&result);
            result
        }))
    }
}

impl<F> fmt::Debug for TokenAsync<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenAsync")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn get(source: &impl TokenSource) -> Result<BearerToken, NoToken> {
        match source.token() {
            Obtaining::Ready(token) => token,
            Obtaining::Later(token) => token.await,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_answered_from_memory_for_a_second_and_a_success_never() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let source = token_async(move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move {
                if number < 2 { Err(NoToken::new(number)) } else { Ok(BearerToken::new("t")?) }
            }
        });
        let failure =
            |result: Result<BearerToken, NoToken>| result.map(drop).map_err(|why| why.to_string());
        for _ in 0..3 {
            assert_eq!(failure(get(&source.clone()).await), Err("0".to_owned()));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(AFTER_ERROR).await;
        assert_eq!(failure(get(&source).await), Err("1".to_owned()));
        tokio::time::advance(AFTER_ERROR).await;
        for _ in 0..3 {
            assert_eq!(failure(get(&source).await), Ok(()));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 5);
    }
}
