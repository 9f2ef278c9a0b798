//! The layer, its service, and what they share.

mod future;
mod handle;
mod permits;
mod service;
mod settings;

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

pub use self::future::{ResponseBody, ResponseFuture};
pub use self::handle::Handle;
pub use self::permits::Permits;
pub use self::service::RateLimit;
pub(crate) use self::settings::{LAYER, Settings};
use crate::builder::RateLimitBuilder;
use crate::limits::Limits;

/// Limits calls: see the [crate page](crate).
///
/// Clones of a layer, and the services they make, share their counts.
#[derive(Clone)]
pub struct RateLimitLayer {
    settings: Arc<Settings>,
}

impl RateLimitLayer {
    /// Limits the calls of a server: by a [`Quota`](crate::Quota), an [`InFlight`](crate::InFlight) or several that
    /// all methods share, or by [`Limits`] per method.
    #[must_use = "call `build()` to get the layer"]
    pub fn server(limits: impl Into<Limits>) -> RateLimitBuilder {
        RateLimitBuilder::new(limits.into())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// A handle to replace the limits while the server runs, and to read how many keys they store.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.settings))
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit::new(inner, Arc::clone(&self.settings))
    }
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.settings.table.load();
        f.debug_struct("RateLimitLayer").field("table", &**table).finish_non_exhaustive()
    }
}
