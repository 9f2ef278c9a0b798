//! Which token a call carries.

use std::fmt;
use std::io::Read;
use std::path::Path;

use tonic::transport::Uri;
use tonic_auth_layer::{
    BearerToken, CREDENTIALS_AT_MOST, CredentialsBuilder, CredentialsLayer, TokenFile,
};
use tonic_types::StatusExt;

use super::Failure;
use crate::auth::{DEV_KEY, DevKey, NoDevKey, READ, WRITE};
use crate::cli::{CallArgs, CredentialArgs, LONGEST_TTL};

/// What sends the token, if there is one, and what to do if it is not the right one.
///
/// It is the one that is given, or one of the development key if that is here and the server is on this machine.
pub(super) struct Credentials {
    pub(super) layer: Option<CredentialsLayer>,
    pub(super) advice: Advice,
}

/// What helps a caller that is refused for that reason.
pub(super) struct Advice(Option<(&'static str, String)>);

const NO_TOKEN: &str = "send a token with --token-file FILE; where the server has a development key, \
    `orders token` makes one, or name that key with --dev-key FILE";

impl Advice {
    const NONE: Self = Self(None);

    /// Where there is no token.
    fn missing(text: impl Into<String>) -> Self {
        Self(Some(("CREDENTIALS_MISSING", text.into())))
    }

    /// Where it is of that key.
    fn by(key: &Path) -> Self {
        let text = format!(
            "the token was made by the development key {key:?}, which is not the server's; name that with \
             --dev-key FILE, or send a token with --token-file FILE"
        );
        Self(Some(("TOKEN_INVALID", text)))
    }

    pub(super) fn on(self, failure: Failure) -> Failure {
        match (failure, self.0) {
            (Failure::Status(status), Some((reason, advice)))
                if status.get_details_error_info().is_some_and(|info| info.reason == reason) =>
            {
                Failure::Refused(status, advice)
            }
            (failure, _) => failure,
        }
    }
}

impl Credentials {
    pub(super) async fn of(args: &CallArgs) -> Result<Self, Failure> {
        if args.authorizes_by_hand() {
            return Ok(Self { layer: None, advice: Advice::NONE });
        }
        if !is_loopback(&args.to) {
            let why = format!(
                "a token is not sent to {} in plain text, where everybody on the way could read it; \
                 -H 'authorization=Bearer TOKEN' sends it all the same",
                args.to.host().unwrap_or_default()
            );
            return if args.credentials.given() {
                Err(Failure::Input(why))
            } else {
                Ok(Self { layer: None, advice: Advice::missing(why) })
            };
        }
        let credentials = args.credentials.clone();
        // A file may be a pipe into which nobody has written yet.
        let found = tokio::task::spawn_blocking(move || find(&credentials)).await;
        let (found, advice) = found.map_err(|error| Failure::Input(error.to_string()))??;
        Ok(Self { layer: found.map(CredentialsBuilder::allow_unencrypted), advice })
    }
}

fn find(args: &CredentialArgs) -> Result<(Option<CredentialsBuilder>, Advice), Failure> {
    fn input(error: &dyn fmt::Display) -> Failure {
        Failure::Input(error.to_string())
    }
    let given = if let Some(token) = &args.token {
        Some(CredentialsLayer::bearer(token.clone()))
    } else if args.token_file.as_deref() == Some(Path::new("-")) {
        Some(CredentialsLayer::bearer(from_standard_input()?))
    } else if let Some(file) = &args.token_file {
        Some(CredentialsLayer::bearer(TokenFile::open(file).map_err(|error| input(&error))?))
    } else {
        None
    };
    if given.is_some() {
        return Ok((given, Advice::NONE));
    }
    let path = args.dev_key.as_deref().unwrap_or(Path::new(DEV_KEY));
    match DevKey::read(path) {
        Ok(key) => {
            let token = BearerToken::new(&key.mint(&[READ, WRITE], LONGEST_TTL));
            let token = token.map_err(|error| input(&error))?;
            Ok((Some(CredentialsLayer::bearer(token)), Advice::by(path)))
        }
        Err(NoDevKey::Missing(_)) if args.dev_key.is_none() => {
            Ok((None, Advice::missing(NO_TOKEN)))
        }
        Err(error) => Err(input(&error)),
    }
}

fn from_standard_input() -> Result<BearerToken, Failure> {
    let mut text = String::new();
    let most = CREDENTIALS_AT_MOST as u64 + 1;
    let read = std::io::stdin().lock().take(most).read_to_string(&mut text);
    read.map_err(|error| Failure::Input(format!("cannot read standard input: {error}")))?;
    let token = BearerToken::new(&text).ok().filter(|_| text.len() <= CREDENTIALS_AT_MOST);
    token.ok_or_else(|| Failure::Input("standard input does not hold a token".to_owned()))
}

/// Whether what is sent there stays on this machine.
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
