//! What happened: events found by what one knows of them, and the story of one call.

use maud::{Markup, html};
use portcullis_audit::IndexRow;
use portcullis_base::printable;
use url::form_urlencoded::Serializer;

use super::{
    super::{
        Account, Page, foreign,
        form::field,
        moment,
        table::{Head, cell, table},
    },
    Tab, page,
};

/// What the list shows.
pub struct Audit<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// What was asked for: the name of each condition and what was typed.
    pub asked: [(&'static str, &'a str); 18],
    /// The events of this page.
    pub rows: Vec<EventRow>,
    /// Whether there are newer ones before it.
    pub later: bool,
    /// Where the next page begins.
    pub next: Option<String>,
    /// What is wrong with the question.
    pub wrong: Option<&'static str>,
}

/// One event.
pub struct EventRow {
    /// What it is found by.
    pub row: IndexRow,
    /// Its other facts.
    pub details: Vec<(String, String)>,
}

/// The story of a call.
pub struct Story<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Which call.
    pub call: &'a str,
    /// Its events, the oldest first.
    pub chapters: Vec<Chapter>,
    /// What becomes of arguments and results.
    pub content: Content,
}

/// One event of a story.
pub struct Chapter {
    /// How long after the first one, in milliseconds.
    pub after_ms: i64,
    /// What happened.
    pub event: EventRow,
}

/// Whether arguments and results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// None were kept.
    None,
    /// The reader may ask for them.
    Offered,
    /// They are not for this reader.
    Withheld,
    /// They are.
    Shown,
}

/// The longest detail that is shown, in characters.
const LONGEST: usize = 4000;

const LABELS: [(&str, &str, &str); 18] = [
    ("text", "Part of a name", "Person, server, tool, client or rule"),
    ("person", "Person", "Account name or identifier"),
    ("server", "Server", ""),
    ("name", "Tool or other object", ""),
    ("kind", "Event", "Or its beginning: call., token."),
    ("outcome", "Outcome", ""),
    ("since", "From (UTC)", "2026-11-23, 2026-11-23T04:00 or 24h"),
    ("until", "Until (UTC)", ""),
    ("client", "Client", ""),
    ("effect", "Decision", ""),
    ("rule", "Rule", ""),
    ("method", "Method", ""),
    ("address", "Address", ""),
    ("call", "Call", ""),
    ("request", "Request", ""),
    ("trace", "Trace", ""),
    ("approval", "Approval", ""),
    ("grant", "Grant or token", ""),
];
/// So many conditions are always in sight.
const IN_SIGHT: usize = 8;
const OUTCOMES: [&str; 5] = ["success", "failure", "denied", "timeout", "unknown"];
const EFFECTS: [&str; 4] = ["allow", "ask", "step_up", "deny"];

/// The list of events.
pub fn audit(view: &Audit<'_>) -> Page {
    let is_set = |(_, value): &&(&str, &str)| !value.trim().is_empty();
    let asked = view.asked.iter().filter(is_set).count();
    page(
        Tab::Audit,
        "Audit trail",
        view.account,
        html! {
            section aria-labelledby="audit" {
                h1 id="audit" { "Audit trail" }
                @if let Some(why) = view.wrong { div.notice.bad role="alert" id="wrong" { p { (why) } } }
                (form(view))
                p.muted role="status" {
                    @match (view.rows.len(), view.later) {
                        (0, true) => { "No older events. " }
                        (0, false) => { "Nothing was found. What has just happened may take a moment to be found. " }
                        (1, _) => { "1 event. " }
                        (count, _) => { (count) " events, the newest first. " }
                    }
                    @if asked > 0 || view.later { a href="/admin/audit" { "Show the newest of all" } }
                }
                @if !view.rows.is_empty() { (table("Events", &HEADS, view.rows.iter().map(row))) }
                @if view.later || view.next.is_some() {
                    nav.pager aria-label="Pages" {
                        @if view.later { a.button.small-button rel="first" href=(address(&view.asked, None)) { "Newest" } }
                        @if let Some(next) = &view.next { a.button.small-button rel="next" href=(address(&view.asked, Some(next))) { "Older" } }
                    }
                }
            }
        },
    )
}

