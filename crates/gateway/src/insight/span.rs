//! The time that is looked at, and the slots that it is counted in. All of it is UTC.

use portcullis_base::Timestamp;
use serde::Deserialize;

/// Milliseconds of an hour.
pub const HOUR: i64 = 3_600_000;
/// Milliseconds of a day.
pub const DAY: i64 = 24 * HOUR;
/// Days that are counted at most: older ones are forgotten.
const MOST_DAYS: i64 = 731;
/// Hours of days that are longer ago may be folded into days.
const HOURS_KEPT: i64 = 90;

const NO_DAY: &str = "A day is written as 2026-11-23.";
const NO_TIME: &str = "The last day is before the first one.";
const TOO_LONG: &str = "Two years can be looked at at a time.";
const NO_RANGE: &str = "The time is 24h, 7d, 30d, or from a first to a last day.";

/// What is asked for, as it stands in the address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// `24h`, `7d` or `30d`.
    pub range: String,
    /// Instead: the first day, as `2026-11-23`.
    pub from: String,
    /// And the last one; today if there is none.
    pub to: String,
}

/// Which of the times that are offered it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The last 24 hours.
    Day,
    /// The last 7 days.
    Week,
    /// The last 30 days.
    Month,
    /// Days of the reader's own choice.
    Own,
}

/// A time, in slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its beginning: that of a slot.
    pub since: Timestamp,
    /// Its end: that of a slot, which may be to come.
    pub until: Timestamp,
    /// How long a slot is, in milliseconds.
    pub slot: i64,
    /// Which it is.
    pub chosen: Chosen,
}

impl Chosen {
    /// Those that a link leads to.
    pub const OFFERED: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// As it stands in an address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Own => "own",
        }
    }
}

/// The beginning of its day.
pub const fn day(at: Timestamp) -> Timestamp {
    floor(at, DAY)
}

const fn floor(at: Timestamp, slot: i64) -> Timestamp {
    Timestamp::from_millis(at.as_millis().div_euclid(slot) * slot)
}

const fn moved(at: Timestamp, by: i64) -> Timestamp {
    Timestamp::from_millis(at.as_millis() + by)
}

