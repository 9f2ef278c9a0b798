//! Which address is the caller's, behind proxies.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The networks of the proxies that are believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks(Box<[IpNet]>);

impl Networks {
    /// Reads networks (`10.0.0.0/8`) and single addresses; the error is the text that is neither.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, String> {
        let read = |text: &String| network(text).ok_or_else(|| text.clone());
        texts.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of whoever called the outermost of our proxies, if `peer` is one of them.
    ///
    /// Each proxy adds who called it at the right end of the list. What a proxy of ours says is believed,
    /// so the last address that is none of ours is the caller's; what stands left of it is whatever the
    /// caller sent. A hop that is missing or no address ends the walk at the proxy that should have named it.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if self.0.is_empty() {
            return client;
        }
        // Several lines are one list (RFC 9110 §5.3). Bytes, since what a caller sent may be anything.
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

/// A network, or an address as the network of only that; of IPv4 in IPv6, the one of IPv4.
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

/// An address as proxies write it: with a port or without, of IPv6 in brackets or without.
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

    fn networks(texts: &[&str]) -> Networks {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        Networks::parse(&texts).expect("networks")
    }

    fn client(networks: &Networks, peer: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line).expect("a header value");
            headers.append("x-forwarded-for", line);
        }
        networks.client(ip(peer), &headers).to_string()
    }

    #[test]
    fn the_last_hop_that_is_none_of_ours_is_the_caller() {
        let ours = networks(&["10.0.0.0/8", "fd00::/8", "192.0.2.7"]);
        for (peer, lines, caller) in [
            // No proxy of ours says it.
            ("203.0.113.9", &[&b"198.51.100.1"[..]][..], "203.0.113.9"),
            ("192.0.2.8", &[b"198.51.100.1"], "192.0.2.8"),
            // One proxy.
            ("10.1.2.3", &[b"198.51.100.1"], "198.51.100.1"),
            ("192.0.2.7", &[b"198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.1.2.3", &[b"198.51.100.1"], "198.51.100.1"),
            ("fd12::1", &[b"2001:db8::1"], "2001:db8::1"),
            // Two, and what the caller made up left of it.
            ("10.1.2.3", &[b"1.1.1.1, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
            ("10.1.2.3", &[b"10.7.7.7, 198.51.100.1, 192.0.2.7,10.9.9.9"], "198.51.100.1"),
            // Several lines are one list.
            ("10.1.2.3", &[b"1.1.1.1", b"198.51.100.1, 10.9.9.9", b"10.8.8.8"], "198.51.100.1"),
            // Only proxies: the outermost.
            ("10.1.2.3", &[b"10.4.4.4, 10.5.5.5"], "10.4.4.4"),
            ("10.1.2.3", &[], "10.1.2.3"),
            // With ports, brackets and spaces.
            ("10.1.2.3", &[b"198.51.100.1:4711"], "198.51.100.1"),
            ("10.1.2.3", &[b"[2001:db8::1]:4711 "], "2001:db8::1"),
            ("10.1.2.3", &[b"\t[2001:db8::1]"], "2001:db8::1"),
            ("10.1.2.3", &[b"::ffff:198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3", &[b"1.1.1.1, ::ffff:10.0.0.9"], "1.1.1.1"),
            ("10.1.2.3", &[b"[::ffff:198.51.100.1]:80"], "198.51.100.1"),
            // What is no address ends it at who should have known.
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
            // What a caller sends does not spoil what a proxy adds.
            ("10.1.2.3", &[b"\xff\xfe, 198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3", &[b"\xff\xfe", b"198.51.100.1"], "198.51.100.1"),
            ("10.1.2.3", &[b"\xff"], "10.1.2.3"),
        ] {
            let lines: Vec<&[u8]> = lines.to_vec();
            assert_eq!(client(&ours, peer, &lines), caller, "{peer} {lines:?}");
        }
    }

    #[test]
    fn without_proxies_nobody_is_believed() {
        let nobody = Networks::default();
        assert_eq!(client(&nobody, "10.1.2.3", &[b"198.51.100.1"]), "10.1.2.3");
        assert_eq!(client(&nobody, "::ffff:192.0.2.1", &[b"198.51.100.1"]), "192.0.2.1");
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
            assert_eq!(Networks::parse(&[text.to_owned()]).err().as_deref(), Some(text));
        }
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
        fn whatever_a_caller_sends_our_proxy_tells_who_it_is(
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
