//! Every group: who says so, who is in it, and what names it.

use maud::{Markup, html};

use super::{
    super::{
        Account, Page, foreign,
        table::{Head, cell, table},
    },
    Tab, page,
};

/// What the page shows.
pub struct Groups<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Every group that anybody has.
    pub rows: Vec<GroupRow>,
    /// Groups that are named somewhere, and that nobody has.
    pub stale: Vec<StaleGroup>,
    /// What access lists let happen without a human being asked.
    pub unasked: Vec<Unasked>,
}

/// A server whose access list is wider than it is by itself.
pub struct Unasked {
    /// The server.
    pub server: String,
    /// What follows, as sentences.
    pub cautions: Vec<String>,
}

/// A group that somebody has.
pub struct GroupRow {
    /// Its name.
    pub name: String,
    /// Who says so: names of providers, their directories, or this gateway.
    pub sources: Vec<String>,
    /// How many active people and service accounts have it.
    pub members: usize,
    /// What names it: rules with their place, servers, roles.
    pub named_by: Vec<String>,
}

/// A group that nobody has.
pub struct StaleGroup {
    /// As it is named.
    pub name: String,
    /// What names it.
    pub named_by: Vec<String>,
}

/// The list of groups.
pub fn groups(view: &Groups<'_>) -> Page {
    page(
        Tab::Groups,
        "Groups",
        view.account,
        html! {
            section aria-labelledby="groups" {
                h1 id="groups" { "Groups" }
                p.lead { "What providers, their directories and this gateway say, and which rules, servers and roles go by it." }
                (unasked(&view.unasked))
                (stale(&view.stale))
                @if view.rows.is_empty() { div.card.empty { p.muted { "Nobody is in a group yet." } } }
                @else { (table("Groups", &HEADS, view.rows.iter().map(row))) }
            }
        },
    )
}

const HEADS: [Head; 4] = [Head::Seen("Group"), Head::Seen("Comes from"), Head::Seen("Members"), Head::Seen("Named by")];

fn stale(stale: &[StaleGroup]) -> Markup {
    html! {
        @if !stale.is_empty() {
            div.notice.warn role="note" aria-labelledby="stale" {
                h2 id="stale" { "Named, but nobody is in " @if stale.len() == 1 { "it" } @else { "them" } }
                p { "A mistyped name, a group that was renamed at the provider, or one whose people have not signed in yet." }
                ul.plain {
                    @for group in stale {
                        li { b { (foreign(&group.name)) } " — " (group.named_by.iter().map(|by| foreign(by)).collect::<Vec<_>>().join(", ")) }
                    }
                }
            }
        }
    }
}

fn unasked(unasked: &[Unasked]) -> Markup {
    html! {
        @if !unasked.is_empty() {
            div.notice.warn role="note" aria-labelledby="unasked" {
                h2 id="unasked" { "Allowed without asking anybody" }
                p { "Access lists that allow more than reading and writing. Without a word on it, everything but reading asks." }
                ul.plain {
                    @for server in unasked {
                        @for caution in &server.cautions { li { b { (foreign(&server.server)) } " — " (foreign(caution)) } }
                    }
                }
            }
        }
    }
}

fn row(group: &GroupRow) -> Markup {
    html! {
        (cell("Group", html! { b { (foreign(&group.name)) } }))
        (cell("Comes from", html! { ul.inline { @for source in &group.sources { li { (foreign(source)) } } } }))
        (cell("Members", html! {
            a href={ "/admin/people?" (url::form_urlencoded::Serializer::new(String::new()).append_pair("q", &group.name).finish()) } { (group.members) }
        }))
        (cell("Named by", html! {
            @if group.named_by.is_empty() { span.muted { "Nothing" } }
            @else { ul.lines { @for by in &group.named_by { li { (foreign(by)) } } } }
        }))
    }
}
