//! What is out of the ordinary, who and what calls most, and what could be taken away.

use maud::{Markup, html};
use portcullis_base::Timestamp;
use portcullis_store::{Histogram, OTHERS, Thing, Top, Unused, UnusedKind};

use super::{
    super::super::{
        chart, foreign, moment,
        number::{count, counted, duration},
        table::{Head, cell, table},
    },
    View, connections, person_page, trail,
};
use crate::{
    insight::{DAY, Insight, Named, Notice, Strange, UNUSED_DAYS, UNUSED_MOST},
    pages::admin::may_change,
};

/// Notices that are shown.
pub(super) const NOTICES: usize = 30;
/// Names that one of them tells.
const NAMES: usize = 6;

/// What is out of the ordinary.
pub(super) fn notices(insight: &Insight, named: &Named) -> Markup {
    let more = insight.notices.len().saturating_sub(NOTICES);
    html! {
        section aria-labelledby="notices" {
            h2.large id="notices" { "Out of the ordinary" }
            p.lead { "Each person held against their own past. These are notices: nothing is blocked by them." }
            @if insight.notices.is_empty() {
                div.card.empty { p.muted { "Nothing in this time. Whoever was first seen less than a week ago is not held against anything." } }
            } @else {
                ul.card.plain.notices { @for notice in insight.notices.iter().take(NOTICES) { li { (told(notice, named)) } } }
                @if more > 0 { p.small.muted { "And " (counted(more as i64, "older notice")) ". Choose a shorter time to see them." } }
            }
        }
    }
}

fn told(notice: &Notice, named: &Named) -> Markup {
    let until = Timestamp::from_millis(notice.at.as_millis() + DAY);
    let to = |conditions: &[(&str, &str)]| {
        trail(notice.at, until, &[&[("person", notice.person.as_str())], conditions].concat())
    };
    let (when, what, to) = match &notice.what {
        Strange::New { thing, server, names } => {
            let which = names.first().map_or("", String::as_str);
            let conditions: &[_] = match (thing, names.len()) {
                (Thing::Tool, 1) => &[("server", server.as_str()), ("name", which)],
                (Thing::Tool, _) => &[("server", server.as_str())],
                (Thing::Server, 1) => &[("server", which)],
                (Thing::Client, 1) => &[("client", which)],
                _ => &[("kind", "call.")],
            };
            (moment::date(notice.at), new(*thing, server, names, named), to(conditions))
        }
        Strange::Volume { calls, usual } => {
            let what = html! { "made " b { (counted(*calls, "call")) } " in a day. On a day like others it is " (count(*usual)) "." };
            (html! { (moment::day(notice.at)) }, what, to(&[("kind", "call.decided")]))
        }
    };
    html! {
        div { b { (foreign(named.person(&notice.person))) } " " (what) }
        div.small.muted { (when) ". " a href=(to) { "Show what happened" } }
    }
}

fn new(thing: Thing, server: &str, names: &[String], named: &Named) -> Markup {
    let word = match (thing, names.len()) {
        (Thing::Tool, 1) => "a tool",
        (Thing::Tool, _) => "tools",
        (Thing::Server, 1) => "a server",
        (Thing::Server, _) => "servers",
        (Thing::Client, 1) => "a client",
        (Thing::Client, _) => "clients",
    };
    let more = names.len().saturating_sub(NAMES);
    html! {
        "used " (word) " for the first time: "
        @for (at, name) in names.iter().take(NAMES).enumerate() {
            @if at > 0 { ", " }
            b { @if thing == Thing::Client { (foreign(named.client(name))) } @else { (foreign(name)) } }
        }
        @if more > 0 { " and " (more) " more" }
        @if !server.is_empty() { " at " (foreign(server)) }
        "."
    }
}

/// Tools, people, clients and servers with the most calls.
pub(super) fn most(insight: &Insight, named: &Named) -> Markup {
    html! {
        section aria-labelledby="most" {
            h2.large id="most" { "Most calls" }
            div.pairs {
                (ranks(insight, "Tools, prompts and resources", "Tool", &insight.tools, |top| {
                    (vec![("server", top.server.clone()), ("name", top.name.clone())], top.name.clone(), Some(top.server.clone()))
                }))
                (ranks(insight, "People", "Person", &insight.people, |top| {
                    (vec![("person", top.name.clone())], named.person(&top.name).to_owned(), None)
                }))
                (ranks(insight, "Clients", "Client", &insight.clients, |top| {
                    let name = named.client(&top.name);
                    (vec![("client", top.name.clone())], name.to_owned(), (name != top.name).then(|| top.name.clone()))
                }))
                (ranks(insight, "Servers", "Server", &insight.servers, |top| {
                    (vec![("server", top.server.clone())], top.server.clone(), insight.latency_of_servers.get(&top.server).and_then(times))
                }))
            }
        }
    }
}

