//! Numbers, told as a person would. No line breaks between a number and its unit.

/// All its digits: `12,345`.
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With its unit, and `one` of it without an s: `1 call`, `12 calls`.
pub fn counted(number: i64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// At most four characters or so, for axes: `950`, `1.5k`, `20M`.
pub fn short(number: i64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let Some((size, unit)) = units.into_iter().find(|(size, _)| number >= *size) else { return number.to_string() };
    let tenths = number / (size / 10);
    if tenths % 10 == 0 || tenths >= 1000 {
        format!("{}{unit}", tenths / 10)
    } else {
        format!("{}.{}{unit}", tenths / 10, tenths % 10)
    }
}

/// A part of a whole: `3.4 %`.
pub fn share(part: i64, whole: i64) -> String {
    let percent = part as f64 * 100.0 / whole.max(1) as f64;
    match percent {
        _ if part == 0 => "0\u{a0}%".into(),
        ..0.1 => "under 0.1\u{a0}%".into(),
        ..10.0 => format!("{percent:.1}\u{a0}%"),
        _ => format!("{percent:.0}\u{a0}%"),
    }
}

/// Microseconds, in the unit a person would use.
pub fn duration(micros: i64) -> String {
    let ms = micros as f64 / 1000.0;
    match micros {
        ..10_000 => format!("{ms:.1}\u{a0}ms"),
        10_000..1_000_000 => format!("{ms:.0}\u{a0}ms"),
        1_000_000..60_000_000 => format!("{:.1}\u{a0}s", ms / 1000.0),
        _ => format!("{:.1}\u{a0}min", ms / 60_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_a_person_would() {
        assert_eq!([0, 999, 1_000, -1_234_567].map(count), ["0", "999", "1,000", "-1,234,567"]);
        assert_eq!([1, 1_200].map(|calls| counted(calls, "call")), ["1 call", "1,200 calls"]);
        assert_eq!(
            [0, 950, 1_000, 1_500, 20_000, 150_000, 2_000_000].map(short),
            ["0", "950", "1k", "1.5k", "20k", "150k", "2M"]
        );
        assert_eq!(
            [(0, 0), (1, 10_000), (17, 500), (1, 2)].map(|(part, of)| share(part, of).replace('\u{a0}', " ")),
            ["0 %", "under 0.1 %", "3.4 %", "50 %"]
        );
        assert_eq!(
            [90, 3_440, 123_400, 1_250_000, 90_000_000].map(|micros| duration(micros).replace('\u{a0}', " ")),
            ["0.1 ms", "3.4 ms", "123 ms", "1.2 s", "1.5 min"]
        );
    }
}
