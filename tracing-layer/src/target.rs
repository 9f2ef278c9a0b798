//! The server that a client calls.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::Ipv6Addr;
use std::sync::Arc;

use http::Uri;
use http::uri::Authority;
use opentelemetry::Value;

/// The server that a client calls, for the attributes `server.address` and `server.port`.
///
/// A channel does not expose its address, so it is passed to the layer. It is parsed as OpenTelemetry's
/// semantic conventions for gRPC define ("Span attributes", `server.address`), and never resolved:
///
/// | target | `server.address` | `server.port` |
/// |---|---|---|
/// | `orders.svc:8080`, `dns:orders.svc:8080`, `dns://1.2.3.4/orders.svc:8080` | `orders.svc` | 8080 |
/// | `orders.svc` | `orders.svc` | |
/// | `[2001:db8::1]:8080`, `ipv6:[2001:db8::1]:8080` | `2001:db8::1` | 8080 |
/// | `http://orders.svc:8080`, `https://orders.svc` | `orders.svc` | 8080, 443 |
/// | `unix:///run/orders.sock` | `/run/orders.sock` | |
/// | any other, such as `zk://zookeeper:2181/orders` or `ipv4:10.0.0.1:1,10.0.0.2:1` | the whole text | |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    address: Arc<str>,
    port: Option<u16>,
}

/// The longest host name in bytes (RFC 1035 §2.3.4). Longer text is not recorded.
const MAX_HOST_BYTES: usize = 255;

impl Target {
    /// The value of `server.address`; if empty, the attribute is not set.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The value of `server.port`, if the port is known.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The values of the attributes; `None` if they are not set.
    pub(crate) fn to_server(&self) -> Option<(Value, Option<u16>)> {
        (!self.address.is_empty()).then(|| (Arc::clone(&self.address).into(), self.port))
    }
}

impl From<&str> for Target {
    fn from(target: &str) -> Self {
        let (address, port) = parse(target);
        Self { address: address.into(), port }
    }
}

impl From<String> for Target {
    fn from(target: String) -> Self {
        target.as_str().into()
    }
}

/// For `tonic`'s `Endpoint`: `Target::from(endpoint.uri())`. The URI of a Unix socket does not contain its path:
/// pass the path as text.
impl From<&Uri> for Target {
    fn from(uri: &Uri) -> Self {
        uri.to_string().into()
    }
}

/// The host and port in a request's `:authority`; `None` if that is too long for a host name.
///
/// The same as [`Authority::host`] without its brackets and [`Authority::port_u16`], which are slower.
pub(crate) fn host_of(authority: &Authority) -> Option<(&str, Option<u16>)> {
    let is = |wanted| move |byte| byte == wanted;
    let text = authority.as_str();
    // A user name and password, which may be secret, end in the last `@`.
    let start = text.bytes().rposition(is(b'@')).map_or(0, |at| at + 1);
    let text = &text[start..];
    let port = text.bytes().rposition(is(b':')).and_then(|at| text[at + 1..].parse().ok());
    let host = match text.strip_prefix('[') {
        Some(text) => &text[..text.bytes().position(is(b']'))?],
        None => &text[..text.bytes().position(is(b':')).unwrap_or(text.len())],
    };
    (host.len() <= MAX_HOST_BYTES).then_some((host, port))
}

thread_local! {
    /// The host in the last request that this thread has read.
    static LAST_HOST: Cell<Option<Arc<str>>> = const { Cell::new(None) };
}

/// The host as a value, which shares its text with the last one on this thread if they are equal: most requests of a
/// server name the same host.
pub(crate) fn host_value(host: &str) -> Value {
    let last = LAST_HOST.try_with(Cell::take).ok().flatten();
    let text = last.filter(|last| **last == *host).unwrap_or_else(|| host.into());
    let _ = LAST_HOST.try_with(|last| last.set(Some(Arc::clone(&text))));
    text.into()
}

fn parse(target: &str) -> (String, Option<u16>) {
    let target = &*without_user(target);
    let whole = || (target.to_owned(), None);
    let Some((scheme, rest)) = target.split_once(':') else { return whole() };
    let named = match &*scheme.to_ascii_lowercase() {
        "http" => return of_url(target, 80).unwrap_or_else(whole),
        "https" => return of_url(target, 443).unwrap_or_else(whole),
        "unix" => return (rest.strip_prefix("//").unwrap_or(rest).to_owned(), None),
        "dns" => path_of(rest).trim_start_matches('/'),
        "ipv4" | "ipv6" => rest,
        _ => target,
    };
    host_and_port(named).unwrap_or_else(whole)
}

/// Removes a user name and password, which may be secret.
fn without_user(target: &str) -> Cow<'_, str> {
    let start = target.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = target.split_at(start);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{host}{path}").into(),
        None => target.into(),
    }
}

