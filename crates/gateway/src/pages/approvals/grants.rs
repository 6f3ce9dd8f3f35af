//! What was approved ahead, rights that end, and words that are lent.

use maud::html;
use portcullis_base::{Timestamp, printable};
use portcullis_policy::Origin;

use crate::pages::{
    Account, Page, Room,
    access::What,
    foreign,
    form::{Button, field, proof},
    moment,
    table::{Head, actions, cell, table},
};

/// What the page shows.
pub struct Grants<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// What was approved ahead.
    pub standing: Vec<StandingLine>,
    /// Rights to servers that end.
    pub access: Vec<AccessLine>,
    /// Words that they lent, or were lent.
    pub delegations: Vec<DelegationLine>,
    /// How long a word can be lent: value and words.
    pub times: Vec<(&'static str, &'static str)>,
    /// Whether what others have is listed too.
    pub whose: Whose,
    /// The present moment.
    pub now: Timestamp,
    /// What was just done.
    pub done: Option<&'a str>,
}

/// Whose grants a page lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The reader's.
    Own,
    /// Everybody's: the reader looks after this gateway.
    Everybodys,
}

/// An approval ahead.
pub struct StandingLine {
    /// Its identifier.
    pub id: String,
    /// Whose calls.
    pub owner: String,
    /// The tool.
    pub tool: String,
    /// The server.
    pub server: String,
    /// Through which client.
    pub client: String,
    /// The members that have to be as they were; none: all.
    pub same: Vec<String>,
    /// How often yet.
    pub uses_left: Option<u32>,
    /// Until when.
    pub ends_at: Timestamp,
    /// Who gave it.
    pub given_by: String,
    /// When it was last used.
    pub used_at: Option<Timestamp>,
}

/// A right.
pub struct AccessLine {
    /// Its identifier.
    pub id: String,
    /// Whose.
    pub owner: String,
    /// The server.
    pub server: String,
    /// What it allows.
    pub what: What,
    /// Whether it was taken in an emergency.
    pub origin: Origin,
    /// Who gave it.
    pub given_by: String,
    /// Why.
    pub why: String,
    /// Until when.
    pub ends_at: Timestamp,
}

/// A word that is lent.
pub struct DelegationLine {
    /// Its identifier.
    pub id: String,
    /// Whose word.
    pub owner: String,
    /// Who says it.
    pub delegate: String,
    /// Why.
    pub why: String,
    /// Until when.
    pub ends_at: Timestamp,
}

/// "My grants".
pub fn grants(view: &Grants<'_>) -> Page {
    Page::within(
        Room::Approvals,
        "My grants",
        Some(view.account),
        html! {
            div.wide {
                @if let Some(done) = view.done { div.notice.good role="status" { p { (done) } } }
                section aria-labelledby="standing" {
                    h1 id="standing" { "Approved ahead" }
                    @if view.standing.is_empty() {
                        div.card.empty { p.muted { "Nothing is approved ahead: whatever needs a word asks for it." } }
                    } @else {
                        p.lead {
                            @match view.whose {
                                Whose::Own => { "Programs that act for you may do this without asking again." }
                                Whose::Everybodys => { "Programs may do this for those whose name is there, without asking again." }
                            }
                        }
                        (standing(view))
                    }
                }
                section aria-labelledby="access" {
                    h2.large id="access" { "Rights that end" }
                    @if view.access.is_empty() {
                        div.card.empty { p.muted { "There is none. Where a call is refused for lack of a right, the refusal says where to ask for it." } }
                    } @else { (access(view)) }
                }
                section aria-labelledby="delegations" {
                    h2.large id="delegations" { "Words that are lent" }
                    p { "While you are away, somebody else can say yes or no for you: to calls of others that wait for your word, not to yours and not to theirs." }
                    @if !view.delegations.is_empty() { (delegations(view)) }
                    (lend(view))
                }
                p { "Applications that act for you are on your " a href="/#clients" { "home page" } "." }
            }
        },
    )
}

