//! The token that a call sends.

use std::fmt;
use std::io::Read;
use std::path::Path;

use tonic::transport::Uri;
use tonic_auth_layer::{
    BearerToken, CredentialsBuilder, CredentialsLayer, MAX_CREDENTIALS_BYTES, TokenFile,
};
use tonic_tls_reload::TlsEndpoint;
use tonic_types::StatusExt;

use super::error::CallError;
use crate::auth::{DEV_KEY, DevKey, NoDevKey, READ, WRITE};
use crate::cli::{CallArgs, CredentialArgs, MAX_TTL};

/// The layer that sends the token, if there is one, and a hint if the server refuses the call.
///
/// The token is the one of the flags, or one of the development key if its file exists and all servers are on this
/// machine.
pub(super) struct Credentials {
    pub(super) layer: Option<CredentialsLayer>,
    pub(super) hint: Hint,
}

/// What to do if the call is refused, by reason.
pub(super) struct Hint(Vec<(&'static str, String)>);

const NO_TOKEN: &str = "send a token with --token-file FILE; if the server has a development key, make one with \
    `orders token`, or give the key with --dev-key FILE";

/// The token was sent, so the server misses something else.
const NO_CERTIFICATE: &str = "the server may require a client certificate: send one with --tls-cert FILE and \
    --tls-key FILE";

impl Hint {
    const NONE: Self = Self(Vec::new());

    /// No token was sent.
    fn no_token(text: impl Into<String>) -> Self {
        Self(vec![("CREDENTIALS_MISSING", text.into())])
    }

    /// The token was signed with this key.
    fn other_key(key: &Path) -> Self {
        let text = format!(
            "the token was signed with the development key {key:?}, which is not the server's key; give that with \
             --dev-key FILE, or send a token with --token-file FILE"
        );
        Self(vec![("TOKEN_INVALID", text)])
    }

    /// What the client certificate can have to do with it; `tls` is whether the connection is encrypted.
    fn and_certificate(mut self, tls: bool, has_certificate: bool, has_token: bool) -> Self {
        if has_certificate {
            for (reason, text) in &mut self.0 {
                if *reason == "TOKEN_INVALID" {
                    *text += "; or the server does not allow the client certificate: its log has the reason";
                }
            }
        } else if tls && has_token {
            self.0.push(("CREDENTIALS_MISSING", NO_CERTIFICATE.to_owned()));
        }
        self
    }

    /// Adds the hint to an error that it helps with.
    pub(super) fn add_to(&self, error: CallError) -> CallError {
        let CallError::Status(status) = error else { return error };
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        match self.0.iter().find(|(of, _)| *of == reason) {
            Some((_, hint)) => CallError::StatusWithHint(status, hint.clone()),
            None => CallError::Status(status),
        }
    }
}

impl Credentials {
    /// `tls` is the endpoint if the connection is encrypted.
    pub(super) async fn find(
        args: &CallArgs,
        tls: Option<&TlsEndpoint>,
    ) -> Result<Self, CallError> {
        if args.has_authorization() {
            return Ok(Self { layer: None, hint: Hint::NONE });
        }
        let elsewhere = args.to.iter().find(|url| !is_loopback(url));
        if tls.is_none()
            && let Some(elsewhere) = elsewhere
        {
            let error = format!(
                "a token is not sent to {} without TLS, since others could read it on the network: use an https URL; \
                 -H 'authorization=Bearer TOKEN' sends it anyway",
                elsewhere.host().unwrap_or_default()
            );
            return if args.credentials.given() {
                Err(CallError::Input(error))
            } else {
                Ok(Self { layer: None, hint: Hint::no_token(error) })
            };
        }
        if elsewhere.is_some() && !args.credentials.given() {
            return Ok(Self { layer: None, hint: Hint::no_token(NO_TOKEN) });
        }
        let credentials = args.credentials.clone();
        // Blocking: a file may be a pipe without data.
        let found = tokio::task::spawn_blocking(move || find_token(&credentials)).await;
        let (found, hint) = found.map_err(|error| CallError::Input(error.to_string()))??;
        let hint =
            hint.and_certificate(tls.is_some(), args.tls.tls_cert.is_some(), found.is_some());
        let layer = found.map(|found| match tls {
            Some(endpoint) => found.to(endpoint),
            None => Ok(found.allow_unencrypted()),
        });
        let layer = layer.transpose().map_err(|error| CallError::Input(error.to_string()))?;
        Ok(Self { layer, hint })
    }
}

fn find_token(args: &CredentialArgs) -> Result<(Option<CredentialsBuilder>, Hint), CallError> {
    fn input(error: &dyn fmt::Display) -> CallError {
        CallError::Input(error.to_string())
    }
    if args.no_token {
        return Ok((None, Hint::no_token(NO_TOKEN)));
    }
    let given = if let Some(token) = &args.token {
        Some(CredentialsLayer::bearer(token.clone()))
    } else if args.token_file.as_deref() == Some(Path::new("-")) {
        Some(CredentialsLayer::bearer(from_stdin()?))
    } else if let Some(file) = &args.token_file {
        Some(CredentialsLayer::bearer(TokenFile::open(file).map_err(|error| input(&error))?))
    } else {
        None
    };
    if given.is_some() {
        return Ok((given, Hint::NONE));
    }
    let path = args.dev_key.as_deref().unwrap_or(Path::new(DEV_KEY));
    match DevKey::read(path) {
        Ok(key) => {
            let token = key.mint(&[READ, WRITE], MAX_TTL).map_err(|error| input(&error))?;
            let token = BearerToken::new(&token).map_err(|error| input(&error))?;
            Ok((Some(CredentialsLayer::bearer(token)), Hint::other_key(path)))
        }
        Err(NoDevKey::Missing(_)) if args.dev_key.is_none() => Ok((None, Hint::no_token(NO_TOKEN))),
        Err(error) => Err(input(&error)),
    }
}

fn from_stdin() -> Result<BearerToken, CallError> {
    let mut text = String::new();
    let max = MAX_CREDENTIALS_BYTES as u64 + 1;
    let read = std::io::stdin().lock().take(max).read_to_string(&mut text);
    read.map_err(|error| CallError::Input(format!("cannot read standard input: {error}")))?;
    let token = BearerToken::new(&text).ok().filter(|_| text.len() <= MAX_CREDENTIALS_BYTES);
    token.ok_or_else(|| CallError::Input("standard input is not a token".to_owned()))
}

/// Whether the server is on this machine.
fn is_loopback(to: &Uri) -> bool {
    let host = to.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_this_machine_is_taken_for_it() {
        for (to, here) in [
            ("http://127.0.0.1:50051", true),
            ("http://127.8.9.1:1", true),
            ("http://[::1]:1", true),
            ("http://LOCALHOST:1", true),
            ("http://localhost.example:1", false),
            ("http://127.0.0.1.example:1", false),
            ("http://0.0.0.0:1", false),
            ("http://192.168.0.1:1", false),
            ("http://[::2]:1", false),
        ] {
            assert_eq!(is_loopback(&to.parse().expect("a URL")), here, "{to}");
        }
    }
}