impl Span {
    /// The time that is asked for; the last 24 hours if none is.
    pub fn of(wanted: &Wanted, now: Timestamp) -> Result<Self, &'static str> {
        let (range, from, to) = (wanted.range.trim(), wanted.from.trim(), wanted.to.trim());
        if !from.is_empty() || !to.is_empty() {
            return Self::own(from, to, now);
        }
        match range {
            "" | "24h" => Ok(Self::last(Chosen::Day, 24, HOUR, now)),
            "7d" => Ok(Self::last(Chosen::Week, 28, 6 * HOUR, now)),
            "30d" => Ok(Self::last(Chosen::Month, 30, DAY, now)),
            _ => Err(NO_RANGE),
        }
    }

    /// So many slots, of which the last one is the present one.
    fn last(chosen: Chosen, slots: i64, slot: i64, now: Timestamp) -> Self {
        let until = moved(floor(now, slot), slot);
        Self { since: moved(until, -slots * slot), until, slot, chosen }
    }

    fn own(from: &str, to: &str, now: Timestamp) -> Result<Self, &'static str> {
        let parse = |text: &str| {
            let is_day = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            Timestamp::parse(&format!("{text}T00:00:00Z")).filter(|_| is_day).ok_or(NO_DAY)
        };
        let last = if to.is_empty() { day(now) } else { parse(to)? };
        let since = if from.is_empty() { last } else { parse(from)? };
        let days = (last.as_millis() - since.as_millis()) / DAY + 1;
        let slot = match days {
            ..=0 => return Err(NO_TIME),
            _ if days > MOST_DAYS => return Err(TOO_LONG),
            93.. => 7 * DAY,
            11.. => DAY,
            _ if since < moved(day(now), -(HOURS_KEPT - 1) * DAY) => DAY,
            3.. => 6 * HOUR,
            _ => HOUR,
        };
        let slots = (days * DAY + slot - 1) / slot;
        // Whole slots; the first day may be one of a week that began before it.
        Ok(Self { since, until: moved(since, slots * slot), slot, chosen: Chosen::Own })
    }

    /// Where its slots begin.
    pub fn slots(&self) -> impl Iterator<Item = Timestamp> {
        let Self { since, until, slot, .. } = *self;
        (0..).map(move |number| moved(since, number * slot)).take_while(move |at| *at < until)
    }

    /// What belongs to each slot, and nothing where there is none.
    pub(super) fn filled<T: Default>(&self, found: impl IntoIterator<Item = (Timestamp, T)>) -> Vec<(Timestamp, T)> {
        let mut found = found.into_iter().peekable();
        self.slots()
            .map(|at| (at, found.next_if(|(own, _)| *own == at).map_or_else(T::default, |(_, own)| own)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(range: &str, from: &str, to: &str) -> Result<String, &'static str> {
        let now = Timestamp::parse("2026-11-24T09:30:00Z").ok_or("now")?;
        let wanted = Wanted { range: range.into(), from: from.into(), to: to.into() };
        let span = Span::of(&wanted, now)?;
        let short = |at: Timestamp| at.to_string().get(..13).unwrap_or_default().to_owned();
        Ok(format!(
            "{} to {} in {} of {} h",
            short(span.since),
            short(span.until),
            span.slots().count(),
            span.slot / HOUR
        ))
    }

    #[test]
    fn times_are_whole_slots_that_end_with_the_present_one() {
        for (range, is) in [
            ("", "2026-11-23T10 to 2026-11-24T10 in 24 of 1 h"),
            ("24h", "2026-11-23T10 to 2026-11-24T10 in 24 of 1 h"),
            ("7d", "2026-11-17T12 to 2026-11-24T12 in 28 of 6 h"),
            ("30d", "2026-10-26T00 to 2026-11-25T00 in 30 of 24 h"),
        ] {
            assert_eq!(span(range, "", "").as_deref(), Ok(is), "{range}");
        }
        assert_eq!(span("1y", "", ""), Err(NO_RANGE));
    }

    #[test]
    fn own_days_are_whole_days_in_slots_that_are_still_there_and_not_too_many() {
        for (from, to, is) in [
            ("2026-11-24", "", Ok("2026-11-24T00 to 2026-11-25T00 in 24 of 1 h")),
            ("", "2026-11-20", Ok("2026-11-20T00 to 2026-11-21T00 in 24 of 1 h")),
            ("2026-11-20", "2026-11-24", Ok("2026-11-20T00 to 2026-11-25T00 in 20 of 6 h")),
            ("2026-11-01", "2026-11-24", Ok("2026-11-01T00 to 2026-11-25T00 in 24 of 24 h")),
            // Longer ago there are days alone.
            ("2026-03-01", "2026-03-01", Ok("2026-03-01T00 to 2026-03-02T00 in 1 of 24 h")),
            ("2026-01-01", "2026-11-24", Ok("2026-01-01T00 to 2026-11-26T00 in 47 of 168 h")),
            ("2026-11-24", "2026-11-23", Err(NO_TIME)),
            ("2020-01-01", "", Err(TOO_LONG)),
            ("yesterday", "", Err(NO_DAY)),
            ("2026-11-2x", "", Err(NO_DAY)),
            ("2026-02-31", "", Err(NO_DAY)),
            ("-999999-01", "", Err(NO_DAY)),
        ] {
            assert_eq!(span("", from, to).as_deref().map_err(|why| *why), is, "{from} {to}");
        }
    }

    #[test]
    fn slots_without_anything_are_there_too() -> Result<(), &'static str> {
        let span = Span::of(&Wanted::default(), Timestamp::from_millis(100 * HOUR))?;
        let filled = span.filled([(Timestamp::from_millis(80 * HOUR), 7)]);
        assert_eq!(filled.len(), 24);
        assert_eq!(filled.iter().filter(|(_, count)| *count > 0).count(), 1);
        assert!(filled.contains(&(Timestamp::from_millis(80 * HOUR), 7)));
        Ok(())
    }
}
