//! The methods of calls, and settings per method.

mod kind;
#[cfg(test)]
mod kinds_tests;
mod known;
mod method_name;
mod methods;
mod rpc;
mod rule;
mod table;
mod uncalled;

pub use self::kind::{Idempotency, MethodKind};
pub use self::known::{KnownMethods, MAX_LEARNED_METHODS};
pub use self::methods::{Method, Methods, MethodsError};
pub use self::rpc::{KnownMethod, Rpc};
pub use self::rule::RuleError;
pub use self::table::{Matches, MethodTable};
pub use self::uncalled::UncalledRules;
