//! How long calls took, on a scale of which each step is a fifth longer than the one before: four steps double it. What is
//! read from it is wrong by a tenth at most.

use std::{collections::BTreeMap, ops::AddAssign};

/// Steps of the scale to a doubling.
const TO_A_DOUBLE: f64 = 4.0;
/// The last step: about 18 minutes. What took longer is in it.
const LAST: i64 = 120;

/// How many calls fell into each step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(BTreeMap<i64, i64>);

impl Histogram {
    /// The step that a duration falls into.
    pub(crate) fn step(micros: i64) -> i64 {
        if micros <= 1 { 0 } else { (((micros as f64).log2() * TO_A_DOUBLE).floor() as i64).min(LAST) }
    }

    /// Adds calls to a step.
    pub(crate) fn add(&mut self, step: i64, calls: i64) {
        *self.0.entry(step).or_default() += calls;
    }

    /// How many calls there are in all.
    pub fn calls(&self) -> i64 {
        self.0.values().sum()
    }

    /// The duration, in microseconds, that this share of the calls did not exceed (`0.5`: the median): the middle of the
    /// step that it falls into. `None` without a call.
    pub fn quantile(&self, share: f64) -> Option<i64> {
        let rank = (self.calls() as f64 * share).ceil().max(1.0) as i64;
        let mut seen = 0;
        let (step, _) = self.0.iter().find(|(_, calls)| {
            seen += **calls;
            seen >= rank
        })?;
        Some(((*step as f64 + 0.5) / TO_A_DOUBLE).exp2().round() as i64)
    }
}

impl AddAssign<&Self> for Histogram {
    fn add_assign(&mut self, other: &Self) {
        for (step, calls) in &other.0 {
            self.add(*step, *calls);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_a_tenth() {
        let mut seed = 7_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 40
        };
        let mut all: Vec<i64> = (0..10_000).map(|_| 50 + (random() * random() % 9_000_000) as i64).collect();
        let mut histogram = Histogram::default();
        for micros in &all {
            histogram.add(Histogram::step(*micros), 1);
        }
        all.sort_unstable();
        assert_eq!(histogram.calls(), 10_000);
        let mut double = histogram.clone();
        double += &histogram;
        assert_eq!((double.calls(), double.quantile(0.9)), (20_000, histogram.quantile(0.9)));
        for (share, rank) in [(0.5, 4_999), (0.95, 9_499), (0.99, 9_899), (1.0, 9_999), (0.0, 0)] {
            let (found, exact) = (histogram.quantile(share).unwrap_or_default() as f64, all[rank] as f64);
            assert!((found / exact - 1.0).abs() < 0.1, "{share}: {found} for {exact}");
        }
    }

    #[test]
    fn odd_durations_have_a_step_and_nothing_has_no_median() {
        for (micros, step) in [(i64::MIN, 0), (0, 0), (1, 0), (2, 4), (1024, 40), (i64::MAX, LAST)] {
            assert_eq!(Histogram::step(micros), step, "{micros}");
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
