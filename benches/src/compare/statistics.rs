use serde::Serialize;

/// The median of some values, and the quartiles below and above it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Quartiles {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

impl Quartiles {
    /// `None` if there are no values.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let [low, median, high] = [0.25, 0.5, 0.75].map(|part| quantile(&values, part));
        Some(Self { low: low?, median: median?, high: high? })
    }

    /// All three values, changed by a function that does not change their order.
    pub(super) fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Self { low: change(self.low), median: change(self.median), high: change(self.high) }
    }
}

/// A quantile of sorted values, interpolated between the two next to it; `None` if there are no values.
pub(super) fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let at = sorted.len().checked_sub(1)? as f64 * part;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

/// The median of some values; `None` if there are none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    Quartiles::of(values).map(|quartiles| quartiles.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_do_not_depend_on_the_order_of_the_values() {
        let quartiles = Quartiles::of([5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(quartiles, Some(Quartiles { low: 2.0, median: 3.0, high: 4.0 }));
    }

    #[test]
    fn quartiles_between_two_values_are_interpolated() {
        let quartiles = Quartiles::of([1.0, 2.0, 3.0, 4.0]);
        assert_eq!(quartiles, Some(Quartiles { low: 1.75, median: 2.5, high: 3.25 }));
    }

    #[test]
    fn a_single_value_is_all_of_its_quartiles() {
        let quartiles = Quartiles::of([7.0]);
        assert_eq!(quartiles, Some(Quartiles { low: 7.0, median: 7.0, high: 7.0 }));
    }

    #[test]
    fn no_values_have_no_quartiles() {
        assert_eq!(Quartiles::of([]), None);
        assert_eq!(median([]), None);
    }

    #[test]
    fn the_ends_of_the_values_are_their_first_and_last_quantile() {
        let values = [1.0, 2.0, 9.0];
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 1.0), Some(9.0));
    }

    #[test]
    fn one_outlier_does_not_move_the_median() {
        assert_eq!(median([10.0, 11.0, 12.0, 13.0, 1e9]), Some(12.0));
    }
}
