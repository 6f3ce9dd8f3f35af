//! What single values say: durations and sizes with their units, and any value as a text.

use std::time::Duration;

use portcullis_base::printable;
use yaml_serde::Value;

/// A duration as settings and flags write it: `10m`, `90s`, `250ms`, `1h30m`, `0`.
pub fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let unit_len = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let millis: u64 = match &after[..unit_len] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = &after[unit_len..];
    }
    (!text.is_empty()).then_some(total)
}

/// `4MiB`, `16KiB`, `512B`, `2MB`.
pub(super) fn size(text: &str) -> Option<usize> {
    let (number, unit) = leading_number(text)?;
    let scale: u64 = match unit.trim_start() {
        "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(scale)?).ok()
}

/// A duration as it would be written in the file.
pub(super) fn show_duration(value: Duration) -> String {
    let millis = value.as_millis();
    for (unit, scale) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis >= scale && millis.is_multiple_of(scale) {
            return format!("{}{unit}", millis / scale);
        }
    }
    if millis == 0 { "0".into() } else { format!("{millis}ms") }
}

/// A size as it would be written in the file.
pub(super) fn show_size(value: usize) -> String {
    for (unit, scale) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if value >= scale && value.is_multiple_of(scale) {
            return format!("{}{unit}", value / scale);
        }
    }
    format!("{value}B")
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// A value in words for a message.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(value) => format!("{value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("\"{}\"", printable(text, 60)),
        Value::Sequence(_) => "a list".into(),
        Value::Mapping(_) => "a group of keys".into(),
        Value::Tagged(_) => "a value with a YAML tag".into(),
    }
}

/// A value on one line.
pub(super) fn compact(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Sequence(items) => format!("[{}]", items.iter().map(compact).collect::<Vec<_>>().join(", ")),
        Value::Mapping(map) => {
            let entries = map.iter().map(|(key, value)| format!("{}: {}", compact(key), compact(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Tagged(tagged) => compact(&tagged.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_carry_their_units() {
        for (text, millis) in
            [("10m", 600_000), ("90s", 90_000), ("250ms", 250), ("1h30m", 5_400_000), ("0", 0), ("30d", 2_592_000_000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "m", "10x", "-1s", "1.5h", "10m ", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(duration(text), None, "{text}");
        }
        for (text, bytes) in [("4MiB", 4 << 20), ("16KiB", 16 << 10), ("512B", 512), ("2 MB", 2_000_000)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "4", "MiB", "4mib", "-1B", "18446744073709551615GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
        assert_eq!(show_duration(Duration::from_mins(90)), "90m");
        assert_eq!(show_size(4 << 20), "4MiB");
    }
}
