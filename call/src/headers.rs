//! Looking up a header in a small map.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Up to so many headers are compared one by one: hashing a name takes longer.
const FEW: usize = 16;

/// The first value of a header.
pub(crate) fn find<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    if headers.len() <= FEW {
        headers.iter().find_map(|(other, value)| (other == name).then_some(value))
    } else {
        headers.get(name)
    }
}
