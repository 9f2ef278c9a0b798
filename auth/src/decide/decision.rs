//! What the hook for decisions receives.

use std::fmt;
use std::sync::Arc;

use http::Extensions;
use tonic_call::{Peer, Rpc};

use super::failure::Failure;
use super::identity::Identity;

/// The decision on one call. See [`AuthBuilder::on_decision`](crate::AuthBuilder::on_decision).
#[derive(Clone, Copy)]
pub struct Decision<'a> {
    pub(crate) verdict: Verdict,
    pub(crate) shadow: bool,
    pub(crate) cached: bool,
    pub(crate) rpc: &'a Rpc,
    pub(crate) identity: Option<&'a Identity>,
    pub(crate) failure: Option<&'a Failure>,
    pub(crate) extensions: Option<&'a Extensions>,
}

/// The result of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The method is public: credentials were not checked.
    Public,
    /// The caller is authenticated and authorized.
    Passed,
    /// The call was refused; in [shadow mode](Decision::is_shadow), it would have been.
    Refused,
    /// A call that had passed was ended, because its credentials expired.
    Ended,
}

pub(crate) type Hook = Arc<dyn Fn(&Decision<'_>) + Send + Sync>;

impl<'a> Decision<'a> {
    /// The result.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The result as one word, fit for a metric label: `public`, `passed`, or the
    /// [reason](crate::Reason::as_str) of the refusal.
    pub fn result(&self) -> &'static str {
        match (self.failure, self.verdict) {
            (Some(failure), _) => failure.reason().as_str(),
            (None, Verdict::Public) => "public",
            (None, _) => "passed",
        }
    }

    /// Whether the refusal was only reported, and the call passed.
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Whether the caller's credentials were cached from an earlier call.
    pub fn is_cached(&self) -> bool {
        self.cached
    }

    /// The called method. An unauthenticated caller can put any text into its name.
    pub fn rpc(&self) -> &'a Rpc {
        self.rpc
    }

    /// The caller, if authenticated, even if not authorized. Do not use it as a label.
    pub fn identity(&self) -> Option<&'a Identity> {
        self.identity
    }

    /// The failed check.
    pub fn failure(&self) -> Option<&'a Failure> {
        self.failure
    }

    /// The peer of the connection. `None` when a running call is ended. Do not use it as a label.
    pub fn peer(&self) -> Option<Peer> {
        self.extensions.and_then(Peer::of)
    }
}

impl fmt::Debug for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision")
            .field("verdict", &self.verdict)
            .field("shadow", &self.shadow)
            .field("rpc", self.rpc)
            .field("identity", &self.identity)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}
