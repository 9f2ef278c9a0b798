//! The configuration that the flags of `orders serve` give.

use std::time::Duration;

use clap::error::ErrorKind;

use super::serve::ServeArgs;
use super::values::Conflict;
use crate::auth::{Auth, AuthConfig, CertificateConfig, dev_key_of};
use crate::connections::ConnectionLimits;
use crate::deadlines::Deadlines;
use crate::drain::{DelayTooLong, Drain};
use crate::faults::Faults;
use crate::limits::{CallLimits, LimitFile};
use crate::methods;
use crate::service::MessageSizes;

/// Default of `--longest-token`.
const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

impl ServeArgs {
    pub(super) fn conflict(&self) -> Option<Conflict> {
        if let Err(error) = self.drain() {
            return Some((ErrorKind::ValueValidation, error.to_string()));
        }
        if let Err(error) = self.deadlines() {
            return Some((ErrorKind::ValueValidation, error));
        }
        let limits = || {
            let methods = methods::served().map_err(|error| error.to_string())?;
            self.limits()?.layers(&methods).map(drop)
        };
        if let Err(error) = limits() {
            return Some((ErrorKind::ValueValidation, error));
        }
        let needs_auth =
            self.issuer.is_some() || self.dev_key.is_some() || self.longest_token.is_some();
        let message = if needs_auth && self.auth == Auth::Off {
            "--auth off cannot be used with --issuer, --dev-key or --longest-token"
        } else {
            self.certificates.conflict(self.tls.client_ca.is_some())?
        };
        Some((ErrorKind::ArgumentConflict, message.to_owned()))
    }

    /// Which tokens are accepted.
    pub fn auth(&self) -> AuthConfig {
        match (self.auth, &self.issuer, &self.audience) {
            (Auth::Off, ..) => AuthConfig::Off,
            (Auth::On, Some(issuer), Some(audience)) => AuthConfig::Issuer {
                issuer: issuer.clone(),
                audience: audience.clone(),
                keys: self.jwks.clone(),
            },
            (Auth::On, ..) => {
                let default = || dev_key_of(&self.db);
                AuthConfig::DevKey(self.dev_key.clone().unwrap_or_else(default))
            }
        }
    }

    /// Which client certificates are accepted.
    pub fn certificates(&self) -> CertificateConfig {
        self.certificates.config(self.tls.client_ca.is_some())
    }

    /// Whether callers are authenticated, by a token or a certificate: only then there are limits per caller.
    fn authenticated(&self) -> Auth {
        if self.certificates().is_required() { Auth::On } else { self.auth }
    }

    /// Maximum lifetime of a token.
    pub fn max_token_lifetime(&self) -> Duration {
        self.longest_token.unwrap_or(MAX_TOKEN_LIFETIME)
    }

    /// The limits of the flags and of the limit file. The error names the invalid limit.
    pub fn limits(&self) -> Result<CallLimits, String> {
        let limits = match self.limit_file() {
            None => CallLimits::new(&self.limit, &self.behind, self.authenticated())?,
            Some(file) => file.read(&methods::served().map_err(|error| error.to_string())?)?,
        };
        let redis = self.redis.store()?;
        Ok(limits.in_flight(self.in_flight, self.authenticated()).shared(redis))
    }

    /// The limit file, if there is one.
    pub fn limit_file(&self) -> Option<LimitFile> {
        let path = self.limit_file.clone()?;
        Some(LimitFile::new(path, &self.limit, &self.behind, self.authenticated()))
    }

    /// The limits of how long calls may take. The error names the flags that contradict each other.
    pub fn deadlines(&self) -> Result<Deadlines, String> {
        Deadlines::new(self.default_deadline, self.deadline_cap, self.stall_limit)
    }

    /// Limits and timeouts of connections.
    pub fn connections(&self) -> ConnectionLimits {
        let age = self.connection_age.duration();
        let limits = ConnectionLimits::default()
            .max_streams(self.streams)
            .max_reset_streams(self.reset_streams)
            .max_header_bytes(self.header_bytes)
            .idle_timeout(self.idle)
            .age(age);
        match self.connections {
            Some(max) => limits.max_connections(max as usize),
            None => limits,
        }
    }

    /// Sizes of messages.
    pub fn message_sizes(&self) -> MessageSizes {
        let (request, response) = (self.request_bytes as usize, self.response_bytes as usize);
        MessageSizes { request, response }
    }

    /// Durations of the shutdown.
    pub fn drain(&self) -> Result<Drain, DelayTooLong> {
        Drain::new(self.drain_delay, self.drain_limit)
    }

    /// Whether calls may ask for faults.
    pub fn faults(&self) -> Faults {
        if self.faults { Faults::Enabled } else { Faults::Disabled }
    }
}
