//! What waits for the reader's word, and what they asked for themselves.

use maud::{Markup, html};
use portcullis_base::Timestamp;
use portcullis_policy::approval::State;
use portcullis_store::AccessRequestState;

use super::state_word;
use crate::pages::{
    Account, Page, Room,
    access::{Wish, spoken, wish_word},
    foreign, moment,
    table::{Head, cell, table},
};

/// What the page shows.
pub struct Inbox<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// What waits for their word.
    pub yours: Vec<Row>,
    /// Wishes for access that wait for their answer.
    pub wishes: Vec<Wish>,
    /// Wishes for access of their own.
    pub own_wishes: Vec<Wish>,
    /// What they asked for, or their programs did.
    pub own: Vec<Row>,
    /// How many more they asked for.
    pub more: u64,
    /// The present moment.
    pub now: Timestamp,
    /// What was just done.
    pub done: Option<&'a str>,
}

/// A call.
pub struct Row {
    /// Its identifier.
    pub id: String,
    /// The server.
    pub server: String,
    /// The tool, prompt or resource.
    pub target: String,
    /// Words for its classes.
    pub classes: Vec<&'static str>,
    /// Who asks.
    pub caller: String,
    /// Through which client.
    pub client: String,
    /// How far it is.
    pub state: State,
    /// Since when.
    pub asked_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// The inbox.
pub fn inbox(view: &Inbox<'_>) -> Page {
    Page::within(
        Room::Approvals,
        "Approvals",
        Some(view.account),
        html! {
            div.wide {
                @if let Some(done) = view.done { div.notice.good role="status" { p { (done) } } }
                section aria-labelledby="yours" {
                    h1 id="yours" { "Approvals" }
                    @if view.yours.is_empty() {
                        div.card.empty { p.muted { "Nothing waits for your word." } }
                    } @else {
                        p.lead { "These calls wait for your word. Open one to read what it would do." }
                        (rows("Calls that wait for your word", &view.yours, view.now))
                    }
                }
                @if !view.wishes.is_empty() {
                    section aria-labelledby="wishes" {
                        h2.large id="wishes" { "Wishes for access" }
                        p.lead { "These people ask for a right. Open one to answer it." }
                        (wishes("Wishes for access that wait for your answer", &view.wishes, view.now))
                    }
                }
                section aria-labelledby="own" {
                    h2.large id="own" { "What you asked for" }
                    @if view.own.is_empty() && !view.yours.is_empty() {
                        div.card.empty { p.muted { "Nothing else yet." } }
                    } @else if view.own.is_empty() {
                        div.card.empty { p.muted { "Nothing yet. When a program that acts for you has to ask, it is listed here." } }
                    } @else {
                        (rows("Calls made for you", &view.own, view.now))
                        @if view.more > 0 { p.small.muted { (view.more) " older ones are not shown." } }
                    }
                }
                @if !view.own_wishes.is_empty() {
                    section aria-labelledby="own-wishes" {
                        h2.large id="own-wishes" { "Access you asked for" }
                        (wishes("Access you asked for", &view.own_wishes, view.now))
                    }
                }
                p { a href="/grants" { "My grants: what is approved ahead, rights that end, words that are lent" } }
            }
        },
    )
}

fn wishes(label: &str, rows: &[Wish], now: Timestamp) -> Markup {
    let heads = [Head::Seen("What"), Head::Seen("Who asks"), Head::Seen("State"), Head::Seen("Over")];
    let row = |row: &Wish| {
        let (word, look) = wish_word(row.state);
        html! {
            (cell("What", html! {
                a href={ "/approvals/access/" (row.id) } { b { (foreign(&row.server)) } ": " (row.what.shown()) }
                div.small.muted { "for " (spoken(row.lasts)) }
            }))
            (cell("Who asks", html! {
                (foreign(&row.who))
                div.small.muted { (moment::past(now, row.asked_at)) }
            }))
            (cell("State", html! { span class=(look) { (word) } }))
            (cell("Over", html! {
                @if row.state == AccessRequestState::Open { (moment::future(now, row.expires_at)) }
                @else { span.muted { "–" } }
            }))
        }
    };
    table(label, &heads, rows.iter().map(row))
}

fn rows(label: &str, rows: &[Row], now: Timestamp) -> Markup {
    let heads = [Head::Seen("What"), Head::Seen("Who asks"), Head::Seen("State"), Head::Seen("Ends")];
    let row = |row: &Row| {
        let (word, look) = state_word(row.state);
        html! {
            (cell("What", html! {
                a href={ "/approvals/" (row.id) } { b { (foreign(&row.target)) } " at " (foreign(&row.server)) }
                @if !row.classes.is_empty() { div.small.muted { (row.classes.join(", ")) } }
            }))
            (cell("Who asks", html! {
                (foreign(&row.caller))
                div.small.muted { (moment::past(now, row.asked_at)) ", through " (foreign(&row.client)) }
            }))
            (cell("State", html! { span class=(look) { (word) } }))
            (cell("Ends", html! {
                @if matches!(row.state, State::Pending | State::Granted) { (moment::future(now, row.expires_at)) }
                @else { span.muted { "–" } }
            }))
        }
    };
    table(label, &heads, rows.iter().map(row))
}
