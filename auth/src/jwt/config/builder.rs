use std::fmt;
use std::net::IpAddr;

use super::issuer::Issuer;
use crate::decide::identity::Identity;
use crate::decide::incoming::Incoming;
use crate::jwt::keys::events::{KeysEvent, OnKeys};

/// Tells whether a token is revoked.
pub(crate) type Revoked = Box<dyn Fn(&Identity) -> bool + Send + Sync>;

/// Tells the address of a caller.
pub(crate) type AddressFn = Box<dyn Fn(&Incoming<'_>) -> Option<IpAddr> + Send + Sync>;

/// Several issuers, and what is the same for all.
#[must_use]
pub struct JwtBuilder {
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) cache: usize,
    /// `None` is any.
    pub(crate) failures: Option<u32>,
    pub(crate) address: Option<AddressFn>,
    pub(crate) behind: Vec<String>,
    pub(crate) revoked: Option<Revoked>,
    pub(crate) on_keys: OnKeys,
}

impl Default for JwtBuilder {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            cache: 10_000,
            failures: Some(60),
            address: None,
            behind: Vec::new(),
            revoked: None,
            on_keys: OnKeys::default(),
        }
    }
}

impl JwtBuilder {
    /// Believes one more issuer.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Sets how many verified tokens are remembered: by default 10,000, with 0 none.
    pub fn cache(self, tokens: usize) -> Self {
        Self { cache: tokens, ..self }
    }

    /// Sets how many bad tokens per minute one client address may have verified: by default 60, and at
    /// least one. What it sends beyond them is refused unseen, unless it is remembered as good. Only a wrong
    /// signature counts: all other checks are cheap.
    ///
    /// Behind a proxy that shows its own address for all callers, name [its network](Self::behind), say
    /// [which address](Self::client_address) is the caller's, or turn it [off](Self::any_failures): else one
    /// stranger's bad tokens refuse everybody's new ones. Callers on loopback, and those of whom no address is
    /// known, are not limited; those of one IPv6 /64 are one.
    pub fn failures_per_minute(self, failures: u32) -> Self {
        Self { failures: Some(failures), ..self }
    }

    /// Verifies whatever comes, from wherever.
    pub fn any_failures(self) -> Self {
        Self { failures: None, ..self }
    }

    /// Trusts what proxies in these networks say in `x-forwarded-for`: networks (`10.0.0.0/8`) or addresses.
    /// The bad tokens are then counted to the last address in it that is none of theirs; if the call comes
    /// from elsewhere, the header is not looked at. By default no proxy is trusted.
    pub fn behind<T: Into<String>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.behind.extend(networks.into_iter().map(Into::into));
        self
    }

    /// Says in its own way which address is the caller's: by default the one at the other end of the
    /// connection, or [behind](Self::behind) proxies the one that they name. `None` is not limited. Does not go
    /// together with `behind`.
    pub fn client_address(
        self,
        of: impl Fn(&Incoming<'_>) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        Self { address: Some(Box::new(of)), ..self }
    }

    /// Asks for each call whether its token is revoked, also when it is remembered. The function is called
    /// where calls are served: it must not block. A stream that has begun goes on.
    pub fn revoked(self, is: impl Fn(&Identity) -> bool + Send + Sync + 'static) -> Self {
        Self { revoked: Some(Box::new(is)), ..self }
    }

    /// Is told of each fetch of keys: to count them by their result, and to know the age of the keys.
    pub fn on_keys(self, told: impl Fn(&KeysEvent<'_>) + Send + Sync + 'static) -> Self {
        Self { on_keys: OnKeys::new(told), ..self }
    }
}

impl fmt::Debug for JwtBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBuilder").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}
