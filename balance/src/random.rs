//! Where random numbers come from.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

/// A source of numbers from 0 up to, but not including, 1.
#[derive(Clone)]
pub(crate) struct Random(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Random {
    pub(crate) fn new(random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(random))
    }

    /// The next number.
    pub(crate) fn next(&self) -> f64 {
        // A source of the user's own may be wrong.
        let number = (self.0)();
        if number.is_finite() { number.clamp(0.0, 1.0 - f64::EPSILON) } else { 0.0 }
    }

    /// A number from 0 to `most`.
    pub(crate) fn up_to(&self, most: usize) -> usize {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss
        )]
        let number = (self.next() * (most + 1) as f64) as usize;
        number.min(most)
    }
}

impl Default for Random {
    /// The keys of the standard library's hash maps are random: enough to spread clients over time and servers.
    fn default() -> Self {
        const BITS: u32 = 53;
        Self::new(|| {
            let bits = RandomState::new().hash_one(0) >> (u64::BITS - BITS);
            #[allow(clippy::cast_precision_loss)]
            let number = bits as f64 / (1_u64 << BITS) as f64;
            number
        })
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_range_and_differ() {
        let random = Random::default();
        let numbers: Vec<f64> = (0..100).map(|_| random.next()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(numbers.iter().any(|number| *number < 0.5));
        assert!(numbers.iter().any(|number| *number >= 0.5));
        let places: std::collections::BTreeSet<usize> = (0..200).map(|_| random.up_to(2)).collect();
        assert_eq!(places.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_wrong_source_is_brought_into_range() {
        for wrong in [f64::NAN, f64::INFINITY, -1.0, 1.0, 7.0] {
            let random = Random::new(move || wrong);
            assert!((0.0..1.0).contains(&random.next()), "{wrong}");
            assert!(random.up_to(3) <= 3, "{wrong}");
        }
    }
}
