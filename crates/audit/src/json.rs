//! JSON by hand: an event is written in well under a microsecond, straight into the buffer that goes to the file.

use portcullis_base::{Timestamp, printable};

/// The longest a foreign text may be in a line, in characters.
pub(crate) const TEXT: usize = 512;
/// Identifiers and URLs: a metadata document's address may be long and must stay whole to be found again.
pub(crate) const NAME: usize = 2048;

/// Writes a list of texts.
pub(crate) fn strings<'a>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'a str>) {
    out.push(b'[');
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, text, NAME);
    }
    out.push(b']');
}

/// Writes `,"name":"text"`.
pub(crate) fn member(out: &mut Vec<u8>, name: &'static str, text: &str, limit: usize) {
    key(out, name);
    string(out, text, limit);
}

/// Writes `,"name":`.
pub(crate) fn key(out: &mut Vec<u8>, name: &'static str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Writes `text` as a JSON string that stays on its line and shows everything it holds.
///
/// spec: T-97: nothing foreign can end the line, the string or the member it stands in.
pub(crate) fn string(out: &mut Vec<u8>, text: &str, limit: usize) {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'"' && *byte != b'\\';
    let shown = text.len().min(limit);
    if text.as_bytes()[..shown].iter().all(plain) {
        out.push(b'"');
        out.extend_from_slice(&text.as_bytes()[..shown]);
        if shown < text.len() {
            out.extend_from_slice("…".as_bytes());
        }
        out.push(b'"');
    } else {
        serde_json::to_writer(out, &printable(text, limit)).expect("text is always JSON");
    }
}

/// Writes a number.
pub(crate) fn integer(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes `"2026-11-23T02:13:20.123Z"`: what `Timestamp` displays, ten times faster.
pub(crate) fn moment(out: &mut Vec<u8>, at: Timestamp) {
    let millis = at.as_millis();
    if !(0..=253_402_300_799_999).contains(&millis) {
        return string(out, &at.to_string(), TEXT);
    }
    let (days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000) as u64);
    let (year, month, day) = civil(days);
    let mut put = |value: u64, width: u32, after: u8| {
        for place in (0..width).rev() {
            out.push(b'0' + (value / 10_u64.pow(place) % 10) as u8);
        }
        out.push(after);
    };
    put(0, 0, b'"');
    put(year, 4, b'-');
    put(month, 2, b'-');
    put(day, 2, b'T');
    put(of_day / 3_600_000, 2, b':');
    put(of_day / 60_000 % 60, 2, b':');
    put(of_day / 1000 % 60, 2, b'.');
    put(of_day % 1000, 3, b'Z');
    out.push(b'"');
}

/// Days since 1970-01-01 to year, month and day, by counting years from March so that leap days come last.
fn civil(days: i64) -> (u64, u64, u64) {
    let days = (days + 719_468) as u64;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_based = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_based + 2) / 5 + 1;
    let month = if march_based < 10 { march_based + 3 } else { march_based - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Reads back what [`moment`] wrote, without its quotes; `None` for anything else.
pub(crate) fn read_moment(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if bytes.len() != 24 || separators.iter().any(|(at, byte)| bytes[*at] != *byte) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        let digits = &bytes[range];
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |sum, d| sum * 10 + i64::from(d - b'0')))
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second, milli) = (number(11..13)?, number(14..16)?, number(17..19)?, number(20..23)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (year, march_based) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * march_based + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(Timestamp::from_millis(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + milli))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn moments_are_written_as_they_display_and_read_back(millis in 0_i64..253_402_300_800_000) {
            let at = Timestamp::from_millis(millis);
            let mut out = Vec::new();
            moment(&mut out, at);
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(&text, &format!("\"{at}\""));
            prop_assert_eq!(read_moment(text.trim_matches('"')), Some(at));
        }

        /// spec: T-97
        #[test]
        fn any_text_is_one_json_string_on_one_line(text in "\\PC*|(?s).{0,40}", limit in 0_usize..20) {
            let mut out = Vec::new();
            string(&mut out, &text, limit);
            let written = String::from_utf8(out).unwrap();
            prop_assert!(!written.chars().any(char::is_control));
            let back: String = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(back, printable(&text, limit));
        }

        #[test]
        fn numbers_are_written_as_they_display(number: i64) {
            let mut out = Vec::new();
            integer(&mut out, number);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
