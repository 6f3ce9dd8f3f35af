//! Everybody with an account, a page at a time.

use maud::{Markup, html};
use portcullis_base::Timestamp;

use super::{
    super::{
        Account, Page, foreign, moment,
        table::{Head, cell, table},
    },
    Tab, page,
};

/// What the list shows.
pub struct People<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// The rows of this page.
    pub rows: Vec<PersonRow>,
    /// What was looked for.
    pub filter: &'a str,
    /// Which page of how many, and how many rows in all.
    pub paging: Paging,
    /// The present moment.
    pub now: Timestamp,
}

/// Where in a long list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// From 1.
    pub page: usize,
    /// At least 1.
    pub pages: usize,
    /// Rows on all pages together.
    pub total: usize,
}

/// Whether an account may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It may.
    Active,
    /// It was switched off.
    Disabled(Timestamp),
}

/// One person.
pub struct PersonRow {
    /// Their identifier.
    pub id: String,
    /// The account name.
    pub name: String,
    /// The name to show.
    pub display_name: String,
    /// Mail address, if known.
    pub email: Option<String>,
    /// Whether the account may be used.
    pub state: State,
    /// The greatest role, if it is more than that of a member.
    pub role: Option<&'static str>,
    /// Names of the providers that they sign in with; empty for a local account.
    pub providers: Vec<String>,
    /// When they last signed in with one of them.
    pub signed_in_at: Option<Timestamp>,
    /// Their groups.
    pub groups: Vec<String>,
}

/// So many groups are named in a row.
const GROUPS_SHOWN: usize = 4;

impl Paging {
    /// The way to the pages beside this one, each at its address; nothing if there is one page.
    pub(super) fn links(self, address: impl Fn(usize) -> String) -> Markup {
        let Self { page, pages, .. } = self;
        html! {
            @if pages > 1 {
                nav.pager aria-label="Pages" {
                    @if page > 1 { a.button.small-button rel="prev" href=(address(page - 1)) { "Previous" } }
                    span.small.muted { "Page " (page) " of " (pages) }
                    @if page < pages { a.button.small-button rel="next" href=(address(page + 1)) { "Next" } }
                }
            }
        }
    }

    /// Page `page` of `total` rows, `per_page` of them each; the nearest page there is.
    pub fn of(total: usize, per_page: usize, page: usize) -> Self {
        let pages = total.div_ceil(per_page).max(1);
        Self { page: page.clamp(1, pages), pages, total }
    }
}

/// The list of people.
pub fn people(view: &People<'_>) -> Page {
    page(
        Tab::People,
        "People",
        view.account,
        html! {
            section aria-labelledby="people" {
                div.heading {
                    h1 id="people" { "People" }
                    form.filter role="search" method="get" action="/admin/people" {
                        label.visually-hidden for="filter" { "Name, e-mail or group" }
                        input id="filter" name="q" type="search" maxlength="100" placeholder="Name, e-mail or group"
                            value=(foreign(view.filter)) autocapitalize="none" spellcheck="false";
                        button type="submit" { "Search" }
                    }
                }
                (count(view))
                @if !view.rows.is_empty() {
                    (table("People", &HEADS, view.rows.iter().map(|person| row(person, view.now))))
                }
                (pager(view))
            }
        },
    )
}

const HEADS: [Head; 5] = [
    Head::Seen("Person"),
    Head::Seen("State"),
    Head::Seen("Signs in with"),
    Head::Seen("Last sign-in"),
    Head::Seen("Groups"),
];

fn count(view: &People<'_>) -> Markup {
    let Paging { total, .. } = view.paging;
    html! {
        p.muted role="status" {
            @if total == 1 { "1 person" } @else { (total) " people" }
            @if !view.filter.is_empty() { " match “" (foreign(view.filter)) "”. " a href="/admin/people" { "Show everybody" } }
        }
    }
}

fn row(person: &PersonRow, now: Timestamp) -> Markup {
    html! {
        (cell("Person", html! {
            a.strong href={ "/admin/people/" (person.id) } { (foreign(&person.display_name)) }
            @if let Some(role) = person.role { " " span.tag { (role) } }
            @let other = person.email.as_deref().unwrap_or(&person.name);
            @if other != person.display_name { div.small.muted { (foreign(other)) } }
        }))
        (cell("State", state(person.state)))
        (cell("Signs in with", html! {
            @if person.providers.is_empty() { span.muted { "Password" } }
            @else { ul.inline { @for provider in &person.providers { li { (foreign(provider)) } } } }
        }))
        (cell("Last sign-in", moment::past_or(now, person.signed_in_at, "Not known")))
        (cell("Groups", groups(&person.groups)))
    }
}

pub(super) fn state(state: State) -> Markup {
    html! {
        @match state {
            State::Active => { span.tag.good { "Active" } }
            State::Disabled(at) => { span.tag.warn title=(at.to_string()) { "Switched off" } }
        }
    }
}

fn groups(groups: &[String]) -> Markup {
    html! {
        @if groups.is_empty() { span.muted { "None" } }
        @else {
            ul.inline {
                @for group in groups.iter().take(GROUPS_SHOWN) { li { (foreign(group)) } }
                @if groups.len() > GROUPS_SHOWN { li { (groups.len() - GROUPS_SHOWN) " more" } }
            }
        }
    }
}

fn pager(view: &People<'_>) -> Markup {
    view.paging.links(|page| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs((!view.filter.is_empty()).then_some(("q", view.filter)))
            .append_pair("page", &page.to_string())
            .finish();
        format!("/admin/people?{query}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_not_there_is_the_nearest_one() {
        assert_eq!(Paging::of(0, 50, 9), Paging { page: 1, pages: 1, total: 0 });
        assert_eq!(Paging::of(101, 50, 0), Paging { page: 1, pages: 3, total: 101 });
        assert_eq!(Paging::of(101, 50, 9), Paging { page: 3, pages: 3, total: 101 });
    }
}
