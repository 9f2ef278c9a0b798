//! The text of a peer's address.

use std::io::Write as _;
use std::net::IpAddr;

use tonic_call::Peer;

/// The longest text of an IP address.
const MAX_BYTES: usize = 45;

/// The text of a peer's address. That of an IP address needs no allocation.
pub(crate) enum AddressText {
    Ip { bytes: [u8; MAX_BYTES], len: usize },
    Name(String),
}

impl AddressText {
    /// `None` for a Unix socket without a name.
    pub(crate) fn of(peer: &Peer) -> Option<Self> {
        match peer.ip() {
            Some(ip) => Some(Self::of_ip(ip)),
            None => peer.address().map(|name| Self::Name(name.to_string())),
        }
    }

    fn of_ip(ip: IpAddr) -> Self {
        let mut bytes = [0; MAX_BYTES];
        let len = match ip {
            IpAddr::V4(ip) => {
                let mut len = 0;
                for (index, octet) in ip.octets().into_iter().enumerate() {
                    if index > 0 {
                        bytes[len] = b'.';
                        len += 1;
                    }
                    len = push_octet(&mut bytes, len, octet);
                }
                len
            }
            IpAddr::V6(ip) => {
                let mut rest = &mut bytes[..];
                // The text fits.
                let _ = write!(rest, "{ip}");
                MAX_BYTES - rest.len()
            }
        };
        Self::Ip { bytes, len }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Ip { bytes, len } => std::str::from_utf8(&bytes[..*len]).unwrap_or_default(),
            Self::Name(name) => name,
        }
    }
}

/// Writes a number at this index, and returns the index behind it.
fn push_octet(bytes: &mut [u8; MAX_BYTES], mut len: usize, octet: u8) -> usize {
    for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
        if octet >= least {
            bytes[len] = b'0' + digit;
            len += 1;
        }
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_is_written_as_the_standard_library_writes_it() {
        for octet in 0..=u8::MAX {
            let ip = IpAddr::from([octet, 0, 255 - octet, octet]);
            assert_eq!(AddressText::of_ip(ip).as_str(), ip.to_string());
        }
    }

    #[test]
    fn addresses_of_ipv6_are_written_as_the_standard_library_writes_them() {
        for text in ["::", "::1", "2001:db8::7", "::ffff:192.0.2.7", "fe80:1234::5:6:7:8"] {
            let ip: IpAddr = text.parse().expect(text);
            assert_eq!(AddressText::of_ip(ip).as_str(), text);
        }
        let longest = IpAddr::from([u16::MAX; 8]);
        assert_eq!(AddressText::of_ip(longest).as_str(), longest.to_string());
    }
}
