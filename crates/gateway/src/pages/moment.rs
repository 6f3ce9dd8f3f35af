//! Moments, told as a person would.

use std::ops::Range;

use maud::{Markup, html};
use portcullis_base::Timestamp;

/// A moment that has passed: "5 minutes ago", with the exact time behind it.
pub fn past(now: Timestamp, then: Timestamp) -> Markup {
    exact(then, &ago(now, then))
}

/// The same where there may have been none.
pub fn past_or(now: Timestamp, then: Option<Timestamp>, never: &str) -> Markup {
    html! { @match then { Some(then) => (past(now, then)), None => { span.muted { (never) } } } }
}

/// A moment to come: "in 5 days", with the exact time behind it.
pub fn future(now: Timestamp, then: Timestamp) -> Markup {
    let text = if then <= now { "over".to_owned() } else { format!("in {}", spoken(now, then)) };
    exact(then, &text)
}

/// The day and the minute, in UTC.
pub fn date(then: Timestamp) -> Markup {
    let text = then.to_string();
    let shown = text.get(..16).map_or(text.as_str(), |shown| shown).replace('T', " ");
    exact(then, &format!("{shown} UTC"))
}

/// The minute, as `2026-11-23 04:00`; everything around it says that it is UTC.
pub fn minute(then: Timestamp) -> String {
    part(then, 0..16).replace('T', " ")
}

/// The day, as `2026-11-23`.
pub fn day(then: Timestamp) -> String {
    part(then, 0..10)
}

/// The time of the day, as `04:00`.
pub fn clock(then: Timestamp) -> String {
    part(then, 11..16)
}

/// The day without its year, as `Nov 23`.
pub fn short_day(then: Timestamp) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number = |range| part(then, range).parse::<usize>().unwrap_or_default();
    let month = MONTHS.get(number(5..7).wrapping_sub(1)).copied().unwrap_or_default();
    format!("{month} {}", number(8..10))
}

fn part(then: Timestamp, range: Range<usize>) -> String {
    then.to_string().get(range).unwrap_or_default().to_owned()
}

fn exact(then: Timestamp, text: &str) -> Markup {
    html! { time datetime=(then.to_string()) title=(then.to_string()) { (text) } }
}

fn ago(now: Timestamp, then: Timestamp) -> String {
    if now.since(then).as_secs() < 60 { "Just now".into() } else { format!("{} ago", spoken(then, now)) }
}

fn spoken(from: Timestamp, to: Timestamp) -> String {
    let minutes = to.since(from).as_secs() / 60;
    let (count, unit) = match minutes {
        0 => return "less than a minute".into(),
        1..60 => (minutes, "minute"),
        60..1440 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_the_unit_a_person_would_use() {
        let now = Timestamp::from_secs(1_000_000);
        let before = |secs: i64| ago(now, Timestamp::from_secs(1_000_000 - secs));
        assert_eq!(before(59), "Just now");
        assert_eq!(before(-59), "Just now");
        assert_eq!(before(60), "1 minute ago");
        assert_eq!(before(7_200), "2 hours ago");
        assert_eq!(before(90_000), "1 day ago");
        let after = |secs: i64| future(now, Timestamp::from_secs(1_000_000 + secs)).0;
        assert!(after(30).contains(">in less than a minute<"));
        assert!(after(90 * 86_400).contains(">in 90 days<"));
        assert!(after(0).contains(">over<"));
        let then = Timestamp::from_secs(1_800_000_000);
        assert!(date(then).0.contains(">2027-01-15 08:00 UTC<"));
        assert_eq!(minute(then), "2027-01-15 08:00");
        assert_eq!([day(then), short_day(then), clock(then)], ["2027-01-15", "Jan 15", "08:00"]);
    }
}
