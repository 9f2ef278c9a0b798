//! IP addresses as text, without the machinery of `fmt`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use crate::show::InlineText;
use crate::show::inline_text::hex_digit;

/// The longest IP address: eight groups of four digits.
pub(super) const MAX_IP: usize = 39;

/// The longest socket address: that in brackets, with a scope and a port.
pub(super) const MAX_SOCKET: usize = MAX_IP + "[%4294967295]:65535".len();

/// The same text as `to_string` makes.
pub(super) fn ip(address: IpAddr) -> InlineText<MAX_IP> {
    let mut text = InlineText::new();
    push_ip(&mut text, address);
    text
}

/// The same text as `to_string` makes.
pub(super) fn socket(address: SocketAddr) -> InlineText<MAX_SOCKET> {
    let mut text = InlineText::new();
    match address {
        SocketAddr::V4(address) => push_v4(&mut text, *address.ip()),
        SocketAddr::V6(address) => {
            text.push(b"[");
            push_v6(&mut text, *address.ip());
            if address.scope_id() != 0 {
                text.push(b"%");
                text.push_decimal(address.scope_id());
            }
            text.push(b"]");
        }
    }
    text.push(b":");
    text.push_decimal(address.port().into());
    text
}

fn push_ip<const MAX: usize>(text: &mut InlineText<MAX>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => push_v4(text, address),
        IpAddr::V6(address) => push_v6(text, address),
    }
}

fn push_v4<const MAX: usize>(text: &mut InlineText<MAX>, address: Ipv4Addr) {
    let [first, rest @ ..] = address.octets();
    push_octet(text, first);
    for octet in rest {
        text.push_byte(b'.');
        push_octet(text, octet);
    }
}

/// The digits of each octet, and how many there are. With four bytes, they are written by one instruction.
static OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([b'0'; 4], 1); 256];
    let mut octet = 0;
    while octet < 256 {
        let digits =
            [b'0' + octet as u8 / 100, b'0' + octet as u8 / 10 % 10, b'0' + octet as u8 % 10];
        octets[octet] = match octet {
            0..10 => ([digits[2], b'0', b'0', b'0'], 1),
            10..100 => ([digits[1], digits[2], b'0', b'0'], 2),
            _ => ([digits[0], digits[1], digits[2], b'0'], 3),
        };
        octet += 1;
    }
    octets
};

fn push_octet<const MAX: usize>(text: &mut InlineText<MAX>, octet: u8) {
    let (digits, len) = OCTETS[usize::from(octet)];
    text.push_start(digits, usize::from(len));
}

/// RFC 5952: the first of the longest runs of zeros is left out, and an IPv4-mapped address ends in the IPv4 form.
fn push_v6<const MAX: usize>(text: &mut InlineText<MAX>, address: Ipv6Addr) {
    if let Some(mapped) = address.to_ipv4_mapped() {
        text.push(b"::ffff:");
        return push_v4(text, mapped);
    }
    let groups = address.segments();
    let zeros = longest_zeros(&groups);
    if zeros.len() < 2 {
        return push_groups(text, &groups);
    }
    push_groups(text, &groups[..zeros.start]);
    text.push(b"::");
    push_groups(text, &groups[zeros.end..]);
}

fn push_groups<const MAX: usize>(text: &mut InlineText<MAX>, groups: &[u16]) {
    let [first, rest @ ..] = groups else { return };
    push_hex(text, *first);
    for group in rest {
        text.push_byte(b':');
        push_hex(text, *group);
    }
}

/// Adds hexadecimal digits, without leading zeros.
fn push_hex<const MAX: usize>(text: &mut InlineText<MAX>, group: u16) {
    for shift in [12, 8, 4] {
        if group >> shift != 0 {
            text.push_byte(hex_digit((group >> shift) as u8 & 0x0f));
        }
    }
    // Zero has one digit.
    text.push_byte(hex_digit(group as u8 & 0x0f));
}

/// The first of the longest runs of zeros; empty if there is no zero.
fn longest_zeros(groups: &[u16; 8]) -> Range<usize> {
    let (mut longest, mut start) = (0..0, 0);
    for (at, group) in groups.iter().enumerate() {
        if *group != 0 {
            start = at + 1;
        } else if at + 1 - start > longest.len() {
            longest = start..at + 1;
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_of_every_form_are_written_as_std_writes_them() {
        for address in [
            "0.0.0.0",
            "255.255.255.255",
            "192.0.2.10",
            "::",
            "::1",
            "1::",
            "::ffff:192.0.2.1",
            "::ffff:0:0",
            "::192.0.2.1",
            "2001:db8::1",
            "2001:0:0:1:0:0:0:1",
            "2001:0:0:1:0:0:1:1",
            "2001:db8:0:1:1:1:1:1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(ip(address).as_str(), address.to_string());
        }
        let longest = Ipv6Addr::from([0xffff; 8]);
        let longest = SocketAddrV6::new(longest, u16::MAX, 0, u32::MAX);
        assert_eq!(socket(longest.into()).as_str(), longest.to_string());
        assert_eq!(socket(longest.into()).as_str().len(), MAX_SOCKET);
        let longest = Ipv4Addr::from([0xff; 4]);
        assert_eq!(socket((longest, u16::MAX).into()).as_str(), "255.255.255.255:65535");
    }

    /// Groups that are often zero, and sometimes short.
    fn group() -> impl Strategy<Value = u16> {
        prop_oneof![2 => Just(0), 1 => Just(0xffff), 1 => 0_u16..0x100, 2 => 0_u16..]
    }

    proptest! {
        #[test]
        fn any_address_is_written_as_std_writes_it(
            v4 in 0_u32..,
            groups in prop::array::uniform8(group()),
            port in 0_u16..,
            scope in prop_oneof![Just(0), 0_u32..],
        ) {
            let (v4, v6) = (Ipv4Addr::from(v4), Ipv6Addr::from(groups));
            for address in [v4.into(), v6.into(), v4.to_ipv6_mapped().into(), IpAddr::from(v4.to_ipv6_compatible())] {
                prop_assert_eq!(ip(address).to_string(), address.to_string());
                let address = SocketAddr::new(address, port);
                prop_assert_eq!(socket(address).to_string(), address.to_string());
            }
            let address = SocketAddr::from(SocketAddrV6::new(v6, port, 7, scope));
            prop_assert_eq!(socket(address).to_string(), address.to_string());
        }
    }
}