/// The list of what these conditions say.
pub(super) fn address(asked: &[(&str, &str)], cursor: Option<&str>) -> String {
    let set = asked.iter().filter(|(_, value)| !value.trim().is_empty());
    let query =
        Serializer::new(String::new()).extend_pairs(set).extend_pairs(cursor.map(|cursor| ("cursor", cursor))).finish();
    if query.is_empty() { "/admin/audit".into() } else { format!("/admin/audit?{query}") }
}

fn form(view: &Audit<'_>) -> Markup {
    let (first, others) = view.asked.split_at(IN_SIGHT);
    let open = others.iter().any(|(_, value)| !value.trim().is_empty());
    html! {
        form.card.stack role="search" method="get" action="/admin/audit" aria-describedby=[view.wrong.map(|_| "wrong")] {
            div.fields { @for (name, value) in first { (condition(name, value)) } }
            details open[open] {
                summary { "More conditions" }
                div.fields.below { @for (name, value) in others { (condition(name, value)) } }
            }
            div.row { button.primary type="submit" { "Search" } }
        }
    }
}

fn condition(name: &'static str, value: &str) -> Markup {
    let (_, label, hint) = LABELS.iter().find(|(known, ..)| *known == name).copied().unwrap_or((name, name, ""));
    let choices: &[&str] = match name {
        "outcome" => &OUTCOMES,
        "effect" => &EFFECTS,
        _ => &[],
    };
    let hint_id = format!("{name}-hint");
    let described = (!hint.is_empty()).then_some(&hint_id);
    field(
        name,
        label,
        html! {
            @if choices.is_empty() {
                input id=(name) name=(name) type="text" maxlength="2048" autocapitalize="none" autocomplete="off"
                    spellcheck="false" value=(printable(value, 2048)) aria-describedby=[described];
            } @else {
                select id=(name) name=(name) {
                    option value="" { "Any" }
                    @for choice in choices { option value=(choice) selected[*choice == value] { (choice) } }
                }
            }
            @if !hint.is_empty() { p.hint id=(hint_id) { (hint) } }
        },
    )
}

const HEADS: [Head; 5] =
    [Head::Seen("Time"), Head::Seen("Event"), Head::Seen("Who"), Head::Seen("What"), Head::Seen("Outcome")];

fn row(event: &EventRow) -> Markup {
    let row = &event.row;
    html! {
        (cell("Time", html! { span.small { (moment::date(row.at)) } }))
        (cell("Event", html! {
            code { (foreign(&row.kind)) }
            @if let Some(call) = &row.call { div.small { a href=(story_of(call)) { "Story of the call" } } }
        }))
        (cell("Who", who(row)))
        (cell("What", what(row)))
        (cell("Outcome", html! { (outcome(row)) (more(event)) }))
    }
}

fn who(row: &IndexRow) -> Markup {
    html! {
        @match (row.person.as_deref(), row.person_name.as_deref()) {
            (Some(person), name) => { (link("person", person, name.unwrap_or(person))) }
            (None, Some(name)) => { (link("person", name, name)) }
            (None, None) => { span.muted { "Nobody in particular" } }
        }
        @if let Some(client) = &row.client { div.small { (link("client", client, client)) } }
        @if let Some(from) = &row.address { div.small { (link("address", from, from)) } }
    }
}

fn what(row: &IndexRow) -> Markup {
    html! {
        @if let Some(name) = &row.name { (link("name", name, name)) }
        @if row.server.is_some() || row.method.is_some() {
            div.small {
                @if let Some(server) = &row.server { (link("server", server, server)) " " }
                @if let Some(method) = &row.method { span.muted { (foreign(method)) } }
            }
        }
    }
}

fn outcome(row: &IndexRow) -> Markup {
    let word = row.outcome.as_deref().or(row.effect.as_deref());
    let look = match word {
        Some("success" | "allow") => "tag good",
        Some("denied" | "deny" | "failure") => "tag bad",
        Some(_) => "tag warn",
        None => "",
    };
    html! {
        @if let Some(word) = word { span class=(look) { (foreign(word)) } }
        @if let Some(rule) = &row.rule { div.small { "by " (link("rule", rule, rule)) } }
    }
}

