//! The settings of a layer, and the access rules that they contain.

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
    /// The methods that exist, if that is known.
    pub(crate) methods: Option<Methods>,
    /// The rules that no call has matched yet; `None` if `methods` was set, which checks that each can match.
    pub(crate) uncalled: Option<UncalledRules>,
    pub(crate) shadow: bool,
    pub(crate) answers: Answers,
    pub(crate) secrets: Secrets,
    pub(crate) remove_credentials: bool,
    pub(crate) end_streams: bool,
    pub(crate) clock: WallClock,
    pub(crate) hook: Option<Hook>,
    /// Whether a refused health probe was logged.
    pub(crate) health_warned: AtomicBool,
    /// Whether a refused CORS preflight was logged.
    pub(crate) preflight_warned: AtomicBool,
}

/// The access rules that were set.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) table: MethodTable<Access>,
    pub(crate) public_health: bool,
    pub(crate) public_reflection: bool,
}

/// The access rule of a call.
#[derive(Clone, Copy)]
pub(crate) enum Ruled<'a> {
    By(&'a Access),
    /// The method does not exist. Callers with this access learn that; others are refused as for any method.
    Unknown(&'a Access),
}

impl<'a> Ruled<'a> {
    /// Whether callers are not authenticated.
    pub(crate) fn is_public(self) -> bool {
        let (Self::By(access) | Self::Unknown(access)) = self;
        access.is_public()
    }

    /// The rule of an existing method.
    pub(crate) fn access(self) -> Option<&'a Access> {
        match self {
            Self::By(access) => Some(access),
            Self::Unknown(_) => None,
        }
    }
}

impl Rules {
    /// The rule for that method, or for its service.
    pub(crate) fn rule(&self, rpc: &Rpc) -> Option<&Access> {
        static PUBLIC: LazyLock<Access> = LazyLock::new(Access::public);
        self.table.rule(rpc).or_else(|| self.is_public(rpc).then(|| &*PUBLIC))
    }

    /// Whether that is a method of a standard service that is public.
    fn is_public(&self, rpc: &Rpc) -> bool {
        (self.public_health && rpc.is_health())
            || (self.public_reflection && rpc.is_infrastructure() && !rpc.is_health())
    }
}

impl Settings {
    /// The access rule that applies to a call.
    pub(crate) fn ruled(&self, rpc: &Rpc) -> Ruled<'_> {
        let access = self.rules.rule(rpc).unwrap_or(&self.default);
        match rpc.is_well_formed() && !self.is_undescribed(rpc) {
            true => Ruled::By(access),
            false => Ruled::Unknown(access),
        }
    }

    /// Whether the method is known not to exist.
    fn is_undescribed(&self, rpc: &Rpc) -> bool {
        self.methods.as_ref().is_some_and(|methods| !methods.contains(rpc))
    }

    /// Whether calls of that method end when the credentials expire. Unary calls do not.
    pub(crate) fn ends_at_expiry(&self, rpc: &Rpc) -> bool {
        let method = || self.methods.as_ref().and_then(|methods| methods.find(rpc));
        self.end_streams && method().is_none_or(|method| method.kind() != MethodKind::Unary)
    }
}
