//! Moments, told as a person would.

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
        assert!(date(Timestamp::from_secs(1_800_000_000)).0.contains(">2027-01-15 08:00 UTC<"));
    }
}
