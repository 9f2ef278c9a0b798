//! Checks the URLs that keys are fetched from.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;

/// Parses a URL of `https`, or of `http` on loopback; with `plain`, of `http` on any host.
pub(super) fn parse(url: &str, plain: bool) -> Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "no URL")?;
    let Some(host) = uri.host().filter(|host| !host.is_empty()) else { return Err("no host") };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("a name and password in the URL");
    }
    match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => Ok(uri),
        Some(scheme) if *scheme == Scheme::HTTP && (plain || is_loopback(host)) => Ok(uri),
        Some(scheme) if *scheme == Scheme::HTTP => Err("plain http to another host"),
        _ => Err("neither https nor http"),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let address = bare.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_08_keys_come_by_https_or_from_loopback() {
        for good in [
            "https://id.example/keys?x=1",
            "https://192.0.2.1:8443/",
            "http://127.0.0.1:80/keys",
            "http://127.9.9.9/keys",
            "http://[::1]:8080/keys",
            "http://localhost:8080/keys",
        ] {
            assert!(parse(good, false).is_ok(), "{good}");
        }
        for bad in [
            "http://id.example/keys",
            "http://127.0.0.1.example/keys",
            "http://localhost.example/",
            "http://[::2]/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "https://",
            "https://user:password@id.example/",
            "id.example/keys",
            "/keys",
            "",
        ] {
            assert!(parse(bad, false).is_err(), "{bad}");
        }
        assert!(parse("http://id.example/keys", true).is_ok());
        assert!(parse("ftp://id.example/keys", true).is_err());
    }
}
