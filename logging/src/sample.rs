use std::sync::atomic::{AtomicU64, Ordering};

/// Keeps a fixed share of the calls, spread without a pattern.
///
/// If it kept every n-th call, it could keep all calls or no calls of a client that polls periodically.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Hashes below this are kept; `None` keeps all.
    threshold: Option<u64>,
    count: AtomicU64,
}

impl Sample {
    pub(crate) fn all() -> Self {
        Self { threshold: None, count: AtomicU64::new(0) }
    }

    /// `share` is from 0 (none) to 1 (all), and is clamped to that range.
    pub(crate) fn share(share: f64) -> Self {
        // 1 needs its own case, since it rounds to the same `u64` as a slightly smaller share. NaN keeps all.
        let threshold = (share < 1.0).then_some((share.max(0.0) * u64::MAX as f64) as u64);
        Self { threshold, ..Self::all() }
    }

    pub(crate) fn keeps_next(&self) -> bool {
        let Some(threshold) = self.threshold else { return true };
        mix(self.count.fetch_add(1, Ordering::Relaxed)) < threshold
    }
}

/// Spreads consecutive numbers over all of `u64` (the finalizer of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(share: f64, step: usize) -> usize {
        let sample = Sample::share(share);
        (0..100_000).filter(|n| sample.keeps_next() && n % step == 0).count()
    }

    #[test]
    fn a_share_of_the_calls_is_kept() {
        assert_eq!([kept(0.0, 1), kept(-1.0, 1)], [0; 2]);
        assert_eq!([kept(1.0, 1), kept(2.0, 1), kept(f64::NAN, 1)], [100_000; 3]);
        assert!((9_700..10_300).contains(&kept(0.1, 1)), "{}", kept(0.1, 1));
        assert!((49_000..51_000).contains(&kept(0.5, 1)), "{}", kept(0.5, 1));
    }

    #[test]
    fn periodic_calls_get_their_share() {
        assert!((900..1_100).contains(&kept(0.1, 10)), "{}", kept(0.1, 10));
    }
}
