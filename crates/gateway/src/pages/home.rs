//! Home: the person's servers with the entry for each client, and the applications that have access.
//!
//! spec: AS-91

use maud::{Markup, html};
use portcullis_base::{ServerName, Timestamp, printable};

use super::{
    Account, Page, Room, foreign, moment, snippet,
    table::{Head, actions, cell, table},
};
use crate::{roles::Standing, toolbox::Cost};

/// What the home page shows.
pub struct Home<'a> {
    /// Who is signed in.
    pub account: Account<'a>,
    /// Servers that the person may use.
    pub servers: Vec<ServerCard>,
    /// Access that the person gave.
    pub clients: Vec<ClientRow>,
    /// What others gave; administrators only.
    pub others: Vec<ClientRow>,
    /// How many calls wait for the reader's word.
    pub waiting: usize,
    /// The present moment, for "5 minutes ago".
    pub now: Timestamp,
    /// What was just done.
    pub done: Option<&'a str>,
}

/// One server.
pub struct ServerCard {
    /// Its name.
    pub name: String,
    /// Its own words.
    pub description: Option<String>,
    /// Its address for clients.
    pub url: String,
    /// The servers behind it, if it is a toolbox.
    pub behind: Vec<String>,
    /// What its list costs, for administrators.
    pub cost: Option<Cost>,
}

/// One consent that is in force.
pub struct ClientRow {
    /// The grant.
    pub grant: String,
    /// The client's name.
    pub client_name: String,
    /// Whether anyone vouches for that name.
    pub verified: bool,
    /// Where its answers go.
    pub host: String,
    /// The server.
    pub server: String,
    /// The scopes.
    pub scopes: Vec<String>,
    /// When it was allowed.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// Whose it is, where that is not the reader.
    pub person: Option<String>,
}

/// The home page.
pub fn home(view: &Home<'_>) -> Page {
    Page::within(
        Room::Home,
        "Home",
        Some(view.account),
        html! {
            div.wide {
                @if let Some(done) = view.done { div.notice.good role="status" { p { (done) } } }
                @if view.waiting > 0 {
                    div.notice.warn role="status" {
                        p {
                            a href="/approvals" {
                                (view.waiting) @if view.waiting == 1 { " call waits" } @else { " calls wait" } " for your word"
                            }
                        }
                    }
                }
                section aria-labelledby="servers" {
                    h1 id="servers" { "Your servers" }
                    @if view.servers.is_empty() {
                        div.card.empty {
                            p { b { "No server yet." } }
                            @if view.account.standing == Standing::Administrator {
                                p.muted { "Put one behind this gateway from a terminal:" }
                                pre.code { code { "portcullis protect https://mcp.example.com/mcp" } }
                            } @else {
                                p.muted { "An administrator of this gateway can give you access to one." }
                            }
                        }
                    } @else {
                        p.lead { "Add an address to your client. It will send you here to sign in the first time." }
                        div.servers { @for (at, server) in view.servers.iter().enumerate() { (server_card(at, server)) } }
                    }
                }
                section aria-labelledby="clients" {
                    h2.large id="clients" { "Applications with access" }
                    @if view.clients.is_empty() {
                        div.card.empty { p.muted { "None yet. When a client signs in as you, it is listed here." } }
                    } @else { (client_table("Applications with access", &view.clients, view)) }
                }
                @if !view.others.is_empty() {
                    section aria-labelledby="others" {
                        h2.large id="others" { "Everybody else's applications" }
                        (client_table("Everybody else's applications", &view.others, view))
                    }
                }
            }
        },
    )
}

fn unseen(cost: &Cost) -> String {
    cost.unseen.iter().map(ServerName::as_str).collect::<Vec<_>>().join(", ")
}

fn server_card(at: usize, server: &ServerCard) -> Markup {
    let url_id = format!("url-{at}");
    html! {
        article.card.server {
            h3 { (foreign(&server.name)) }
            @if let Some(text) = &server.description { p.muted { (printable(text, 160)) } }
            @if !server.behind.is_empty() {
                p.small.muted { "Toolbox of " (printable(&server.behind.join(", "), 300)) }
            }
            @if let Some(cost) = server.cost.as_ref().filter(|cost| cost.tools > 0) {
                p.small.muted {
                    (cost.tools) @if cost.tools == 1 { " tool" } @else { " tools" }
                    ": about " (cost.list) " tokens as a list, " (cost.search) " with search on"
                    @if !cost.unseen.is_empty() {
                        "; not counted, because nobody has seen their tools yet: " (printable(&unseen(cost), 300))
                    }
                }
            }
            div.copyable {
                code id=(url_id) { (server.url) }
                button.small-button type="button" data-copy=(url_id) hidden { "Copy" }
            }
            p.label id={ "connect-" (at) } { "Connect" }
            div.connect role="group" aria-labelledby={ "connect-" (at) } {
                @for snippet in snippet::all(&server.name, &server.url) {
                    details name={ "connect-" (at) } {
                        summary { (snippet.label) }
                        @for (n, way) in snippet.ways.iter().enumerate() {
                            @let id = format!("snippet-{at}-{}-{n}", snippet.client);
                            p.small.muted { (way.place) }
                            div.copyable.block {
                                pre.code { code id=(id) { (way.text) } }
                                button.small-button type="button" data-copy=(id) hidden { "Copy" }
                            }
                        }
                        @for sentence in &snippet.after { p.small.muted { (sentence) } }
                    }
                }
            }
        }
    }
}

fn client_table(label: &str, rows: &[ClientRow], view: &Home<'_>) -> Markup {
    let with_person = rows.iter().any(|row| row.person.is_some());
    let mut heads = Vec::from([
        Head::Seen("Application"),
        Head::Seen("Server"),
        Head::Seen("May"),
        Head::Seen("Last used"),
        Head::Heard("End access"),
    ]);
    if with_person {
        heads.insert(0, Head::Seen("Person"));
    }
    table(label, &heads, rows.iter().map(|row| client_row(row, with_person, view)))
}

fn client_row(row: &ClientRow, with_person: bool, view: &Home<'_>) -> Markup {
    let name = foreign(&row.client_name);
    html! {
        @if with_person { (cell("Person", html! { (foreign(row.person.as_deref().unwrap_or("You"))) })) }
        (cell("Application", html! {
            b { (name) }
            @if !row.verified { " " span.tag.warn { "Unverified" } }
            div.small.muted.mono { (printable(&row.host, 80)) }
        }))
        (cell("Server", html! { (foreign(&row.server)) }))
        (cell("May", html! { ul.inline { @for scope in &row.scopes { li { (scope_word(scope)) } } } }))
        (cell("Last used", html! { (moment::past_or(view.now, row.last_used_at, "Not yet")) }))
        (actions(html! {
            form method="post" action="/grants/revoke" {
                input type="hidden" name="form_token" value=(view.account.form_token);
                input type="hidden" name="grant" value=(row.grant);
                button.danger type="submit" aria-label={ "End the access of " (name) " to " (foreign(&row.server)) } { "End access" }
            }
        }))
    }
}

pub(super) fn scope_word(scope: &str) -> String {
    match scope {
        "mcp:read" => "read".into(),
        "mcp:call" => "use tools".into(),
        "offline_access" => "stay signed in".into(),
        other => foreign(other),
    }
}
