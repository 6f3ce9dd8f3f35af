//! Ending a person's access: what will end, what has ended, and the signed report of it.

use maud::{Markup, html};
use portcullis_base::{Timestamp, printable};

use super::{
    super::{
        Account, Page, foreign,
        form::{field, proof},
        moment,
        table::{Head, cell, table},
    },
    Tab, page,
};

/// What the page before it shows.
pub struct Leaving<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Whom it is about.
    pub id: &'a str,
    /// The account name, to be typed.
    pub name: &'a str,
    /// The name to show.
    pub display_name: &'a str,
    /// What will end, counted: such as `(2, "signed-in browsers")`.
    pub ends: Vec<(usize, &'static str)>,
    /// Service accounts that will have nobody who answers for them.
    pub owned: Vec<String>,
    /// Why the last try failed.
    pub failure: Option<&'a str>,
}

/// The page that asks once more.
pub fn leaving(view: &Leaving<'_>) -> Page {
    let name = foreign(view.display_name);
    page(
        Tab::People,
        "Offboard",
        view.account,
        html! {
            div.narrow.broad {
                h1 { "Offboard " (name) "?" }
                p.lead { "Everything that acts for this person ends at once, on every node. The account stays, switched off, so that the record keeps its names." }
                @if let Some(failure) = view.failure { div.notice.bad role="alert" id="failure" { p { (failure) } } }
                section.card.stack aria-labelledby="ends" {
                    h2 id="ends" { "What ends" }
                    ul.plain {
                        @for (count, what) in view.ends.iter().filter(|(count, _)| *count > 0) { li { b { (count) } " " (what) } }
                        li { "Everything that is signed in, allowed or waiting under this account" }
                    }
                    @if !view.owned.is_empty() {
                        div.notice.warn role="note" {
                            p { b { "These service accounts go on, and nobody will answer for them: " } (view.owned.iter().map(|name| foreign(name)).collect::<Vec<_>>().join(", ")) "." }
                            p { "Give each another owner, or switch it off." }
                        }
                    }
                }
                form.card.stack method="post" action={ "/admin/people/" (view.id) "/offboard" } {
                    (proof(view.account))
                    (field("confirm", &format!("Type “{}” to confirm", foreign(view.name)), html! {
                        input id="confirm" name="confirm" type="text" required maxlength="64" autocapitalize="none"
                            autocomplete="off" spellcheck="false" aria-describedby=[view.failure.map(|_| "failure")];
                    }))
                    div.buttons {
                        a.button href={ "/admin/people/" (view.id) } { "Cancel" }
                        button.primary.grave type="submit" { "Offboard" }
                    }
                }
            }
        },
    )
}

/// One report in the list.
pub struct ReportRow {
    /// Its identifier.
    pub id: String,
    /// Whom it is about.
    pub person: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What the list shows.
pub struct Reports<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// The reports, the newest first.
    pub rows: Vec<ReportRow>,
    /// The present moment.
    pub now: Timestamp,
}

/// The list of reports.
pub fn reports(view: &Reports<'_>) -> Page {
    let heads = [Head::Seen("Person"), Head::Seen("When"), Head::Seen("Report")];
    let rows = view.rows.iter().map(|row| {
        html! {
            (cell("Person", html! { b { (foreign(&row.person)) } }))
            (cell("When", html! { (moment::past(view.now, row.created_at)) div.small.muted { (moment::date(row.created_at)) } }))
            (cell("Report", html! { a href={ "/admin/offboarding/" (row.id) } { "Read" span.visually-hidden { " the report about " (foreign(&row.person)) } } }))
        }
    });
    page(
        Tab::Offboarding,
        "Offboarding",
        view.account,
        html! {
            section aria-labelledby="reports" {
                h1 id="reports" { "Offboarding" }
                p.lead { "Whose access was ended, and the signed report of each." }
                @if view.rows.is_empty() { div.card.empty { p.muted { "Nobody has been offboarded yet." } } }
                @else { (table("Reports", &heads, rows)) }
            }
        },
    )
}

/// What a report's page shows.
pub struct Report<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Its identifier.
    pub id: &'a str,
    /// Whom it is about.
    pub person: &'a str,
    /// When.
    pub created_at: Timestamp,
    /// At whose word, and how.
    pub by: String,
    /// What was ended.
    pub ended: Vec<String>,
    /// What could not be ended, and why.
    pub left: Vec<String>,
    /// The whole report as it was signed.
    pub text: &'a str,
    /// What was just done.
    pub done: Option<&'a str>,
}

/// One report.
pub fn report(view: &Report<'_>) -> Page {
    page(
        Tab::Offboarding,
        "Offboarding report",
        view.account,
        html! {
            @if let Some(done) = view.done { div.notice.good role="status" { p { (done) } } }
            section aria-labelledby="report" {
                div.heading {
                    h1 id="report" { "Report on " (foreign(view.person)) }
                    a.button href={ "/admin/offboarding/" (view.id) "/report.json" } download { "Download" }
                }
                dl.card.facts.columns {
                    div { dt { "When" } dd { (moment::date(view.created_at)) } }
                    div { dt { "By" } dd { (foreign(&view.by)) } }
                    div { dt { "Report" } dd.mono { (foreign(view.id)) } }
                }
            }
            (lines("ended", "Ended", &view.ended, "There was nothing to end."))
            (lines("left", "Could not be ended", &view.left, "Nothing was left."))
            details.card {
                summary { "The report as it was signed" }
                pre.code { code { @for line in view.text.lines() { (printable(line, 10_000)) "\n" } } }
            }
        },
    )
}

fn lines(id: &str, title: &str, lines: &[String], none: &str) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2.large id=(id) { (title) }
            @if lines.is_empty() { p.muted { (none) } }
            @else { ul.card.plain { @for line in lines { li { (printable(line, 300)) } } } }
        }
    }
}
