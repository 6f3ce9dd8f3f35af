//! What goes on: numbers over time, who and what calls most, what is out of the ordinary, and rights that nobody uses.

mod charts;
mod lists;

use maud::{Markup, html};
use portcullis_base::{Timestamp, printable};
use portcullis_store::Counts;
use url::form_urlencoded::Serializer;

use super::{
    super::{
        Account, Page, chart,
        form::field,
        number::{count, counted, duration, share},
    },
    Tab,
    audit::address,
    page,
};
use crate::insight::{Chosen, Insight, Named, Span, Wanted};

/// Lines that are not counted yet are told of from so many on: a few are always on their way.
const BEHIND: i64 = 500;

/// What the page shows.
pub struct View<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// What was asked for.
    pub asked: &'a Wanted,
    /// The numbers, or what is wrong with the question.
    pub found: Result<&'a Insight, &'static str>,
    /// What people and clients are called.
    pub named: &'a Named,
    /// How many lines of this node's journal are not counted yet.
    pub behind: i64,
    /// The present moment.
    pub now: Timestamp,
}

/// The page.
pub fn insight(view: &View<'_>) -> Page {
    page(
        Tab::Insight,
        "What goes on",
        view.account,
        html! {
            section aria-labelledby="insight" {
                h1 id="insight" { "What goes on" }
                p.lead { "Counted from the audit trail, a moment after it is written. All times are UTC." }
                (times(view))
                @if view.behind >= BEHIND {
                    div.notice.warn role="status" { p { (counted(view.behind, "line")) " of this node's journal are not counted yet. The newest numbers are too small until they are." } }
                }
                @match view.found {
                    Err(why) => { div.notice.bad role="alert" id="wrong" { p { (why) } } }
                    Ok(insight) if !insight.is_quiet() => { (summary(insight)) }
                    Ok(_) => {}
                }
            }
            @if let Ok(insight) = view.found {
                @if insight.is_quiet() { (nothing(insight)) } @else {
                    (charts::charts(insight))
                }
                (lists::notices(insight, view.named))
                @if !insight.is_quiet() { (lists::most(insight, view.named)) }
                (lists::unused(insight, view))
            }
        },
    )
}

/// The times that are offered, and two fields for days of one's own.
fn times(view: &View<'_>) -> Markup {
    let chosen = view.found.ok().map(|insight| insight.span.chosen);
    let label = |chosen| match chosen {
        Chosen::Day => "24 hours",
        Chosen::Week => "7 days",
        Chosen::Month => "30 days",
        Chosen::Own => "Own days",
    };
    let input = |name: &'static str, value: &str| {
        html! {
            input id=(name) name=(name) type="date" value=(printable(value, 20)) aria-describedby=[view.found.is_err().then_some("wrong")];
        }
    };
    html! {
        div.times {
            nav.ranges aria-label="Time" {
                @for offered in Chosen::OFFERED {
                    a href={ "/admin/insight?range=" (offered.as_str()) } aria-current=[(chosen == Some(offered)).then_some("true")] { (label(offered)) }
                }
            }
            details open[chosen == Some(Chosen::Own) || view.found.is_err()] {
                summary { "Other days" }
                form.days method="get" action="/admin/insight" {
                    (field("from", "First day", input("from", &view.asked.from)))
                    (field("to", "Last day", input("to", &view.asked.to)))
                    button type="submit" { "Show" }
                }
            }
        }
    }
}

/// The audit trail of a time, of what these conditions say.
fn trail(since: Timestamp, until: Timestamp, conditions: &[(&str, &str)]) -> String {
    let (since, until) = (since.to_string(), until.to_string());
    address(&[conditions, &[("since", &since), ("until", &until)]].concat(), None)
}

/// A few numbers, each with the line of how it came about.
fn summary(insight: &Insight) -> Markup {
    let (Span { since, until, .. }, total) = (insight.span, &insight.total);
    let over = |of: fn(&Counts) -> i64| insight.over_time.iter().map(|(_, counts)| of(counts)).collect::<Vec<_>>();
    let to = |conditions: &[(&str, &str)]| trail(since, until, conditions);
    let approvals = format!(
        "{} granted, {} refused, {} expired",
        count(total.approvals_granted),
        count(total.approvals_refused),
        count(total.approvals_expired)
    );
    let tiles = [
        (
            "Calls",
            total.calls(),
            format!("{} let through", count(total.allowed)),
            to(&[("kind", "call.decided")]),
            over(Counts::calls),
        ),
        (
            "Errors",
            total.errors(),
            format!("{} of the calls that ended", share(total.errors(), total.ended())),
            to(&[("kind", "call.ended"), ("outcome", "failure")]),
            over(Counts::errors),
        ),
        (
            "Denied",
            total.refused(),
            format!("{} of all calls", share(total.refused(), total.calls())),
            to(&[("kind", "call.decided"), ("effect", "deny")]),
            over(Counts::refused),
        ),
        (
            "Approvals asked for",
            total.approvals_asked,
            approvals,
            to(&[("kind", "approval.")]),
            over(|counts| counts.approvals_asked),
        ),
    ];
    html! {
        ul.tiles {
            @for (label, number, detail, to, values) in tiles {
                li.card {
                    a.label href=(to) { (label) }
                    b.figure-large { (count(number)) }
                    (chart::sparkline(&values))
                    span.small.muted { (detail) }
                }
            }
            @if let (Some(median), Some(most)) = (insight.latency_total.quantile(0.5), insight.latency_total.quantile(0.95)) {
                li.card {
                    span.label { "Time of a call" }
                    b.figure-large { (duration(median)) }
                    span.small.muted { "Half of them took no longer; 95\u{a0}% no longer than " (duration(most)) "." }
                }
            }
        }
    }
}

fn nothing(insight: &Insight) -> Markup {
    html! {
        section.card.empty {
            h2 { "Nothing was called in this time" }
            @if insight.span.chosen == Chosen::Month {
                p.muted { "Numbers appear here with the first call. Connect a client to one of the servers: how to, stands on " a href="/" { "the home page" } "." }
            } @else {
                p.muted { "Look at " a href="/admin/insight?range=30d" { "the last 30 days" } ", or connect a client to one of the servers: how to, stands on " a href="/" { "the home page" } "." }
            }
        }
    }
}

impl Insight {
    fn is_quiet(&self) -> bool {
        let total = &self.total;
        total.calls() + total.ended() + total.approvals_asked == 0
    }
}

/// The page of connections, of what these conditions say.
fn connections(conditions: &[(&str, &str)]) -> String {
    format!("/admin/connections?{}", Serializer::new(String::new()).extend_pairs(conditions).finish())
}

/// The page of a person, if the identifier is one of ours.
fn person_page(id: &str) -> Option<String> {
    let is_ours = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    is_ours.then(|| format!("/admin/people/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: T-93
    #[test]
    fn what_was_counted_cannot_lead_elsewhere() {
        assert_eq!(person_page("usr_a-B9").as_deref(), Some("/admin/people/usr_a-B9"));
        assert_eq!(person_page("../x"), None);
        assert_eq!(person_page(""), None);
        let at = Timestamp::from_secs(1_800_000_000);
        let link = trail(at, at, &[("name", "a&b=\"><script>")]);
        assert!(
            link.starts_with("/admin/audit?name=a%26b%3D%22%3E%3Cscript%3E&since=2027-01-15T08%3A00%3A00.000Z&until="),
            "{link}"
        );
        assert_eq!(connections(&[("server", "a b&")]), "/admin/connections?server=a+b%26");
    }
}
