//! The tools of a server: what each may do, and what says so.

use maud::{Markup, html};
use portcullis_base::{Class, Classes, Labels, printable};
use portcullis_risk::Hints;

use super::{
    super::{
        Account, Page,
        approvals::class_words,
        foreign,
        table::{Head, cell, table},
    },
    Tab, page,
};

/// What the page shows.
pub struct Tools<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Every server, to choose from.
    pub servers: Vec<String>,
    /// The one that is shown.
    pub server: &'a str,
    /// Its tools, the gravest first.
    pub rows: Vec<ToolRow>,
    /// Whose list it is.
    pub shown: Shown,
}

/// Whose list is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// There is none yet.
    Nothing,
    /// The same for everybody.
    Everybodys,
    /// The reader's own; others may be shown other tools.
    Yours,
}

/// A tool.
pub struct ToolRow {
    /// Its name.
    pub name: String,
    /// What counts.
    pub classes: Classes,
    /// What else counts.
    pub labels: Labels,
    /// What was found in its definition.
    pub found: Classes,
    /// How sure that is, of a hundred.
    pub confidence: u8,
    /// Whether a person should look.
    pub needs_review: bool,
    /// What says so, in sentences.
    pub evidence: Vec<String>,
    /// What is wrong with the definition, in sentences.
    pub findings: Vec<String>,
    /// What clients are told.
    pub hints: Hints,
    /// The digest of the definition.
    pub definition: String,
    /// The administrator's word.
    pub said: Option<Said>,
}

/// What an administrator said of a tool.
pub struct Said {
    /// What it is.
    pub classes: Classes,
    /// Why.
    pub reason: String,
    /// Whether that is said of this definition.
    pub counts: bool,
}

/// The list of tools.
pub fn tools(view: &Tools<'_>) -> Page {
    page(
        Tab::Tools,
        "Tools",
        view.account,
        html! {
            section aria-labelledby="tools" {
                h1 id="tools" { "Tools" }
                p.lead { "What each tool may do decides whether it is allowed, asked about or denied. It is told from the tool's definition; an administrator's word in the settings, under " code { "risk" } " of the server, counts before it." }
                (choose(view))
                @match view.shown {
                    Shown::Nothing => { div.card.empty { p.muted { "Nobody was shown the tools of this server yet since this node was started. They are looked at when a client lists them." } } }
                    Shown::Everybodys => {}
                    Shown::Yours => { p.muted { "This is the list that you were shown yourself; this server can show others other tools." } }
                }
                @if !view.rows.is_empty() { (classes_of(&view.rows)) (rows(view)) }
            }
        },
    )
}

fn choose(view: &Tools<'_>) -> Markup {
    html! {
        @if view.servers.is_empty() { p.muted { "No server is behind this gateway yet." } }
        @else {
            form.filter method="get" action="/admin/tools" {
                label.visually-hidden for="server" { "Server" }
                select id="server" name="server" {
                    @for server in &view.servers { option value=(server) selected[server == view.server] { (foreign(server)) } }
                }
                button type="submit" { "Show" }
            }
        }
    }
}

/// How many tools there are of each class, as bars beside the numbers.
fn classes_of(rows: &[ToolRow]) -> Markup {
    let count = |class: Class| rows.iter().filter(|row| counted(row.classes).contains(class)).count();
    let counts: Vec<_> = Class::ALL.iter().rev().map(|class| (*class, count(*class))).filter(|(_, n)| *n > 0).collect();
    html! {
        dl.card.bars aria-label="Tools by class" {
            @for (class, count) in counts {
                dt { (class_tag(class)) }
                dd {
                    svg viewBox="0 0 100 8" preserveAspectRatio="none" width="100%" height="8" aria-hidden="true" focusable="false" {
                        rect.empty-bar x="0" y="0" width="100" height="8" {}
                        rect class={ (colour(class)) "-bar" } x="0" y="0" width=(format!("{:.2}", count as f64 * 100.0 / rows.len() as f64)) height="8" {}
                    }
                    span.small { (count) " of " (rows.len()) }
                }
            }
        }
    }
}

/// A tool of no class is unknown.
fn counted(classes: Classes) -> Classes {
    if classes.is_empty() { Class::Unknown.into() } else { classes }
}

