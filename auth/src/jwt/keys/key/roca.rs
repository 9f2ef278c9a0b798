//! Detects RSA keys of a faulty generator (ROCA, CVE-2017-15361), whose private keys can be computed from the public
//! ones.

/// Modulo each of these primes, a modulus of the faulty generator is a power of 65537.
pub(super) const PRIMES: [u8; 16] =
    [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151];

/// Whether a modulus is from the faulty generator. Less than one in ten million other keys is detected, too.
pub(super) fn is_vulnerable(modulus: &[u8]) -> bool {
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
