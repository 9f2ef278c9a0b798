//! The client's address behind proxies.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName, request};
use ipnet::{IpNet, Ipv4Net};

use crate::peer::Peer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The networks of the proxies whose `x-forwarded-for` is trusted. Empty by default.
///
/// ```
/// use tonic_call::TrustedProxies;
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8", "2001:db8::7"])?;
/// # Ok::<(), tonic_call::NetworkError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Box<[IpNet]>);

/// A text that is neither a network (`10.0.0.0/8`) nor an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError {
    text: String,
}

/// The addresses that count as one client: a single address for IPv4, and a /64 network for IPv6, because a
/// client usually controls the whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNetwork(Prefix);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Prefix {
    V4(u32),
    V6(u64),
}

impl TrustedProxies {
    /// Parses networks (`10.0.0.0/8`) and single addresses.
    ///
    /// # Errors
    ///
    /// Contains the first text that is neither.
    pub fn new<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, NetworkError> {
        let read = |text: T| {
            let text = text.as_ref();
            network(text).ok_or_else(|| NetworkError { text: text.to_owned() })
        };
        networks.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Peers on the same host: `127.0.0.0/8` and `::1`. Every local process is trusted then.
    pub fn loopback() -> Self {
        let v6 = IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST));
        Self(Ipv4Net::new(Ipv4Addr::LOCALHOST, 8).map(IpNet::V4).into_iter().chain([v6]).collect())
    }

    /// Whether no proxy is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is the address of a trusted proxy. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.contain(address.to_canonical())
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client address of a call: the address of the [peer](Peer), or, if the peer is a trusted proxy, that
    /// of the client before the outermost trusted proxy. `None` if the peer has no IP address.
    pub fn client_of(&self, head: &request::Parts) -> Option<IpAddr> {
        let peer = Peer::of(&head.extensions)?.ip()?;
        Some(self.client(peer, &head.headers))
    }

    /// The address of the client before the outermost trusted proxy, if `peer` is a trusted proxy; otherwise
    /// `peer`. IPv4-mapped IPv6 addresses are converted to IPv4.
    ///
    /// Each proxy appends the address of its caller to `x-forwarded-for`. Entries appended by trusted proxies
    /// are correct, so the last address that is not a trusted proxy is the client's; entries left of it are not
    /// trusted. If an entry is missing or is not an address, the result is the proxy that should have appended
    /// it.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if self.0.is_empty() {
            return client;
        }
        // Several header lines form one list (RFC 9110 §5.3). Read as bytes, since the caller's part may
        // contain anything.
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while self.contain(client) {
            match hops.next().and_then(address) {
                Some(hop) => client = hop,
                None => break,
            }
        }
        client
    }
}

impl ClientNetwork {
    /// The client network of an address. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) counts as IPv4.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => Prefix::V4(address.to_bits()),
            IpAddr::V6(address) => Prefix::V6((address.to_bits() >> 64) as u64),
        })
    }
}

impl NetworkError {
    /// The invalid text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        write!(f, "the proxy {text:?} is neither a network, such as 10.0.0.0/8, nor an address")
    }
}

impl Error for NetworkError {}

/// Parses a network, or an address as a network of one. IPv4-mapped IPv6 networks become IPv4.
fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    if let IpNet::V6(mapped) = network
        && let (IpAddr::V4(address), Some(prefix)) =
            (IpAddr::V6(mapped.addr()).to_canonical(), mapped.prefix_len().checked_sub(96))
    {
        return Ipv4Net::new(address, prefix).ok().map(IpNet::V4);
    }
    Some(network)
}

