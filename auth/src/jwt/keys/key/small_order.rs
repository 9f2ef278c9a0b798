//! Detects Ed25519 keys of small order: signatures for them can be forged without a private key. No correct generator
//! creates them.

/// The `y` coordinates of all points whose order divides 8, little-endian and without the sign of `x`, in each
/// encoding that fits 255 bits: 0, 1, -1, the two of order 8, and 0 and 1 with the field's prime added.
const COORDINATES: [[u8; 32]; 7] = [
    coordinate(0x00, 0x00, 0x00),
    coordinate(0x01, 0x00, 0x00),
    coordinate(0xec, 0xff, 0x7f),
    coordinate(0xed, 0xff, 0x7f),
    coordinate(0xee, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// The top bit of an encoded point: the sign of its `x` (RFC 8032 §5.1.2).
const SIGN: u8 = 0x80;

const fn coordinate(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Whether a key is of small order, as a bare point or as a `SubjectPublicKeyInfo`, which ends in it
/// (RFC 8410 §4).
pub(super) fn is_small(key: &[u8]) -> bool {
    let Some(&(mut point)) = key.last_chunk::<32>() else { return false };
    point[31] &= !SIGN;
    COORDINATES.contains(&point)
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = [u8; 32]> {
    COORDINATES.into_iter().flat_map(|y| {
        let mut negative = y;
        negative[31] |= SIGN;
        [y, negative]
    })
}
