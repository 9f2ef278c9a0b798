//! Which token a call carries.

use std::fmt;
use std::io::Read;
use std::path::Path;

use tonic::transport::Uri;
use tonic_auth_layer::{
    BearerToken, CREDENTIALS_AT_MOST, CredentialsBuilder, CredentialsLayer, TokenFile,
};

use super::Failure;
use crate::auth::{DEV_KEY, DevKey, NoDevKey, READ, WRITE};
use crate::cli::{CallArgs, CredentialArgs, LONGEST_TTL};

/// What sends it, if there is one: the one that is given, or one of the development key if that is here and
/// the server is on this machine.
pub(super) async fn layer(args: &CallArgs) -> Result<Option<CredentialsLayer>, Failure> {
    let given = args.credentials.given();
    let here = is_loopback(&args.to);
    if !here && given {
        let to = args.to.host().unwrap_or_default();
        return Err(Failure::Input(format!(
            "a token is not sent to {to} in plain text, where everybody on the way could read it; \
             -H 'authorization=Bearer TOKEN' sends it all the same"
        )));
    }
    let by_hand = args.metadata.iter().any(|(key, _)| key == "authorization");
    if !here || (by_hand && !given) {
        return Ok(None);
    }
    let credentials = args.credentials.clone();
    // A file may be a pipe into which nobody has written yet.
    let found = tokio::task::spawn_blocking(move || find(&credentials)).await;
    let found = found.map_err(|error| Failure::Input(error.to_string()))??;
    Ok(found.map(CredentialsBuilder::allow_plain_text))
}

fn find(args: &CredentialArgs) -> Result<Option<CredentialsBuilder>, Failure> {
    fn input(error: &dyn fmt::Display) -> Failure {
        Failure::Input(error.to_string())
    }
    if let Some(token) = &args.token {
        return Ok(Some(CredentialsLayer::bearer(token.clone())));
    }
    match args.token_file.as_deref() {
        Some(file) if file == Path::new("-") => {
            return Ok(Some(CredentialsLayer::bearer(from_standard_input()?)));
        }
        Some(file) => {
            let file = TokenFile::open(file).map_err(|error| input(&error))?;
            return Ok(Some(CredentialsLayer::bearer(file)));
        }
        None => {}
    }
    match DevKey::read(args.dev_key.as_deref().unwrap_or(Path::new(DEV_KEY))) {
        Ok(key) => {
            let token = BearerToken::new(&key.mint(&[READ, WRITE], LONGEST_TTL));
            Ok(Some(CredentialsLayer::bearer(token.map_err(|error| input(&error))?)))
        }
        Err(NoDevKey::Missing(_)) if args.dev_key.is_none() => Ok(None),
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
