//! What an operator's hook is told.

use std::fmt;
use std::sync::Arc;

use http::Extensions;
use tonic_call::{Peer, Rpc};

use super::failure::Failure;
use super::identity::Identity;

/// What the layer decided of one call. See [`AuthBuilder::on_decision`](crate::AuthBuilder::on_decision).
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

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The method is public: credentials were not looked at.
    Public,
    /// The caller is known, and may.
    Passed,
    /// Refused; or it would have been, in [shadow mode](Decision::is_shadow).
    Refused,
    /// A call that had passed was ended, because the credentials have expired.
    Ended,
}

pub(crate) type Hook = Arc<dyn Fn(&Decision<'_>) + Send + Sync>;

impl<'a> Decision<'a> {
    /// What was decided.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The decision in one word, fit for a label: `public`, `passed`, or the
    /// [reason](crate::Reason::as_str) of the refusal.
    pub fn result(&self) -> &'static str {
        match (self.failure, self.verdict) {
            (Some(failure), _) => failure.reason().as_str(),
            (None, Verdict::Public) => "public",
            (None, _) => "passed",
        }
    }

    /// Whether a refusal was only reported, and the call let pass.
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Whether who is calling was remembered from an earlier call.
    pub fn is_cached(&self) -> bool {
        self.cached
    }

    /// The method that was called. Its names may be whatever a stranger sent.
    pub fn rpc(&self) -> &'a Rpc {
        self.rpc
    }

    /// Who is calling, if that is known: also when the caller may not. Never a label.
    pub fn identity(&self) -> Option<&'a Identity> {
        self.identity
    }

    /// The check that failed.
    pub fn failure(&self) -> Option<&'a Failure> {
        self.failure
    }

    /// The other end of the connection, when the call came in. Never a label.
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
