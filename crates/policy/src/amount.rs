//! Amounts: exact decimals. A float would lose cents, and a limit that loses cents is none.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Digits after the point.
const PLACES: u32 = 12;
/// Digits before it, at most: a sum of a billion of the largest still fits.
const WHOLE: usize = 17;
const ONE: i128 = 10_i128.pow(PLACES);

/// A decimal number, not negative: up to 17 digits before the point and 12 behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Reads a JSON number as it stands in its text. `None`: it is no number, it is negative, or it has more digits than
    /// an amount keeps.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            None => (text, 0),
            Some((number, exponent)) => {
                let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                let digits: i32 =
                    if is_digits(digits) && digits.len() <= 4 { digits.parse().ok()? } else { return None };
                (number, if exponent.starts_with('-') { -digits } else { digits })
            }
        };
        let (whole, fraction) = match number.split_once('.') {
            None => (number, ""),
            Some((_, "")) => return None,
            Some(parts) => parts,
        };
        // As JSON has it: no sign, and no zeros in front.
        if !is_digits(whole)
            || !(fraction.is_empty() || is_digits(fraction))
            || (whole.len() > 1 && whole.starts_with('0'))
        {
            return None;
        }
        let digits = [whole, fraction].concat();
        let kept = digits.trim_start_matches('0').trim_end_matches('0');
        if kept.is_empty() {
            return Some(Self::ZERO);
        }
        let after = digits.trim_start_matches('0').len() - kept.len();
        // The value is `kept` times ten to the power of `power`.
        let power = exponent - i32::try_from(fraction.len()).ok()? + i32::try_from(after).ok()?;
        let shift = u32::try_from(power + PLACES as i32).ok()?;
        if kept.len() + shift as usize > WHOLE + PLACES as usize {
            return None;
        }
        Some(Self(kept.parse::<i128>().ok()? * 10_i128.pow(shift)))
    }

    /// Both together, or the most there is.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of it, at least nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }
}

impl From<u32> for Amount {
    fn from(number: u32) -> Self {
        Self(i128::from(number) * ONE)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / ONE, self.0 % ONE);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{fraction:012}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        // A stored sum may be larger than one amount.
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
        let padded = format!("{fraction:0<12}");
        let read = (is_digits(whole) && is_digits(fraction) && padded.len() == PLACES as usize)
            .then(|| whole.parse::<i128>().ok()?.checked_mul(ONE)?.checked_add(padded.parse().ok()?))
            .flatten();
        read.map(Self).ok_or_else(|| D::Error::custom("this is no amount"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_exact_and_what_is_none_is_refused() {
        for (text, amount) in [
            ("0", "0"),
            ("-0", ""),
            ("0.0", "0"),
            ("500", "500"),
            ("500.10", "500.1"),
            ("0.1", "0.1"),
            ("1e3", "1000"),
            ("1.5E+2", "150"),
            ("25e-1", "2.5"),
            ("0.000000000001", "0.000000000001"),
            ("1e-12", "0.000000000001"),
            ("0e9999", "0"),
            ("99999999999999999", "99999999999999999"),
            ("99999999999999999.999999999999", "99999999999999999.999999999999"),
            ("100000000000000000", ""),
            ("1e17", ""),
            ("1e9999", ""),
            ("1e99999", ""),
            ("1e-13", ""),
            ("0.0000000000001", ""),
            ("-1", ""),
            ("+1", ""),
            ("01", ""),
            (".5", ""),
            ("5.", ""),
            ("1e", ""),
            ("1e+-1", ""),
            ("NaN", ""),
            ("\"5\"", ""),
            ("", ""),
            ("null", ""),
            ("1 ", ""),
        ] {
            let read = Amount::parse(text).map(|amount| amount.to_string());
            assert_eq!(read.unwrap_or_default(), amount, "{text}");
        }
        let (cent, ten) = (Amount::parse("0.1").unwrap(), Amount::from(1));
        assert_eq!((0..10).fold(Amount::ZERO, |sum, _| sum.plus(cent)), ten);
        assert_eq!(cent.minus(ten), Amount::ZERO);
    }

    proptest! {
        #[test]
        fn amounts_are_written_as_they_are_read(whole in 0_u64..100_000_000_000_000_000, fraction in 0_u64..1_000_000_000_000) {
            let text = format!("{whole}.{fraction:012}");
            let amount = Amount::parse(&text).unwrap();
            prop_assert_eq!(Amount::parse(&amount.to_string()), Some(amount));
            prop_assert_eq!(amount.0, i128::from(whole) * ONE + i128::from(fraction));
            let sum = amount.plus(amount).plus(amount);
            let stored = serde_json::to_string(&sum).unwrap();
            prop_assert_eq!(serde_json::from_str::<Amount>(&stored).unwrap(), sum);
        }
    }
}
