//! The list of one's connections.

use maud::{Markup, html};
use portcullis_base::{Timestamp, printable};

use super::{
    super::{Account, Page, Room, foreign, form::Button, moment},
    Held, MadeOf, State, account, ends, notice, scopes, tag,
};
use crate::roles::Standing;

/// What the page shows.
pub struct Mine<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// The servers that need an account.
    pub rows: Vec<Row>,
    /// The present moment.
    pub now: Timestamp,
    /// What was just done.
    pub done: Option<&'a str>,
}

/// One server.
pub struct Row {
    /// Its name here.
    pub server: String,
    /// Its own words.
    pub description: Option<String>,
    /// Where it is, if it has an address.
    pub host: Option<String>,
    /// As whom one acts there.
    pub acts: Acts,
}

/// As whom a person's calls act at a server.
pub enum Acts {
    /// As the account that they connect.
    Own(Option<Held>),
    /// As one account for everybody, which an administrator connects.
    Shared(Option<Held>),
    /// As something that nobody has to connect; how that works, in a sentence.
    ByItself(&'static str),
}

/// "My connections".
pub fn mine(view: &Mine<'_>) -> Page {
    Page::within(
        Room::Connections,
        "My connections",
        Some(view.account),
        html! {
            div.wide {
                @if let Some(done) = view.done { div.notice.good role="status" { p { (done) } } }
                section aria-labelledby="connections" {
                    h1 id="connections" { "My connections" }
                    p.lead { "As whom you act at the servers behind this gateway. Nobody else can use what you connect." }
                    @if view.rows.is_empty() {
                        div.card.empty {
                            p { b { "Nothing to connect." } }
                            p.muted { "None of your servers has asked for an account. One that does is listed here." }
                        }
                    } @else {
                        div.servers { @for row in &view.rows { (card(row, view)) } }
                    }
                }
            }
        },
    )
}

fn card(row: &Row, view: &Mine<'_>) -> Markup {
    let name = foreign(&row.server);
    html! {
        article.card.server {
            div.heading {
                h2.large { (name) }
                @match &row.acts {
                    Acts::Own(held) => (tag(held.as_ref())),
                    Acts::Shared(held) => { span.row { span.tag { "Shared" } (tag(held.as_ref())) } }
                    Acts::ByItself(_) => { span.tag.good { "Nothing to do" } }
                }
            }
            @if let Some(text) = &row.description { p.muted { (printable(text, 160)) } }
            @if let Some(host) = &row.host { p.small.muted.mono { (printable(host, 253)) } }
            @match &row.acts {
                Acts::Own(held) => (own(&name, row, held.as_ref(), view)),
                Acts::Shared(held) => (shared(&name, row, held.as_ref(), view)),
                Acts::ByItself(how) => { p { (how) } }
            }
        }
    }
}

fn own(name: &str, row: &Row, held: Option<&Held>, view: &Mine<'_>) -> Markup {
    let page = format!("/connections/{}", row.server);
    html! {
        @if let Some(held) = held {
            (notice(held))
            (facts(held, view.now))
        }
        div.row {
            @match held {
                None => { a.button.primary href=(page) { "Connect" span.visually-hidden { " " (name) } } }
                Some(held) => {
                    a class=(if held.state == State::Good { "button tall" } else { "button tall primary" }) href=(page) {
                        "Reconnect" span.visually-hidden { " " (name) }
                    }
                    (Button { action: &format!("{page}/disconnect"), label: "Disconnect",
                        spoken: &format!("Disconnect {name}"), look: "danger tall" }.form(view.account, &[]))
                }
            }
        }
    }
}

fn shared(name: &str, row: &Row, held: Option<&Held>, view: &Mine<'_>) -> Markup {
    let may_connect = view.account.standing == Standing::Administrator;
    html! {
        @match held {
            None if may_connect => { p { "One account serves everybody. An administrator connects it, for example you." } }
            None => { p { "One account serves everybody. An administrator of this gateway has to connect it." } }
            Some(held) => {
                p { "One account serves everybody, connected by an administrator. The server sees that account, not you." }
                @if may_connect { (notice(held)) }
                (facts(held, view.now))
            }
        }
        @if may_connect {
            div.row {
                a.button.tall href={ "/connections/" (row.server) } {
                    @if held.is_some() { "Look after it" } @else { "Connect for everybody" }
                    span.visually-hidden { ": " (name) }
                }
            }
        }
    }
}

/// What is known of a connection.
pub(super) fn facts(held: &Held, now: Timestamp) -> Markup {
    html! {
        dl.facts.columns {
            div { dt { "Account there" } dd { (account(held)) } }
            div { dt { "Last used" } dd { (moment::past_or(now, held.used_at, "Not yet")) } }
            div { dt { "Connected" } dd { (moment::past(now, held.connected_at)) } }
            div { dt { "Ends" } dd { (ends(held, now)) } }
            @if held.made_of == MadeOf::SignIn {
                div.whole-row { dt { "May do there" } dd { (scopes(&held.scopes)) } }
            }
        }
    }
}