/// Parses an address as written by proxies: with or without a port, and IPv6 with or without brackets.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop.trim_ascii()).ok()?;
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let address = match bare {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => match hop.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => hop.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn networks(texts: &[&str]) -> TrustedProxies {
        TrustedProxies::new(texts).expect("networks")
    }

    fn client(networks: &TrustedProxies, peer: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line).expect("a header value");
            headers.append("x-forwarded-for", line);
        }
        networks.client(ip(peer), &headers).to_string()
    }

    #[test]
    fn loopback_is_all_of_127_and_one_address_of_ipv6() {
        let loopback = TrustedProxies::loopback();
        for (address, is) in [
            ("127.0.0.1", true),
            ("127.255.255.255", true),
            ("::ffff:127.0.0.1", true),
            ("::1", true),
            ("::2", false),
            ("128.0.0.1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(loopback.contains(ip(address)), is, "{address}");
        }
        assert!(!TrustedProxies::default().contains(ip("127.0.0.1")));
    }

    #[test]
    fn the_last_hop_that_is_not_a_trusted_proxy_is_the_client() {
        let ours = networks(&["10.0.0.0/8", "fd00::/8", "192.0.2.7"]);
        for (peer, lines, caller) in [
            // The peer is not a trusted proxy.
            ("203.0.113.9", &[&b"198.51.100.1"[..]][..], "203.0.113.9"),
            ("192.0.2.8", &[b"198.51.100.1"], "192.0.2.8"),
            // One trusted proxy.
            ("10.1.2.3", &[b"198.51.100.1"], "198.51.100.1"),
            ("192.0.2.7", &[b"198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.1.2.3", &[b"198.51.100.1"], "198.51.100.1"),
            ("fd12::1", &[b"2001:db8::1"], "2001:db8::1"),
            // Two trusted proxies, and a forged entry left of theirs.
            ("10.1.2.3", &[b"1.1.1.1, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
            ("10.1.2.3", &[b"10.7.7.7, 198.51.100.1, 192.0.2.7,10.9.9.9"], "198.51.100.1"),
            // Several header lines form one list.
            ("10.1.2.3", &[b"1.1.1.1", b"198.51.100.1, 10.9.9.9", b"10.8.8.8"], "198.51.100.1"),
            // Only trusted proxies: the outermost one.
            ("10.1.2.3", &[b"10.4.4.4, 10.5.5.5"], "10.4.4.4"),
            ("10.1.2.3", &[], "10.1.2.3"),
            // With ports, brackets and spaces.
            ("10.1.2.3", &[b"198.51.100.1:4711"], "198.51.100.1"),
            ("10.1.2.3", &[b"[2001:db8::1]:4711 "], "2001:db8::1"),
            ("10.1.2.3", &[b"\t[2001:db8::1]"], "2001:db8::1"),
            ("10.1.2.3", &[b"::ffff:198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3", &[b"1.1.1.1, ::ffff:10.0.0.9"], "1.1.1.1"),
            ("10.1.2.3", &[b"[::ffff:198.51.100.1]:80"], "198.51.100.1"),
            // An invalid entry: the proxy that should have appended the address.
            ("10.1.2.3", &[b"198.51.100.1, unknown"], "10.1.2.3"),
            ("10.1.2.3", &[b"198.51.100.1, _hidden, 10.9.9.9"], "10.9.9.9"),
            ("10.1.2.3", &[b""], "10.1.2.3"),
            ("10.1.2.3", &[b"198.51.100.1,"], "10.1.2.3"),
            ("10.1.2.3", &[b"198.51.100.1, ,10.9.9.9"], "10.9.9.9"),
            ("10.1.2.3", &[b"198.51.100.1", b""], "10.1.2.3"),
            ("10.1.2.3", &[b"198.51.100.1:x"], "10.1.2.3"),
            ("10.1.2.3", &[b"198.51.100.1:65536"], "10.1.2.3"),
            ("10.1.2.3", &[b"198.51.100.256"], "10.1.2.3"),
            ("10.1.2.3", &[b"[198.51.100.1]"], "10.1.2.3"),
            ("10.1.2.3", &[b"[2001:db8::1"], "10.1.2.3"),
            ("10.1.2.3", &[b"fe80::1%eth0"], "10.1.2.3"),
            ("10.1.2.3", &[b"\"198.51.100.1\""], "10.1.2.3"),
            // Invalid bytes from the caller do not affect the proxy's entry.
            ("10.1.2.3", &[b"\xff\xfe, 198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3", &[b"\xff\xfe", b"198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3", &[b"\xff"], "10.1.2.3"),
        ] {
            let lines: Vec<&[u8]> = lines.to_vec();
            assert_eq!(client(&ours, peer, &lines), caller, "{peer} {lines:?}");
        }
    }

    #[test]
    fn without_trusted_proxies_the_header_is_ignored() {
        let none = TrustedProxies::default();
        assert_eq!(client(&none, "10.1.2.3", &[b"198.51.100.1"]), "10.1.2.3");
        assert_eq!(client(&none, "::ffff:192.0.2.1", &[b"198.51.100.1"]), "192.0.2.1");
    }

    #[test]
    fn a_network_is_a_network_or_an_address() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
            ("::ffff:10.0.0.0/104", "10.255.0.1", "11.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
            ("::/0", "2001:db8::1", "203.0.113.1"),
        ] {
            let networks = networks(&[text]);
            assert!(networks.contain(ip(inside)) && !networks.contain(ip(outside)), "{text}");
        }
        for text in ["", "proxy", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/-1", "[::1]", "10.0.0.1:80"]
        {
            let error = TrustedProxies::new(["10.0.0.0/8", text]).expect_err(text);
            assert_eq!(error.text(), text);
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn addresses_of_one_64_are_one_callers_and_those_of_ipv4_each_its_own() {
        let of = |text| ClientNetwork::of(ip(text));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        // The same bits in IPv4 and IPv6 are different networks.
        assert_ne!(of("192.0.2.1"), of("0:0:c000:201::"));
    }

    #[test]
    fn the_client_of_a_request_is_its_peer_or_the_proxys_client() {
        let ours = networks(&["10.0.0.0/8"]);
        let caller = |peer: Option<&str>| {
            let mut request = http::Request::new(());
            let named = HeaderValue::from_static("198.51.100.1");
            request.headers_mut().insert("x-forwarded-for", named);
            if let Some(peer) = peer {
                let remote_addr = Some(SocketAddr::new(ip(peer), 7));
                let info =
                    tonic::transport::server::TcpConnectInfo { local_addr: None, remote_addr };
                request.extensions_mut().insert(info);
            }
            let client = ours.client_of(&request.into_parts().0);
            client.map(|client| client.to_string())
        };
        assert_eq!(caller(Some("10.1.2.3")).as_deref(), Some("198.51.100.1"));
        assert_eq!(caller(Some("192.0.2.1")).as_deref(), Some("192.0.2.1"));
        assert_eq!(caller(None), None);
    }

    proptest! {
        #[test]
        fn no_header_panics_and_an_unknown_peer_is_itself(
            lines in proptest::collection::vec(proptest::collection::vec(0x20_u8.., 0..40), 0..4),
            known: bool,
        ) {
            let mut headers = HeaderMap::new();
            for line in &lines {
                if let Ok(line) = HeaderValue::from_bytes(line) {
                    headers.append("x-forwarded-for", line);
                }
            }
            let ours = networks(&["10.0.0.0/8"]);
            let peer = ip(if known { "10.0.0.1" } else { "203.0.113.9" });
            let client = ours.client(peer, &headers);
            prop_assert!(known || client == peer);
        }

        #[test]
        fn no_header_of_a_caller_hides_the_address_that_a_trusted_proxy_appends(
            sent in proptest::collection::vec("[0-9a-f.:,\\[\\] ]{0,30}", 0..4),
            same_line: bool,
        ) {
            let mut lines: Vec<Vec<u8>> = sent.into_iter().map(String::into_bytes).collect();
            match lines.last_mut() {
                Some(last) if same_line => last.extend_from_slice(b", 198.51.100.1"),
                _ => lines.push(b"198.51.100.1".to_vec()),
            }
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            let ours = networks(&["10.0.0.0/8"]);
            prop_assert_eq!(client(&ours, "10.0.0.1", &lines), "198.51.100.1");
        }
    }
}
