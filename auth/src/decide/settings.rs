//! How a layer was built, and who may call what by that.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

use tonic_call::{MethodKind, MethodTable, Methods, Rpc, UncalledRules};

use super::access::Access;
use super::answers::Answers;
use super::authenticate::Authenticate;
use super::decision::Hook;
use super::secrets::Secrets;
use crate::wall_clock::WallClock;

/// The short name of this layer, in logs and metrics.
pub(crate) const LAYER: &str = "auth";

pub(crate) struct Settings {
    pub(crate) authenticator: Arc<dyn Authenticate>,
    pub(crate) rules: Rules,
    pub(crate) default: Access,
    /// The methods that there are, if that is known.
    pub(crate) methods: Option<Methods>,
    /// The rules that no call has matched; `None` if `methods` has shown that each can match.
    pub(crate) uncalled: Option<UncalledRules>,
    pub(crate) shadow: bool,
    pub(crate) answers: Answers,
    pub(crate) secrets: Secrets,
    pub(crate) remove_credentials: bool,
    pub(crate) end_streams: bool,
    pub(crate) clock: WallClock,
    pub(crate) hook: Option<Hook>,
    /// Whether an operator was told that health probes are refused.
    pub(crate) told_of_health: AtomicBool,
    /// The same of CORS preflights.
    pub(crate) told_of_preflights: AtomicBool,
}

/// Who may call which methods, as far as it was said.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) table: MethodTable<Access>,
    pub(crate) public_health: bool,
    pub(crate) public_reflection: bool,
}

/// Who may call a method.
#[derive(Clone, Copy)]
pub(crate) enum Ruled<'a> {
    By(&'a Access),
    /// There is no such method: nobody. Those who have this access learn it; others learn as little as of
    /// any method.
    Unknown(&'a Access),
}

impl<'a> Ruled<'a> {
    /// Whether the answer is the same for every caller, so that nobody is authenticated.
    pub(crate) fn is_public(self) -> bool {
        let (Self::By(access) | Self::Unknown(access)) = self;
        access.is_public()
    }

    /// The rule of a method that there is.
    pub(crate) fn access(self) -> Option<&'a Access> {
        match self {
            Self::By(access) => Some(access),
            Self::Unknown(_) => None,
        }
    }
}

impl Rules {
    /// What was said of that method, or of its service.
    pub(crate) fn rule(&self, rpc: &Rpc) -> Option<&Access> {
        static PUBLIC: LazyLock<Access> = LazyLock::new(Access::public);
        let public = match rpc.is_health() {
            true => self.public_health,
            false => self.public_reflection && rpc.is_infrastructure(),
        };
        self.table.rule(rpc).or_else(|| public.then_some(&*PUBLIC))
    }
}

impl Settings {
    /// Who may call that method.
    pub(crate) fn ruled(&self, rpc: &Rpc) -> Ruled<'_> {
        let access = self.rules.rule(rpc).unwrap_or(&self.default);
        match rpc.is_well_formed() && !self.is_undescribed(rpc) {
            true => Ruled::By(access),
            false => Ruled::Unknown(access),
        }
    }

    /// Whether there is certainly no such method.
    fn is_undescribed(&self, rpc: &Rpc) -> bool {
        self.methods.as_ref().is_some_and(|methods| !methods.contains(rpc))
    }

    /// Whether a call of that method may be ended when the credentials expire: not if it has one
    /// message either way, which was decided when it came.
    pub(crate) fn ends_at_expiry(&self, rpc: &Rpc) -> bool {
        let method = self.methods.as_ref().and_then(|methods| methods.find(rpc));
        self.end_streams && method.is_none_or(|method| method.kind() != MethodKind::Unary)
    }
}
