//! Parsers of flag values.

use std::time::Duration;

use clap::error::ErrorKind;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::Uri;
use tonic_call::ServiceConfig;

use crate::auth::KeySet;
use crate::duration;

/// Values that contradict each other: the kind of error, and the message.
pub(super) type Conflict = (ErrorKind, String);

/// One key and value of request metadata.
pub type Metadata = (MetadataKey<Ascii>, MetadataValue<Ascii>);

pub(super) fn positive(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|number| *number > 0).ok_or("must be a whole number of at least 1")
}

pub(super) fn request_bytes(text: &str) -> Result<u32, &'static str> {
    // What `ConnectLayer` reads of a message.
    let fits = |bytes: &u32| (1..=4 * 1_024 * 1_024).contains(bytes);
    text.parse().ok().filter(fits).ok_or("must be a whole number from 1 to 4194304")
}

pub(super) fn header_bytes(text: &str) -> Result<u32, &'static str> {
    // Headers of gRPC and of a token must fit. h2 reads no header list of more than 16 MiB.
    let fits = |bytes: &u32| (1_024..=16 * 1_024 * 1_024).contains(bytes);
    text.parse().ok().filter(fits).ok_or("must be a whole number from 1024 to 16777216")
}

pub(super) fn idle_timeout(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        idle if idle < Duration::from_secs(1) => Err("must be at least 1s".to_owned()),
        idle => Ok(idle),
    }
}

pub(super) fn host_and_port(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(text.to_owned())
        }
        _ => Err("must be a host and a port, such as 127.0.0.1:50051".to_owned()),
    }
}

/// Where metrics are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    /// At this address.
    At(String),
    /// Not at all.
    Off,
}

pub(super) fn metrics_address(text: &str) -> Result<MetricsAddress, String> {
    match text {
        "off" => Ok(MetricsAddress::Off),
        _ => {
            host_and_port(text).map(MetricsAddress::At).map_err(|error| format!("{error}, or off"))
        }
    }
}

/// A text that begins with `http://` or `https://` is a URL, any other a file.
pub(super) fn key_set(text: &str) -> Result<KeySet, &'static str> {
    match text.split_once("://") {
        Some(("http" | "https", _)) => Ok(KeySet::Url(text.to_owned())),
        _ if text.is_empty() => Err("must be a URL or a file"),
        _ => Ok(KeySet::File(text.into())),
    }
}

pub(super) fn scope(text: &str) -> Result<String, String> {
    // `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 §3.3)
    let good = |byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if !text.is_empty() && text.bytes().all(good) {
        Ok(text.to_owned())
    } else {
        Err("must be printable ASCII without spaces, quotes and backslashes".to_owned())
    }
}

pub(super) fn server_url(text: &str) -> Result<Uri, String> {
    let example = "must be a URL such as http://127.0.0.1:50051 or https://localhost:50051";
    url(text, &["http", "https"], example, "-H")
}

pub(super) fn collector_url(text: &str) -> Result<Uri, String> {
    let credentials = "OTEL_EXPORTER_OTLP_HEADERS";
    url(text, &["http"], "must be a URL such as http://127.0.0.1:4317", credentials)
}

/// The URL of a gRPC server. `example` is the error for anything else; `credentials` is how to send them.
fn url(text: &str, schemes: &[&str], example: &str, credentials: &str) -> Result<Uri, String> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    match url.parse::<Uri>() {
        Ok(uri) if uri.scheme_str().is_some_and(|s| schemes.contains(&s)) => {
            match uri.authority() {
                _ if uri.path() != "/" || uri.query().is_some() => {
                    Err("must end with the port: a gRPC server has no path".to_owned())
                }
                Some(authority) if authority.as_str().contains('@') => Err(format!(
                    "must not contain a user name; send credentials with {credentials}"
                )),
                _ => Ok(uri),
            }
        }
        Ok(uri) if uri.scheme_str() == Some("https") => {
            Err("TLS is not supported here yet: use http://".to_owned())
        }
        _ => Err(example.to_owned()),
    }
}

/// The text of a valid service config.
///
/// It is parsed twice: here, so that an error is one of the command line, and when the log has started, so that the
/// warnings about it are logged.
#[derive(Clone, Debug)]
pub struct ServiceConfigJson(String);

impl ServiceConfigJson {
    pub(crate) fn parse(&self) -> Result<ServiceConfig, String> {
        ServiceConfig::from_json(&self.0).map_err(|error| error.to_string())
    }
}

/// Reads and checks the file.
pub(super) fn service_config(file: &str) -> Result<ServiceConfigJson, String> {
    let json = std::fs::read_to_string(file).map_err(|error| format!("cannot read it: {error}"))?;
    let json = ServiceConfigJson(json);
    json.parse()?;
    Ok(json)
}

pub(super) fn metadata(text: &str) -> Result<Metadata, String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    let key = key.parse().map_err(
        |_| "the key must consist of lower-case letters, digits, - _ . and must not end in -bin",
    )?;
    let value = value.parse().map_err(|_| "the value must be printable ASCII")?;
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_urls_are_checked_before_they_are_used() {
        for good in ["127.0.0.1:0", "[::1]:50051", "localhost:50051"] {
            assert!(host_and_port(good).is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1", ":50051", "127.0.0.1:70000", "127.0.0.1:"] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
        assert_eq!(metrics_address("off"), Ok(MetricsAddress::Off));
        assert_eq!(metrics_address("[::1]:0"), Ok(MetricsAddress::At("[::1]:0".to_owned())));
        assert!(metrics_address("on").is_err());
        for good in ["http://127.0.0.1:50051", "http://[::1]:1/", "localhost:50051"] {
            assert!(server_url(good).is_ok() && collector_url(good).is_ok(), "{good}");
        }
        assert!(server_url("https://localhost:1").is_ok());
        assert!(collector_url("https://localhost:1").is_err());
        for bad in [
            "",
            "ftp://localhost:1",
            "http://",
            "http://localhost:1/orders",
            "localhost:1/?x",
            "http://ann:secret@localhost:1",
            "https://localhost:1/orders",
            "http://localhost:4318/v1/traces",
        ] {
            assert!(server_url(bad).is_err() && collector_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_at_a_url_or_in_a_file() {
        for url in ["https://id.example/keys", "http://127.0.0.1:1/"] {
            assert_eq!(key_set(url), Ok(KeySet::Url(url.to_owned())));
        }
        for file in ["keys.json", "/etc/keys.json", "./https:/x"] {
            assert_eq!(key_set(file), Ok(KeySet::File(file.into())));
        }
        assert!(key_set("").is_err());
    }

    #[test]
    fn a_scope_is_one_that_a_token_can_hold() {
        assert!(scope("orders.read").is_ok() && scope("https://x/y:z").is_ok());
        for bad in ["", "a b", "a\"b", "a\\b", "ä", "a\n"] {
            assert!(scope(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn metadata_may_hold_an_equals_sign() {
        let (key, value) = metadata("x-fault=delay=200ms").expect("good");
        assert_eq!(key, "x-fault");
        assert_eq!(value, "delay=200ms");
        for bad in ["x-fault", "=1", "X Y=1", "key-bin=1", "key=\n"] {
            assert!(metadata(bad).is_err(), "{bad:?}");
        }
    }
}