/// Everything else that the event says, and the ways to what belongs to it.
fn more(event: &EventRow) -> Markup {
    let row = &event.row;
    let ties = [
        ("request", "Request", &row.request),
        ("trace", "Trace", &row.trace),
        ("approval", "Approval", &row.approval),
        ("grant", "Grant", &row.grant),
        ("grant", "Token", &row.token),
    ];
    let shown = |name: &str| ["approval", "grant", "token"].contains(&name);
    html! {
        details.small {
            summary { "Details" }
            dl.facts {
                @for (name, label, value) in ties {
                    @if let Some(value) = value { div { dt { (label) } dd { (link(name, value, value)) } } }
                }
                @if let Some(revision) = &row.revision { div { dt { "Revision of the rules" } dd { (foreign(revision)) } } }
                @for (name, value) in event.details.iter().filter(|(name, _)| !shown(name)) {
                    div { dt { (foreign(name)) } dd { (printable(value, LONGEST)) } }
                }
                div { dt { "Place in the journal" } dd { (foreign(&row.node)) ", number " (row.seq) } }
                div { dt { "Exact time" } dd { (row.at) } }
            }
        }
    }
}

/// Everything about one of something.
fn link(condition: &str, value: &str, shown: &str) -> Markup {
    html! { a href=(address(&[(condition, value)], None)) { (foreign(shown)) } }
}

fn story_of(call: &str) -> String {
    // An identifier of ours has nothing that an address would read; whatever else stands there leads to no call.
    let plain = call.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if plain { format!("/admin/audit/calls/{call}") } else { address(&[("call", call)], None) }
}

/// The story of one call.
pub fn story(view: &Story<'_>) -> Page {
    let Story { account, call, chapters, content } = view;
    page(
        Tab::Audit,
        "Story of a call",
        *account,
        html! {
            section aria-labelledby="story" {
                h1 id="story" { "Story of a call" }
                p { code.whole { (foreign(call)) } }
                @match content {
                    Content::None => {}
                    Content::Offered => {
                        div.notice {
                            p { "Arguments or results were kept. " a href={ (story_of(call)) "?arguments=yes" } { "Show them" }
                                "; that you looked is recorded." }
                        }
                    }
                    Content::Withheld => { div.notice { p { "Arguments or results were kept. They are shown to auditors." } } }
                    Content::Shown => { div.notice.warn role="status" { p { "Arguments and results are shown, and that you looked is recorded." } } }
                }
                ol.story { @for chapter in chapters { li.card { (told(chapter)) } } }
                p { (link("call", call, "All events of the call")) }
            }
        },
    )
}

fn told(Chapter { after_ms, event }: &Chapter) -> Markup {
    let row = &event.row;
    let number = |name: &str| {
        event.details.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.parse::<i64>().ok())
    };
    let sizes = [("request_bytes", "in"), ("response_bytes", "out"), ("bytes_in", "in"), ("bytes_out", "out")];
    html! {
        div.heading {
            h2 { code { (foreign(&row.kind)) } " " (outcome_tag(row)) }
            span.small.muted { (moment::date(row.at)) @if *after_ms > 0 { ", " (milliseconds(*after_ms)) " later" } }
        }
        div.small { (who(row)) (what(row)) }
        @if let Some(rule) = &row.rule { p.small { "Decided by " (link("rule", rule, rule)) } }
        p.small.muted {
            @if let Some(micros) = number("duration_us") { "Took " (milliseconds_of(micros)) ". " }
            @if let Some(micros) = number("upstream_us") { (milliseconds_of(micros)) " of it at the server. " }
            @for (name, way) in sizes { @if let Some(bytes) = number(name) { (bytes) " bytes " (way) ". " } }
        }
        (more(event))
    }
}

fn outcome_tag(row: &IndexRow) -> Markup {
    let alone = IndexRow { rule: None, ..row.clone() };
    outcome(&alone)
}

fn milliseconds(ms: i64) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { format!("{} s", ms / 1000) }
}

fn milliseconds_of(micros: i64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: T-93
    #[test]
    fn what_events_say_cannot_lead_elsewhere() {
        assert_eq!(story_of("call_aB-9"), "/admin/audit/calls/call_aB-9");
        assert_eq!(story_of("../people?x=\"<"), "/admin/audit?call=..%2Fpeople%3Fx%3D%22%3C");
        let markup = link("person", "a&b=\"><script>", "<b>\u{202e}x").0;
        assert!(!markup.contains("<script>") && !markup.contains("<b>") && !markup.contains('\u{202e}'), "{markup}");
        assert!(markup.contains("/admin/audit?person=a%26b%3D%22%3E%3Cscript%3E"), "{markup}");
    }
}
