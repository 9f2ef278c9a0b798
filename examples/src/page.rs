//! Page tokens: where a page ended, and of which list.

use crate::validate::Violations;

/// Key of the initial metadata with the token of the next page: a stream of `Order`s has no field for it.
pub(crate) const NEXT_PAGE_TOKEN: &str = "next-page-token";

const DEFAULT_SIZE: i32 = 50;
const MAX_SIZE: i32 = 1000;

/// Format of the token, so that later formats can be distinguished.
const VERSION: &str = "1";

/// The requested part of the list.
#[derive(Debug, PartialEq)]
pub(crate) struct Page {
    /// The sequence number of the order before the page; 0 is the beginning.
    pub(crate) after: i64,
    /// Maximum number of orders.
    pub(crate) size: usize,
}

impl Page {
    /// `token_name` is what responses call the token. `customer_email` is the filter of the list: a token is valid
    /// only for its list.
    pub(crate) fn new(
        violations: &mut Violations,
        page_size: i32,
        page_token: &str,
        token_name: &str,
        customer_email: &str,
    ) -> Self {
        if page_size < 0 {
            violations.add("page_size", "must not be negative");
        }
        let after = if page_token.is_empty() {
            0
        } else {
            read(page_token, customer_email).unwrap_or_else(|| {
                violations.add(
                    "page_token",
                    format!("must be the {token_name} of a response with the same customer_email"),
                );
                0
            })
        };
        let size = match page_size {
            0 => DEFAULT_SIZE,
            size => size.clamp(1, MAX_SIZE),
        };
        Self { after, size: size.unsigned_abs() as usize }
    }
}

/// The token of the page after the sequence number `seq`.
pub(crate) fn token(seq: i64, customer_email: &str) -> String {
    let check = fingerprint(seq, customer_email);
    format!("{VERSION}{seq:016x}{check:016x}")
}

fn read(token: &str, customer_email: &str) -> Option<i64> {
    let digits = token.strip_prefix(VERSION)?;
    if digits.len() != 32 || !digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let (seq, check) = digits.split_at(16);
    let seq = i64::from_str_radix(seq, 16).ok()?;
    let check = u64::from_str_radix(check, 16).ok()?;
    (check == fingerprint(seq, customer_email)).then_some(seq)
}

/// FNV-1a. It detects mistakes and is not a secret: a forged token reveals nothing that the list does not.
fn fingerprint(seq: i64, customer_email: &str) -> u64 {
    let bytes = seq.to_be_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes.iter().chain(customer_email.as_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_place() {
        for place in [0, 1, 42, i64::MAX] {
            assert_eq!(read(&token(place, "a@b"), "a@b"), Some(place));
        }
    }

    #[test]
    fn a_token_of_another_list_or_a_changed_one_is_refused() {
        let good = token(42, "a@b");
        assert_eq!(read(&good, "c@d"), None);
        for place in 0..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[place] = if bad[place] == b'0' { b'2' } else { b'0' };
            let bad = String::from_utf8(bad).expect("still ASCII");
            assert_eq!(read(&bad, "a@b"), None, "{bad}");
        }
        for bad in ["1", "2", "", "ä", "1+0000000000000000000000000000000"] {
            assert_eq!(read(bad, "a@b"), None, "{bad}");
        }
        assert_eq!(read(&good.to_uppercase(), "a@b"), None);
    }

    #[test]
    fn the_size_has_a_default_and_a_cap() {
        for (asked, given) in [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (i32::MAX, 1000)] {
            let page = Page::new(&mut Violations::default(), asked, "", "next", "");
            assert_eq!(page, Page { after: 0, size: given });
        }
        for asked in [-1, i32::MIN] {
            let mut violations = Violations::default();
            Page::new(&mut violations, asked, "", "next", "");
            assert_eq!(violations.message(), "page_size must not be negative");
        }
    }
}
