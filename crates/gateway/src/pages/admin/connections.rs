//! Whose accounts are connected where. No page of these has a secret on it: there is nothing here to read one from.

use maud::{Markup, html};
use portcullis_base::{Timestamp, printable};

use super::{
    super::{
        Account, Page,
        connections::{Held, State, account, ends, tag},
        foreign,
        form::Button,
        moment,
        table::{Head, actions, cell, table},
    },
    Tab, may_change, page,
    people::Paging,
    told,
};

/// What the list shows.
pub struct Connections<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// The rows of this page.
    pub rows: Vec<Row>,
    /// Every server that is there, to choose from.
    pub servers: Vec<String>,
    /// The server that was asked for.
    pub server: &'a str,
    /// The person that was asked for.
    pub person: &'a str,
    /// Which page of how many.
    pub paging: Paging,
    /// What was just done.
    pub done: Option<&'a str>,
    /// The present moment.
    pub now: Timestamp,
}

/// One connection.
pub struct Row {
    /// Its identifier.
    pub id: String,
    /// Whose it is.
    pub holder: Holder,
    /// The server.
    pub server: String,
    /// The issuer, if there is one.
    pub issuer: Option<String>,
    /// All that may be shown.
    pub held: Held,
    /// The code of what is wrong.
    pub why: Option<String>,
}

/// Whose a connection is.
pub enum Holder {
    /// A person's.
    Person {
        /// Their identifier.
        id: String,
        /// Their account name.
        name: String,
    },
    /// Everybody's.
    Shared,
}

/// One server and how people are connected to it.
pub struct Server<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Its name here.
    pub name: &'a str,
    /// Its address.
    pub url: Option<&'a str>,
    /// The kind of its credential, as the settings write it.
    pub kind: &'a str,
    /// What that means, in a sentence.
    pub meaning: &'a str,
    /// Where its sign-in is looked at, if it has one.
    pub check: Option<&'a str>,
    /// Whether one account serves everybody.
    pub shared: Sharing,
    /// The connections.
    pub rows: Vec<Row>,
    /// What was just done.
    pub done: Option<&'a str>,
    /// The present moment.
    pub now: Timestamp,
}

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Each person for themselves.
    Each,
    /// An administrator for everybody.
    Shared,
    /// Nobody.
    Nobody,
}

const HEADS: [Head; 6] = [
    Head::Seen("Person"),
    Head::Seen("Server"),
    Head::Seen("Account there"),
    Head::Seen("State"),
    Head::Seen("Last used"),
    Head::Heard("Disconnect"),
];

/// The list of connections.
pub fn connections(view: &Connections<'_>) -> Page {
    page(
        Tab::Connections,
        "Connections",
        view.account,
        html! {
            (told(view.done))
            section aria-labelledby="connections" {
                h1 id="connections" { "Connections" }
                p.lead { "As whom people act at the servers behind this gateway. Keys and tokens are sealed; nobody can read them here." }
                (filter(view))
                (count(view))
                @if !view.rows.is_empty() { (rows("Connections", view.account, &view.rows, view.now)) }
                (pager(view))
            }
        },
    )
}

fn filter(view: &Connections<'_>) -> Markup {
    html! {
        form.filter.wide-filter role="search" method="get" action="/admin/connections" {
            label.visually-hidden for="server" { "Server" }
            select id="server" name="server" {
                option value="" { "All servers" }
                @for server in &view.servers { option value=(server) selected[server == view.server] { (foreign(server)) } }
            }
            label.visually-hidden for="person" { "Account name" }
            input id="person" name="person" type="search" maxlength="100" placeholder="Account name" value=(foreign(view.person))
                autocapitalize="none" spellcheck="false";
            button type="submit" { "Show" }
        }
    }
}

fn count(view: &Connections<'_>) -> Markup {
    let Paging { total, .. } = view.paging;
    html! {
        p.muted role="status" {
            @if total == 1 { "1 connection" } @else { (total) " connections" }
            @if !view.server.is_empty() || !view.person.is_empty() { " match. " a href="/admin/connections" { "Show all" } }
        }
        @if !view.server.is_empty() && view.servers.iter().any(|server| server == view.server) {
            p { a href={ "/admin/connections/" (view.server) } { "How " (foreign(view.server)) " is connected" } }
        }
    }
}

fn rows(label: &str, account: Account<'_>, rows: &[Row], now: Timestamp) -> Markup {
    table(label, &HEADS, rows.iter().map(|each| row(account, each, now)))
}

fn row(reader: Account<'_>, row: &Row, now: Timestamp) -> Markup {
    let server = foreign(&row.server);
    let whose = match &row.holder {
        Holder::Person { name, .. } => foreign(name),
        Holder::Shared => "everybody".to_owned(),
    };
    html! {
        (cell("Person", html! {
            @match &row.holder {
                Holder::Person { id, name } => { a.strong href={ "/admin/people/" (id) } { (foreign(name)) } }
                Holder::Shared => { span.tag { "Shared" } }
            }
        }))
        (cell("Server", html! {
            a href={ "/admin/connections/" (row.server) } { (server) }
            @if let Some(issuer) = &row.issuer { div.small.muted.mono { (printable(issuer.trim_start_matches("https://"), 120)) } }
        }))
        (cell("Account there", account(&row.held)))
        (cell("State", html! {
            (tag(Some(&row.held)))
            @match (&row.why, &row.held.state) {
                (Some(why), _) => { div.small.muted.mono { (printable(why, 80)) } }
                (None, State::Good) => { div.small.muted { (ends(&row.held, now)) } }
                (None, State::NeedsSignIn(_)) => {}
            }
        }))
        (cell("Last used", moment::past_or(now, row.held.used_at, "Not yet")))
        (actions(html! {
            @if may_change(reader) {
                (Button { action: &format!("/admin/connections/{}/disconnect", row.server), label: "Disconnect",
                    spoken: &format!("Disconnect {server} for {whose}"), look: "danger" }.form(reader, &[("connection", &row.id)]))
            }
        }))
    }
}

fn pager(view: &Connections<'_>) -> Markup {
    view.paging.links(|page| {
        let filters = [("server", view.server), ("person", view.person)];
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(filters.iter().filter(|(_, value)| !value.is_empty()))
            .append_pair("page", &page.to_string())
            .finish();
        format!("/admin/connections?{query}")
    })
}

/// How one server is connected, and to whom.
pub fn server(view: &Server<'_>) -> Page {
    let name = foreign(view.name);
    page(
        Tab::Connections,
        "Connections of a server",
        view.account,
        html! {
            (told(view.done))
            section aria-labelledby="server" {
                div.heading {
                    h1 id="server" { (name) " " span.tag { (view.kind) } }
                    div.row {
                        @if view.sharing() { a.button.tall href={ "/connections/" (view.name) } { "Connect for everybody" } }
                        @if let Some(check) = view.check.filter(|_| may_change(view.account)) {
                            a.button.tall href=(check) { "Check sign-in" span.visually-hidden { " at " (name) } }
                        }
                    }
                }
                @if let Some(url) = view.url { p.small.muted.mono { (printable(url, 300)) } }
                p { (view.meaning) }
                @if view.rows.is_empty() {
                    @if view.shared != Sharing::Nobody { div.card.empty { p.muted { "Nobody is connected yet." } } }
                } @else { (rows("Connections", view.account, &view.rows, view.now)) }
                p { a href="/admin/connections" { "All connections" } }
            }
        },
    )
}

impl Server<'_> {
    fn sharing(&self) -> bool {
        self.shared == Sharing::Shared && may_change(self.account)
    }
}
