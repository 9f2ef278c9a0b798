//! A token in a file that somebody else renews.

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

/// A token in a file that somebody else renews: one that Kubernetes projects, for example.
///
/// It is read again once a minute, in the background while calls go on, and before a token that is
/// about to expire is sent: at the latest 30 s before its `exp` (gRFC A97). When the file can't be read,
/// or is not a token, the one read last serves until then; after that calls end `UNAVAILABLE`, and the
/// file is looked at once a second at most. A token that is not a JWT is taken not to expire.
///
/// Clones share what was read.
#[derive(Clone)]
pub struct TokenFile(Arc<File>);

struct File {
    path: PathBuf,
    clock: WallClock,
    held: ArcSwap<Loaded>,
    /// One reads at a time, and whoever waits for it looks first at what it has read.
    reading: Mutex<()>,
    /// Whether a reader is under way in the background.
    in_background: AtomicBool,
}

struct Loaded {
    token: BearerToken,
    /// From when on it is not sent.
    until: Option<SystemTime>,
    /// When the file is looked at again.
    again: Instant,
    /// Why it could not be read when it was looked at last.
    trouble: Option<NoToken>,
}

/// Why a token file can't be used.
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

/// How old what was read gets.
const AGAIN: Duration = Duration::from_secs(60);

/// How long a file that could not be read is left alone.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// How long before its expiry a token is no longer sent.
const MARGIN: Duration = Duration::from_secs(30);

impl TokenFile {
    /// Reads a file for the first time.
    ///
    /// # Errors
    ///
    /// When it can't be read, or is not a token.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TokenFileError> {
        Self::with_clock(path, WallClock::system())
    }

    /// As [`open`](Self::open), with a clock by which tokens expire.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn with_clock(path: impl AsRef<Path>, clock: WallClock) -> Result<Self, TokenFileError> {
        let path = path.as_ref().to_owned();
        let held = Loaded::new(read(&path)?);
        Ok(Self(Arc::new(File {
            path,
            clock,
            held: ArcSwap::from_pointee(held),
            reading: Mutex::default(),
            in_background: AtomicBool::new(false),
        })))
    }
}

impl Loaded {
    fn new((token, expires_at): (BearerToken, Option<SystemTime>)) -> Self {
        let until = expires_at.and_then(|at| at.checked_sub(MARGIN));
        Self { token, until, again: Instant::now() + AGAIN, trouble: None }
    }

    fn is_good(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    fn is_due(&self) -> bool {
        self.again <= Instant::now()
    }

    /// The token; or why there is none, if it has expired.
    fn answer(&self, now: SystemTime) -> Result<BearerToken, NoToken> {
        if self.is_good(now) {
            return Ok(self.token.clone());
        }
        let expired = || NoToken::new("the one in the file has expired, or is about to");
        Err(self.trouble.clone().unwrap_or_else(expired))
    }
}

/// Whoever reads in the background; also one whose runtime ends before it is done.
struct InBackground(Arc<File>);

impl Drop for InBackground {
    fn drop(&mut self) {
        self.0.in_background.store(false, Ordering::Release);
    }
}

impl TokenSource for TokenFile {
    fn token(&self) -> Obtaining {
        let held = self.0.held.load();
        let now = self.0.clock.now();
        match (held.is_good(now), held.is_due()) {
            (true, false) => Obtaining::Ready(held.answer(now)),
            (true, true) => {
                if !self.0.in_background.swap(true, Ordering::AcqRel) {
                    let reading = InBackground(Arc::clone(&self.0));
                    tokio::spawn(async move { reading.0.renew(false).await });
                }
                Obtaining::Ready(held.answer(now))
            }
            (false, _) => {
                let file = Arc::clone(&self.0);
                Obtaining::Later(Box::pin(async move {
                    file.renew(true).await;
                    file.held.load().answer(file.clock.now())
                }))
            }
        }
    }
}

impl File {
    /// Reads the file, unless somebody else has meanwhile.
    async fn renew(self: &Arc<Self>, expired: bool) {
        let _one = self.reading.lock().await;
        let held = self.held.load_full();
        let is_good = held.is_good(self.clock.now());
        // What has expired is looked at at once, but not again and again.
        let due = held.is_due() || (expired && !is_good && held.trouble.is_none());
        if !due {
            return;
        }
        let file = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || read(&file.path)).await;
        let held = match read {
            Ok(Ok(read)) => self.after(Loaded::new(read)),
            Ok(Err(error)) => self.in_trouble(&held, &error),
            Err(error) => self.in_trouble(&held, &error),
        };
        self.held.store(Arc::new(held));
    }

    /// What is as good as expired when it is read is looked at again soon.
    fn after(&self, mut held: Loaded) -> Loaded {
        if !held.is_good(self.clock.now()) {
            held.again = Instant::now() + AFTER_TROUBLE;
            held.trouble = Some(NoToken::new("the one in the file has expired, or is about to"));
        }
        held
    }

    fn in_trouble(&self, held: &Loaded, error: &dyn fmt::Display) -> Loaded {
        tracing::warn!(path = %self.path.display(), %error, "a token file can't be read again");
        Loaded {
            token: held.token.clone(),
            until: held.until,
            again: Instant::now() + AFTER_TROUBLE,
            // Where the file is and what is wrong with it is not for whoever gets the status.
            trouble: Some(NoToken::new(
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
    // A header can't hold more; and a path may name anything, a device that never ends for example.
    let most = MAX_CREDENTIALS_BYTES as u64 + 1;
    file.take(most).read_to_string(&mut text).map_err(|error| failed(Why::Io(error)))?;
    if text.len() > MAX_CREDENTIALS_BYTES {
        return Err(failed(Why::Long));
    }
    let token = BearerToken::new(&text).map_err(|_| failed(Why::NotAToken))?;
    Ok((token, expiry_of(text.trim_ascii())))
}

/// The `exp` of a JWT, unverified: it is our own, and says only when to look for the next one.
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
