use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use crate::builder::RateLimitBuilder;
use crate::handle::Handle;
use crate::limits::Limits;
use crate::service::RateLimit;
use crate::settings::Settings;

/// Lets only so many calls through: see the [crate's page](crate).
///
/// Clones, and the services they make, count together.
#[derive(Clone)]
pub struct RateLimitLayer {
    settings: Arc<Settings>,
}

impl RateLimitLayer {
    /// Limits the calls of a server: all together by a [`Quota`](crate::Quota), an
    /// [`InFlight`](crate::InFlight) or several, or by [`Limits`].
    #[must_use = "call `build()` to get the layer"]
    pub fn server(limits: impl Into<Limits>) -> RateLimitBuilder {
        RateLimitBuilder::new(limits.into())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// What replaces the limits while the server runs.
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