const HEADS: [Head; 4] =
    [Head::Seen("Tool"), Head::Seen("May"), Head::Seen("What says so"), Head::Seen("Clients are told")];

fn rows(view: &Tools<'_>) -> Markup {
    table("Tools", &HEADS, view.rows.iter().map(row))
}

fn row(row: &ToolRow) -> Markup {
    html! {
        (cell("Tool", html! { b.mono { (printable(&row.name, 128)) } }))
        (cell("May", html! {
            ul.chips { @for class in counted(row.classes).iter() { li { (class_tag(class)) } } }
            @if !row.labels.is_empty() {
                div.small.muted { @for (at, label) in row.labels.iter().enumerate() { @if at > 0 { ", " } (label.as_str().replace('_', " ")) } }
            }
        }))
        (cell("What says so", html! {
            @match &row.said {
                Some(said) if said.counts => {
                    p { "The administrator: " (printable(&said.reason, 300)) }
                    @if row.found != said.classes { p.small.muted { "Its definition says " (words(row.found)) "." } }
                }
                _ => {
                    p { (row.confidence) " % sure" @if row.needs_review { " " span.tag.warn { "Somebody should look" } } }
                    @if row.said.is_some() { p { span.tag.warn { "Changed" } " The administrator's word is about another definition and does not count." } }
                }
            }
            @for finding in &row.findings { p.small { span.tag.warn { "Look" } " " (printable(finding, 300)) } }
            @if !row.evidence.is_empty() {
                details.small {
                    summary { "Evidence" span.visually-hidden { " for " (foreign(&row.name)) } }
                    ul.plain { @for evidence in &row.evidence { li { (printable(evidence, 300)) } } }
                    p.muted { "Definition " code.whole { (row.definition) } }
                }
            }
        }))
        (cell("Clients are told", html! { (hints(row.hints)) }))
    }
}

fn hints(hints: Hints) -> Markup {
    let Hints { read_only, destructive, idempotent, open_world } = hints;
    let told = [
        (read_only, "It only reads"),
        (destructive, "It may destroy"),
        (idempotent, "Once more changes nothing"),
        (open_world, "It reaches outside"),
    ];
    html! { ul.plain.small { @for (_, text) in told.iter().filter(|(is, _)| *is) { li { (text) } }
    @if told.iter().all(|(is, _)| !is) { li { "It writes, destroys nothing, stays inside" } } } }
}

fn words(classes: Classes) -> String {
    counted(classes).iter().map(|class| class_words(class).0).collect::<Vec<_>>().join(", ")
}

/// The colour of a class: calm, to be looked at, grave.
const fn colour(class: Class) -> &'static str {
    match class {
        Class::Read => "good",
        Class::Write | Class::Unknown | Class::Egress => "warn",
        Class::Execute | Class::Destructive | Class::Financial => "bad",
    }
}

fn class_tag(class: Class) -> Markup {
    let (word, meaning) = class_words(class);
    html! { span class={ "tag " (colour(class)) } title=(meaning) { (word) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::Standing;

    // spec: SEC-34, T-93, T-75
    #[test]
    fn tools_are_shown_with_what_says_what_they_are() {
        let classes = Classes::from(Class::Destructive);
        let row = ToolRow {
            name: "drop_<script>table\u{202e}".into(),
            classes,
            labels: Labels::NONE,
            found: Class::Read.into(),
            confidence: 40,
            needs_review: true,
            evidence: vec!["The name begins with “drop”: destructive".into()],
            findings: vec!["The name promises <b>less</b>".into()],
            hints: Hints::of(classes, Labels::NONE),
            definition: "abc".into(),
            said: Some(Said { classes, reason: "it <i>drops</i>".into(), counts: true }),
        };
        let view = |row| Tools {
            account: Account { name: "ada", form_token: "t", standing: Standing::Auditor, glasses: &[] },
            servers: vec!["shop".into()],
            server: "shop",
            rows: vec![row],
            shown: Shown::Everybodys,
        };
        let page = tools(&view(row));
        let html = page.html();
        for text in [
            "The administrator: it &lt;i&gt;drops",
            "Its definition says reads.",
            "The name begins with",
            "It may destroy",
            "1 of 1",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        for bad in ["<script>table", "<b>less", "\u{202e}", "style="] {
            assert!(!html.contains(bad), "{bad}: {html}");
        }
    }
}
