//! Knows RSA keys of a faulty generator (ROCA, CVE-2017-15361) by the mark they bear: their private
//! half can be computed from the public one.

/// For each small prime the remainders, as bits, that a modulus of the faulty generator can have:
/// the powers of 65537.
pub(super) const PRIMES: [u8; 16] =
    [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151];

/// Whether a modulus is one of the faulty generator's. Of good ones less than one in ten millions is
/// taken for one.
pub(super) fn has_its_mark(modulus: &[u8]) -> bool {
    !modulus.is_empty() && PRIMES.iter().all(|&prime| is_a_power(remainder(modulus, prime), prime))
}

fn remainder(modulus: &[u8], prime: u8) -> u8 {
    let prime = u32::from(prime);
    let rest = modulus.iter().fold(0, |rest, &byte| (rest * 256 + u32::from(byte)) % prime);
    // Smaller than the prime.
    rest as u8
}

/// Whether a remainder is a power of 65537, modulo the prime.
fn is_a_power(rest: u8, prime: u8) -> bool {
    let (rest, prime) = (u32::from(rest), u32::from(prime));
    let mut power = 1;
    for _ in 0..prime {
        if power == rest {
            return true;
        }
        power = power * 65_537 % prime;
    }
    false
}
