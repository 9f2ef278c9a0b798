//! A token from a file.

use std::error::Error;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::source::{NoToken, Obtaining, TokenSource};
use super::token::BearerToken;
use crate::decide::incoming::MAX_CREDENTIALS_BYTES;
use crate::wall_clock::WallClock;

/// A token from a file that another process renews: for example a projected token in Kubernetes.
///
/// The file is read again once a minute, in the background, and at the latest 30 s before the token's `exp` (gRFC
/// A97). If the file can't be read, or contains no token, the last token is used until then. After that, calls end
/// `UNAVAILABLE`, and the file is read at most once a second. A token that is not a JWT does not expire.
///
/// Clones share the token.
#[derive(Clone)]
pub struct TokenFile(Arc<File>);

struct File {
    path: PathBuf,
    clock: WallClock,
    loaded: ArcSwap<Loaded>,
    /// Only one task reads at a time. Others wait, and then check what it has read.
    reading: Mutex<()>,
    /// Whether a background task reads the file.
    in_background: AtomicBool,
}

struct Loaded {
    token: BearerToken,
    /// When it is no longer sent.
    until: Option<SystemTime>,
    /// When the file is read again.
    again: Instant,
    /// Why the last attempt to read the file failed.
    error: Option<NoToken>,
}

/// Why a token file is unusable.
#[derive(Debug)]
pub struct TokenFileError {
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Io(std::io::Error),
    Long,
    NotAToken,
}

/// How often the file is read.
const AGAIN: Duration = Duration::from_secs(60);

/// How long after an error the file is read again.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// How long before its expiry a token is no longer used.
const MARGIN: Duration = Duration::from_secs(30);

impl TokenFile {
    /// Opens and reads a file.
    ///
    /// # Errors
    ///
    /// If it can't be read, or contains no token.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TokenFileError> {
        Self::with_clock(path, WallClock::system())
    }

    /// As [`open`](Self::open), with a clock for the expiry of tokens.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn with_clock(path: impl AsRef<Path>, clock: WallClock) -> Result<Self, TokenFileError> {
        let path = path.as_ref().to_owned();
        let loaded = Loaded::new(read(&path)?);
        Ok(Self(Arc::new(File {
            path,
            clock,
            loaded: ArcSwap::from_pointee(loaded),
            reading: Mutex::default(),
            in_background: AtomicBool::new(false),
        })))
    }
}

impl Loaded {
    fn new((token, expires_at): (BearerToken, Option<SystemTime>)) -> Self {
        let until = expires_at.and_then(|at| at.checked_sub(MARGIN));
        Self { token, until, again: Instant::now() + AGAIN, error: None }
    }

    fn is_good(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    fn is_due(&self) -> bool {
        self.again <= Instant::now()
    }

    /// The token; or an error if it has expired.
    fn answer(&self, now: SystemTime) -> Result<BearerToken, NoToken> {
        if self.is_good(now) {
            return Ok(self.token.clone());
        }
        let expired = || NoToken::new("the one in the file has expired, or is about to");
        Err(self.error.clone().unwrap_or_else(expired))
    }
}

/// A background read. Its `Drop` also runs if the runtime ends first.
struct InBackground(Arc<File>);

impl Drop for InBackground {
    fn drop(&mut self) {
        self.0.in_background.store(false, Ordering::Release);
    }
}

impl TokenSource for TokenFile {
    fn token(&self) -> Obtaining {
        let loaded = self.0.loaded.load();
        let now = self.0.clock.now();
        match (loaded.is_good(now), loaded.is_due()) {
            (true, false) => Obtaining::Ready(loaded.answer(now)),
            (true, true) => {
                if !self.0.in_background.swap(true, Ordering::AcqRel) {
                    let reading = InBackground(Arc::clone(&self.0));
                    tokio::spawn(async move { reading.0.renew(false).await });
                }
                Obtaining::Ready(loaded.answer(now))
            }
            (false, _) => {
                let file = Arc::clone(&self.0);
                Obtaining::Later(Box::pin(async move {
                    file.renew(true).await;
                    file.loaded.load().answer(file.clock.now())
                }))
            }
        }
    }
}

impl File {
    /// Reads the file, unless another task has just done so.
    async fn renew(self: &Arc<Self>, expired: bool) {
        let _one = self.reading.lock().await;
        let loaded = self.loaded.load_full();
        let is_good = loaded.is_good(self.clock.now());
        // An expired token is replaced immediately, but the file is not read again and again.
        let due = loaded.is_due() || (expired && !is_good && loaded.error.is_none());
        if !due {
            return;
        }
        let file = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || read(&file.path)).await;
        let loaded = match read {
            Ok(Ok(read)) => self.after_read(Loaded::new(read)),
            Ok(Err(error)) => self.after_error(&loaded, &error),
            Err(error) => self.after_error(&loaded, &error),
        };
        self.loaded.store(Arc::new(loaded));
    }

    /// A token that is already expired when it is read is read again soon.
    fn after_read(&self, mut loaded: Loaded) -> Loaded {
        if !loaded.is_good(self.clock.now()) {
            loaded.again = Instant::now() + AFTER_ERROR;
            loaded.error = Some(NoToken::new("the one in the file has expired, or is about to"));
        }
        loaded
    }

    fn after_error(&self, loaded: &Loaded, error: &dyn fmt::Display) -> Loaded {
        tracing::warn!(target: "tonic_auth_layer", path = %self.path.display(), %error, "a token file can't be read again");
        Loaded {
            token: loaded.token.clone(),
            until: loaded.until,
            again: Instant::now() + AFTER_ERROR,
            // The status must not contain the path or the details.
            error: Some(NoToken::new(
                "the one in the file has expired, and the file can't be read",
            )),
        }
    }
}

/// The token in a file, and when it expires.
fn read(path: &Path) -> Result<(BearerToken, Option<SystemTime>), TokenFileError> {
    let failed = |why| TokenFileError { path: path.to_owned(), why };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| failed(Why::Io(error)))?;
    // Bounds the read: the path can name anything, for example an endless device.
    let most = MAX_CREDENTIALS_BYTES as u64 + 1;
    file.take(most).read_to_string(&mut text).map_err(|error| failed(Why::Io(error)))?;
    if text.len() > MAX_CREDENTIALS_BYTES {
        return Err(failed(Why::Long));
    }
    let token = BearerToken::new(&text).map_err(|_| failed(Why::NotAToken))?;
    Ok((token, expiry_of(text.trim_ascii())))
}

/// The `exp` of a JWT. It is not verified: it is our own token, and only decides when to read the next one.
fn expiry_of(token: &str) -> Option<SystemTime> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let expires = Duration::try_from_secs_f64(claims.get("exp")?.as_f64()?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(expires)
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl fmt::Display for TokenFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            Why::Io(error) => write!(f, "the token file {path} can't be read: {error}"),
            Why::Long => {
                write!(f, "the token file {path} is longer than {MAX_CREDENTIALS_BYTES} bytes")
            }
            Why::NotAToken => write!(f, "the token file {path} does not hold a bearer token"),
        }
    }
}

impl Error for TokenFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.why {
            Why::Io(error) => Some(error),
            Why::Long | Why::NotAToken => None,
        }
    }
}