fn times(histogram: &Histogram) -> Option<String> {
    let (half, most) = (histogram.quantile(0.5)?, histogram.quantile(0.95)?);
    Some(format!("Median {}, 95\u{a0}% within {}", duration(half), duration(most)))
}

/// Conditions that find one of them, its name, and what stands below that.
type Shown = (Vec<(&'static str, String)>, String, Option<String>);

fn ranks(
    insight: &Insight,
    title: &'static str,
    head: &'static str,
    all: &[Top],
    shown: impl Fn(&Top) -> Shown,
) -> Markup {
    let most = all.iter().map(|top| top.counts.calls()).max().unwrap_or_default();
    let rows = all.iter().map(|top| {
        let (conditions, name, below) = shown(top);
        let conditions: Vec<_> = conditions.iter().map(|(name, value)| (*name, value.as_str())).collect();
        html! {
            (cell(head, html! {
                @if name == OTHERS { span { "All others" } }
                @else { a href=(trail(insight.span.since, insight.span.until, &conditions)) { (foreign(&name)) } }
                @if let Some(below) = below { div.small.muted { (foreign(&below)) } }
            }))
            (cell("Calls", html! { (count(top.counts.calls())) (chart::bar(top.counts.calls(), most)) }))
            (cell("Errors", html! { (count(top.counts.errors())) }))
            (cell("Denied", html! { (count(top.counts.refused())) }))
        }
    });
    html! {
        div.part.compact {
            h3 { (title) }
            @if all.is_empty() { div.card.empty { p.muted { "None." } } }
            @else { (table(title, &[head, "Calls", "Errors", "Denied"].map(Head::Seen), rows)) }
        }
    }
}

const UNUSED: [Head; 5] =
    [Head::Seen("Right"), Head::Seen("Whose"), Head::Seen("Good for"), Head::Seen("Made"), Head::Seen("Last used")];

/// Rights that nobody uses.
pub(super) fn unused(insight: &Insight, view: &View<'_>) -> Markup {
    let of_kind = |kind| insight.unused.iter().filter(move |unused| unused.kind == kind);
    let kinds =
        [UnusedKind::Client, UnusedKind::AccessKey, UnusedKind::Access, UnusedKind::Standing, UnusedKind::Connection];
    let is_cut = kinds.into_iter().any(|kind| of_kind(kind).count() > UNUSED_MOST);
    let rows = kinds.into_iter().flat_map(|kind| of_kind(kind).take(UNUSED_MOST)).map(|unused| row(unused, view));
    html! {
        section aria-labelledby="unused" {
            h2.large id="unused" { "Rights that nobody uses" }
            p.lead { "Made more than " (UNUSED_DAYS) " days ago and not used since then: what could be taken away." }
            @if insight.unused.is_empty() {
                div.card.empty { p.muted { "There are none." } }
            } @else {
                (table("Rights that nobody uses", &UNUSED, rows))
                @if is_cut { p.small.muted { "Of each kind the " (UNUSED_MOST) " that were not used for the longest time are shown. There are more." } }
            }
        }
    }
}

fn row(unused: &Unused, view: &View<'_>) -> Markup {
    let Unused { kind, person, name, place, made_at, used_at, .. } = unused;
    let is_shared = person == "shared";
    let (word, name) = match kind {
        UnusedKind::Client => ("Application with access", view.named.client(name)),
        UnusedKind::AccessKey => ("Access key", name.as_str()),
        UnusedKind::Access => ("Right to use a server", name.as_str()),
        UnusedKind::Standing => ("Calls approved ahead", name.as_str()),
        UnusedKind::Connection => ("Account at a server", ""),
    };
    let whose = view.named.person(person);
    // Where it can be taken away.
    let to = match kind {
        UnusedKind::Client | UnusedKind::AccessKey => person_page(person),
        _ if !may_change(view.account) => None,
        UnusedKind::Access | UnusedKind::Standing => Some("/grants".to_owned()),
        UnusedKind::Connection => Some(connections(&[("server", place.as_str())])),
    };
    html! {
        (cell("Right", html! {
            @match &to { Some(to) => { a href=(to) { (word) } }, None => { (word) } }
            @if !name.is_empty() { div.small.muted { (foreign(name)) } }
        }))
        (cell("Whose", html! { @if is_shared { span.muted { "Everybody's" } } @else { (foreign(whose)) } }))
        (cell("Good for", html! { (foreign(place)) }))
        (cell("Made", moment::past(view.now, *made_at)))
        (cell("Last used", match (kind, used_at) {
            (UnusedKind::Access, _) => html! { span.muted { "Not in " (UNUSED_DAYS) " days" } },
            (_, used_at) => moment::past_or(view.now, *used_at, "Never"),
        }))
    }
}