fn access(view: &Grants<'_>) -> maud::Markup {
    let heads = [
        Head::Seen("Whose"),
        Head::Seen("Server"),
        Head::Seen("For"),
        Head::Seen("Given by"),
        Head::Seen("Ends"),
        Head::Heard("Give back"),
    ];
    let rows = view.access.iter().map(|row| {
        html! {
            (cell("Whose", html! { (foreign(&row.owner)) }))
            (cell("Server", html! {
                (foreign(&row.server))
                @if row.origin == Origin::BreakGlass { " " span.tag.bad { "broken glass" } }
            }))
            (cell("For", html! { (row.what.shown()) div.small.muted { "“" (printable(&row.why, 200)) "”" } }))
            (cell("Given by", html! { (foreign(&row.given_by)) }))
            (cell("Ends", moment::future(view.now, row.ends_at)))
            (actions(Button { action: "/grants/access/revoke", label: "End it",
                spoken: &format!("End the right of {} to {}", foreign(&row.owner), foreign(&row.server)), look: "danger" }
                .form(view.account, &[("right", &row.id)])))
        }
    });
    table("Rights that end", &heads, rows)
}

fn delegations(view: &Grants<'_>) -> maud::Markup {
    let heads = [
        Head::Seen("Whose word"),
        Head::Seen("Who says it"),
        Head::Seen("Why"),
        Head::Seen("Ends"),
        Head::Heard("Take back"),
    ];
    let rows = view.delegations.iter().map(|row| {
        html! {
            (cell("Whose word", html! { (foreign(&row.owner)) }))
            (cell("Who says it", html! { (foreign(&row.delegate)) }))
            (cell("Why", html! { (printable(&row.why, 200)) }))
            (cell("Ends", moment::future(view.now, row.ends_at)))
            (actions(Button { action: "/grants/delegations/revoke", label: "End it",
                spoken: &format!("End that {} speaks for {}", foreign(&row.delegate), foreign(&row.owner)), look: "danger" }
                .form(view.account, &[("delegation", &row.id)])))
        }
    });
    table("Words that are lent", &heads, rows)
}

fn lend(view: &Grants<'_>) -> maud::Markup {
    html! {
        details.card {
            summary { "Lend your word" }
            form.stack method="post" action="/grants/delegations" {
                (proof(view.account))
                div.fields {
                    (field("delegate", "To whom (their account name)", html! {
                        input id="delegate" name="delegate" type="text" maxlength="120" autocomplete="off" spellcheck="false" required;
                    }))
                    (field("lasts", "For how long", html! {
                        select id="lasts" name="lasts" { @for (value, words) in &view.times { option value=(value) { (words) } } }
                    }))
                }
                (field("why", "Why", html! { input id="why" name="why" type="text" maxlength="500" autocomplete="off"; }))
                div.row { button type="submit" { "Lend it" } }
            }
        }
    }
}

fn standing(view: &Grants<'_>) -> maud::Markup {
    let heads = [
        Head::Seen("What"),
        Head::Seen("If the same"),
        Head::Seen("Left"),
        Head::Seen("Given by"),
        Head::Seen("Last used"),
        Head::Heard("Take back"),
    ];
    let rows = view.standing.iter().map(|row| {
        html! {
            (cell("What", html! {
                b { (foreign(&row.tool)) } " at " (foreign(&row.server))
                div.small.muted { "for " (foreign(&row.owner)) ", through " (foreign(&row.client)) }
            }))
            (cell("If the same", html! {
                @if row.same.is_empty() { "arguments" }
                @else { ul.inline { @for name in &row.same { li { code { (foreign(name)) } } } } }
            }))
            (cell("Left", html! {
                @if let Some(uses) = row.uses_left { (uses) @if uses == 1 { " time, " } @else { " times, " } }
                "ends " (moment::future(view.now, row.ends_at))
            }))
            (cell("Given by", html! { (foreign(&row.given_by)) }))
            (cell("Last used", moment::past_or(view.now, row.used_at, "Not yet")))
            (actions(Button { action: "/grants/standing/revoke", label: "Take back",
                spoken: &format!("Take back the approval ahead of {}", foreign(&row.tool)), look: "danger" }
                .form(view.account, &[("standing", &row.id)])))
        }
    });
    table("Approved ahead", &heads, rows)
}
