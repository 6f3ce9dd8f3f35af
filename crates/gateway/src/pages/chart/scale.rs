//! Where axes begin and end.

/// A number to end an axis at: even, with one digit or two, and no smaller than `most`.
pub(super) fn top(most: i64) -> i64 {
    let mut unit = 1;
    loop {
        for step in [2, 4, 6, 8, 10] {
            if step * unit >= most {
                return step * unit;
            }
        }
        if unit > i64::MAX / 100 {
            return most;
        }
        unit *= 10;
    }
}

/// The powers of ten around positive numbers: at least one apart, and never without end.
pub(super) fn decades(least: i64, most: i64) -> (i32, i32) {
    let low = (least.max(1) as f64).log10().floor() as i32;
    let high = (most.max(1) as f64).log10().ceil() as i32;
    (low, high.max(low + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let ends = [(0, 2), (1, 2), (3, 4), (9, 10), (11, 20), (81, 100), (101, 200), (59_000, 60_000)];
        for (most, end) in ends {
            assert_eq!(top(most), end, "{most}");
        }
        assert_eq!(top(i64::MAX), i64::MAX);
        assert_eq!(decades(1_000, 100_000), (3, 5));
        assert_eq!(decades(0, 0), (0, 1));
        assert_eq!(decades(5_000, 5_000), (3, 4));
        assert_eq!(decades(1, i64::MAX), (0, 19));
    }
}
