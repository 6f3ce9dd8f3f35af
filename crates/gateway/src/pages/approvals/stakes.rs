//! Whom something goes to and how much, out of the arguments of a call: told by their names, never by the server's text.
//!
//! spec: T-83

use maud::{Markup, html};
use portcullis_risk::Stake;

use super::arguments::{Json, revealed};

/// So many are told; the rest is counted, and stands in the arguments.
const MOST: usize = 20;
/// So much of one is told.
const LONGEST: usize = 200;

/// One value that somebody should look at.
#[derive(Debug, PartialEq, Eq)]
struct At<'a> {
    place: String,
    value: &'a str,
}

/// The lines about `arguments`; nothing if no name in them says anything.
pub fn lines(arguments: &Json) -> Markup {
    let (mut whom, mut how_much) = (Vec::new(), Vec::new());
    collect(arguments, String::new(), None, &mut |stake, at| match stake {
        Stake::Whom => whom.push(at),
        Stake::HowMuch => how_much.push(at),
    });
    html! {
        @if !(whom.is_empty() && how_much.is_empty()) {
            dl.facts {
                @for (label, all) in [("Goes to", &whom), ("Amount", &how_much)] {
                    @if !all.is_empty() {
                        div {
                            dt { (label) }
                            dd {
                                ul.lines { @for at in all.iter().take(MOST) { li { (told(at)) } } }
                                @if all.len() > MOST { p { b { (all.len() - MOST) " more" } ", in the arguments below" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn told(at: &At<'_>) -> Markup {
    let end = at.value.char_indices().nth(LONGEST).map(|(end, _)| end);
    let foreign = other_letters(at.value);
    html! {
        b { (revealed(&at.value[..end.unwrap_or(at.value.len())])) }
        @if let Some(end) = end {
            b { " … " (at.value[end..].chars().count()) " more characters" } ", in the arguments below"
        }
        span.small.muted { " (" (revealed(&at.place)) ")" }
        @if !foreign.is_empty() {
            div.small { "Not only letters of the English alphabet: " mark.unseen { (foreign) } }
        }
    }
}

/// Letters that may look like others, which makes of an address another one.
fn other_letters(text: &str) -> String {
    let mut found: Vec<char> = text.chars().filter(|letter| letter.is_alphabetic() && !letter.is_ascii()).collect();
    found.sort_unstable();
    found.dedup();
    found
        .iter()
        .take(MOST)
        .map(|letter| format!("{letter} U+{:04X}", u32::from(*letter)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Walks to every value that is not made of others; what has no stake of its own has that of what it is in.
fn collect<'a>(json: &'a Json, place: String, stake: Option<Stake>, tell: &mut impl FnMut(Stake, At<'a>)) {
    match json {
        Json::Members(members) => {
            for (name, member) in members {
                let dot = if place.is_empty() { "" } else { "." };
                collect(member, format!("{place}{dot}{name}"), Stake::of(name).or(stake), tell);
            }
        }
        Json::List(items) => {
            for (at, item) in items.iter().enumerate() {
                collect(item, format!("{place}[{at}]"), stake, tell);
            }
        }
        Json::Text(value) | Json::Plain(value) => {
            if let Some(stake) = stake.filter(|_| !["", "null", "true", "false"].contains(&value.as_str())) {
                tell(stake, At { place, value });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(arguments: &str) -> String {
        lines(&Json::read(Some(arguments)).unwrap()).0
    }

    // spec: T-83
    #[test]
    fn whom_and_how_much_are_told_wherever_they_stand() {
        let shown = shown(
            r#"{"aaa":"x","mail":{"to":["eve@ex\u0430mple.com","\u202eada"],"subject":"to mallory"},"payment":{"amount":9007199254740993,"currency":"EUR"}}"#,
        );
        let (whom, how_much) = shown.split_once("<dt>Amount</dt>").unwrap();
        for needed in
            ["Goes to", "eve@ex\u{430}mple.com", "mail.to[0]", "U+0430", "<mark class=\"unseen\">U+202E</mark>ada"]
        {
            assert!(whom.contains(needed), "{needed} in {whom}");
        }
        for needed in ["9007199254740993", "payment.amount", "EUR"] {
            assert!(how_much.contains(needed), "{needed} in {how_much}");
        }
        assert!(!shown.contains("mallory") && !shown.contains('\u{202e}'), "{shown}");
    }

    // spec: T-83
    #[test]
    fn what_is_too_much_is_counted() {
        assert_eq!(shown(r#"{"id":1,"note":"x","to":"","cc":null}"#), "");
        let many: Vec<_> = (0..25).map(|n| format!("\"a{n}@example.com\"")).collect();
        assert!(shown(&format!("{{\"to\":[{}]}}", many.join(","))).contains("5 more"));
        let long = shown(&format!("{{\"to\":\"{}\"}}", "é".repeat(300)));
        assert!(long.contains("100 more characters") && long.contains("U+00E9"), "{long}");
    }
}