fn of_url(url: &str, port: u16) -> Option<(String, Option<u16>)> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    let host = without_brackets(authority.host()).to_owned();
    Some((host, Some(authority.port_u16().unwrap_or(port))))
}

/// The part after `//authority`, or all of it without one.
fn path_of(rest: &str) -> &str {
    match rest.strip_prefix("//") {
        Some(behind) => behind.find('/').map_or("", |at| &behind[at..]),
        None => rest,
    }
}

/// Parses `host:port` or `host`; `None` if it is neither.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text.to_owned(), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (text, None),
    };
    let bare = without_brackets(host);
    let is_one = !bare.is_empty() && !bare.contains(['/', ',', '[', ']']);
    (is_one && (bare != host || !bare.contains(':'))).then(|| (bare.to_owned(), port))
}

/// An IPv6 address without its brackets.
fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_shares_its_text_with_the_last_one_if_they_are_equal() {
        let address = |value: &Value| value.as_str().as_ptr();
        let first = host_value("orders.svc");
        assert_eq!(first, "orders.svc".into());
        assert_eq!(address(&host_value("orders.svc")), address(&first));
        assert_eq!(host_value("orders.svcs"), "orders.svcs".into());
        assert_eq!(host_value("orders.svc"), first);
    }

    #[test]
    fn a_target_is_read_as_the_conventions_say() {
        for (target, address, port) in [
            ("grpc.io:50051", "grpc.io", Some(50051)),
            ("grpc.io", "grpc.io", None),
            ("dns:grpc.io:50051", "grpc.io", Some(50051)),
            ("dns:grpc.io", "grpc.io", None),
            ("dns:///grpc.io:50051", "grpc.io", Some(50051)),
            ("dns://1.2.3.4/grpc.io:50051", "grpc.io", Some(50051)),
            ("unix:///run/containerd/containerd.sock", "/run/containerd/containerd.sock", None),
            ("unix:/run/x.sock", "/run/x.sock", None),
            ("unix:x.sock", "x.sock", None),
            ("unix://relative/x.sock", "relative/x.sock", None),
            ("zk://zookeeper:2181/my-server", "zk://zookeeper:2181/my-server", None),
            (
                "ipv4:198.51.100.123:50051,198.51.100.124:50051",
                "ipv4:198.51.100.123:50051,198.51.100.124:50051",
                None,
            ),
            ("ipv4:198.51.100.123:50051", "198.51.100.123", Some(50051)),
            ("ipv6:[2607:f8b0::1]:443", "2607:f8b0::1", Some(443)),
            ("ipv6:2607:f8b0::1", "2607:f8b0::1", None),
            ("[::1]:50051", "::1", Some(50051)),
            ("[::1]", "::1", None),
            ("::1", "::1", None),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("http://orders.svc:8080", "orders.svc", Some(8080)),
            ("http://orders.svc/", "orders.svc", Some(80)),
            ("https://user:secret@orders.example/prefix", "orders.example", Some(443)),
            ("https://[2001:db8::1]:8443", "2001:db8::1", Some(8443)),
            ("HTTPS://user:secret@orders.example", "orders.example", Some(443)),
            ("user:secret@orders.example:8080", "orders.example", Some(8080)),
            ("zk://user:secret@zookeeper:2181/x@y", "zk://zookeeper:2181/x@y", None),
            ("xds:///orders", "xds:///orders", None),
            ("orders:http", "orders:http", None),
            ("orders:99999", "orders:99999", None),
            (":50051", ":50051", None),
            ("", "", None),
        ] {
            let read = Target::from(target);
            assert_eq!((read.address(), read.port()), (address, port), "{target}");
        }
    }

    #[test]
    fn an_authority_is_read_without_what_is_secret() {
        for (authority, address, port) in [
            ("orders.example", "orders.example", None),
            ("orders.example:8443", "orders.example", Some(8443)),
            ("[::1]:7", "::1", Some(7)),
            ("user:secret@orders.example", "orders.example", None),
        ] {
            let authority: Authority = authority.parse().expect("an authority");
            assert_eq!(host_of(&authority), Some((address, port)), "{authority}");
        }
    }

    #[test]
    fn an_authority_that_is_too_long_for_a_host_is_none() {
        for (length, is_host) in [(MAX_HOST_BYTES, true), (MAX_HOST_BYTES + 1, false)] {
            let authority: Authority = "a".repeat(length).parse().expect("an authority");
            assert_eq!(host_of(&authority).is_some(), is_host);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_target(target in ".{0,40}") {
            let _ = Target::from(target);
        }

        #[test]
        fn any_authority_is_read_as_by_http(authority in "([a:@]{0,4}@)?([a-c.]{0,4}|\\[[0-9a-f:]{0,6}\\])(:[+0-9a]{0,6})?") {
            let Ok(authority) = authority.parse::<Authority>() else { return Ok(()) };
            let read = (without_brackets(authority.host()), authority.port_u16());
            proptest::prop_assert_eq!(host_of(&authority), Some(read));
        }
    }
}
