//! Values of headers: how any text travels in one, and when one equals a number.

use base64::{Engine, engine::general_purpose::STANDARD};

const SENTINEL_START: &str = "=?base64?";
const SENTINEL_END: &str = "?=";

/// A value as it can stand in a header.
///
/// spec: TR-130
pub fn encode_value(value: &str) -> String {
    let literal = value.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
        && !value.starts_with(' ')
        && !value.ends_with(' ')
        && sentinel(value).is_none();
    if literal { value.to_owned() } else { format!("{SENTINEL_START}{}{SENTINEL_END}", STANDARD.encode(value)) }
}

/// What a header's value says, or `None` if it is malformed.
///
/// spec: TR-45, TR-48
pub fn decode_value(value: &[u8]) -> Option<String> {
    let text = printable(trimmed(value))?;
    match sentinel(text) {
        Some(payload) => String::from_utf8(STANDARD.decode(payload).ok()?).ok(),
        None => Some(text.to_owned()),
    }
}

fn sentinel(text: &str) -> Option<&str> {
    text.strip_prefix(SENTINEL_START)?.strip_suffix(SENTINEL_END)
}

pub(super) fn printable(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)))
}

pub(super) fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// A number by its decimal digits, so that no rounding makes two of them equal.
#[derive(PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: String,
    /// Power of ten of the last digit.
    exponent: i64,
}

impl Decimal {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        if [whole, fraction].iter().any(|part| part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit())) {
            return None;
        }
        let all = format!("{whole}{fraction}");
        let digits = all.trim_end_matches('0');
        let exponent = i64::from(exponent) - fraction.len() as i64 + (all.len() - digits.len()) as i64;
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent })
    }

    /// The digits of a whole number; `None` if it is none or absurdly long.
    pub(super) fn plain(&self) -> Option<String> {
        if !(0..=400).contains(&self.exponent) {
            return None;
        }
        let sign = if self.negative { "-" } else { "" };
        let digits = if self.digits.is_empty() { "0" } else { &self.digits };
        Some(format!("{sign}{digits}{}", "0".repeat(self.exponent as usize)))
    }
}

/// Compares a number of the body with a header, which is written without an exponent.
pub(super) fn same_number(raw: &str, sent: &str) -> bool {
    raw == sent
        || (!sent.contains(['e', 'E']) && Decimal::parse(sent).is_some_and(|sent| Decimal::parse(raw) == Some(sent)))
}
