//! Which groups have which role, as the settings say. Read only: settings are a file.

use maud::html;

use super::{
    super::{
        Account, Page, foreign,
        table::{Head, cell, table},
    },
    Tab, page,
};

/// What the page shows.
pub struct Roles<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Every role.
    pub rows: Vec<RoleRow>,
    /// People who were made administrators here: identifier and name.
    pub appointed: Vec<(String, String)>,
}

/// One role.
pub struct RoleRow {
    /// The word for it.
    pub name: &'static str,
    /// What it allows.
    pub allows: &'static str,
    /// The groups that give it; `*` is everybody.
    pub groups: Vec<String>,
    /// How many active people have it.
    pub holders: usize,
}

/// The list of roles.
pub fn roles(view: &Roles<'_>) -> Page {
    let heads = [Head::Seen("Role"), Head::Seen("Allows"), Head::Seen("Groups"), Head::Seen("People")];
    let rows = view.rows.iter().map(|row| {
        html! {
            (cell("Role", html! { b { (row.name) } }))
            (cell("Allows", html! { (row.allows) }))
            (cell("Groups", html! {
                @if row.groups.is_empty() { span.muted { "None" } }
                @else {
                    ul.inline { @for group in &row.groups { li { @if group == "*" { "everybody" } @else { (foreign(group)) } } } }
                }
            }))
            (cell("People", html! { (row.holders) }))
        }
    });
    page(
        Tab::Roles,
        "Roles",
        view.account,
        html! {
            section aria-labelledby="roles" {
                h1 id="roles" { "Roles" }
                p.lead { "Groups give roles. Which give which is written in the settings file under " code { "roles" } " and changed there." }
                (table("Roles", &heads, rows))
            }
            section aria-labelledby="appointed" {
                h2.large id="appointed" { "Made administrators here" }
                @if view.appointed.is_empty() { div.card.empty { p.muted { "Nobody. Administrators come from groups alone." } } }
                @else {
                    ul.card.plain {
                        @for (id, name) in &view.appointed { li { a href={ "/admin/people/" (id) } { (foreign(name)) } } }
                    }
                }
            }
        },
    )
}
