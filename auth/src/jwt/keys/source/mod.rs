//! The sources of keys.

pub(crate) mod file;
#[cfg(feature = "http")]
pub(crate) mod http;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub(crate) use self::file::KeyFile;
use crate::jwt::keys::events::FetchResult;

/// The maximum size of a key set.
pub(crate) const MAX_SET_BYTES: usize = 1_024 * 1_024;

/// Fetches a key set, as text.
pub(crate) trait Source: Send + Sync + 'static {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, NoKeys>> + Send + '_>>;

    /// The kind of source, for `Debug`.
    fn name(&self) -> &'static str;
}

/// Why a fetch returned no keys.
#[derive(Debug)]
pub(crate) struct NoKeys {
    pub(crate) result: FetchResult,
    pub(crate) text: Cow<'static, str>,
}

impl NoKeys {
    pub(crate) fn new(result: FetchResult, text: impl Into<Cow<'static, str>>) -> Self {
        Self { result, text: text.into() }
    }
}

impl fmt::Display for NoKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
