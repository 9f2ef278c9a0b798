use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use super::authenticate::Authenticate;
use super::builder::AuthBuilder;
use super::service::Auth;
use super::settings::Settings;

/// Authenticates and authorizes callers: see the [crate's page](crate).
///
/// Clones, and the services they make, share their state.
#[derive(Clone)]
pub struct AuthLayer {
    settings: Arc<Settings>,
}

impl AuthLayer {
    /// Authenticates callers by this authenticator. Every method requires an authenticated caller, unless a rule says
    /// otherwise.
    #[expect(clippy::new_ret_no_self, reason = "settings are checked before the layer exists")]
    pub fn new(authenticator: impl Authenticate) -> AuthBuilder {
        AuthBuilder::new(Arc::new(authenticator))
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self { settings: Arc::new(settings) }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth::new(inner, Arc::clone(&self.settings))
    }
}

impl fmt::Debug for AuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer").field("shadow", &self.settings.shadow).finish_non_exhaustive()
    }
}
