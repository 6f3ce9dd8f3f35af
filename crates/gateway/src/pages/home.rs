//! Home: the person's servers with the entry for each client, and the applications that have access.
//!
//! spec: AS-91

use maud::{Markup, html};
use portcullis_base::{Timestamp, printable};

use super::{Account, Page, foreign, snippet};

/// What the home page shows.
pub struct Home<'a> {
    /// Who is signed in.
    pub account: Account<'a>,
    /// Whether the person administers this gateway.
    pub role: Role,
    /// Servers that the person may use.
    pub servers: Vec<ServerCard>,
    /// Access that the person gave.
    pub clients: Vec<ClientRow>,
    /// What others gave; administrators only.
    pub others: Vec<ClientRow>,
    /// The present moment, for "5 minutes ago".
    pub now: Timestamp,
    /// What was just done.
    pub done: Option<&'a str>,
}

/// What the person is on this gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Uses servers.
    Member,
    /// Also sees and ends everybody's access.
    Administrator,
}

/// One server.
pub struct ServerCard {
    /// Its name.
    pub name: String,
    /// Its own words.
    pub description: Option<String>,
    /// Its address for clients.
    pub url: String,
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
    Page::new(
        "Home",
        Some(view.account),
        html! {
            div.wide {
                @if let Some(done) = view.done { div.notice.good role="status" { p { (done) } } }
                section aria-labelledby="servers" {
                    h1 id="servers" { "Your servers" }
                    @if view.servers.is_empty() {
                        div.card.empty {
                            p { b { "No server yet." } }
                            @if view.role == Role::Administrator {
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
                    } @else { (client_table(&view.clients, view)) }
                }
                @if view.role == Role::Administrator && !view.others.is_empty() {
                    section aria-labelledby="others" {
                        h2.large id="others" { "Everybody else's applications" }
                        (client_table(&view.others, view))
                    }
                }
            }
        },
    )
}

fn server_card(at: usize, server: &ServerCard) -> Markup {
    let url_id = format!("url-{at}");
    html! {
        article.card.server {
            h3 { (foreign(&server.name)) }
            @if let Some(text) = &server.description { p.muted { (printable(text, 160)) } }
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

fn client_table(rows: &[ClientRow], view: &Home<'_>) -> Markup {
    let with_person = rows.iter().any(|row| row.person.is_some());
    html! {
        div.card.table-card {
            // The roles keep it a table for those who hear it, also where a narrow page shows it as a list.
            table role="table" {
                thead role="rowgroup" {
                    tr role="row" {
                        @if with_person { th role="columnheader" scope="col" { "Person" } }
                        th role="columnheader" scope="col" { "Application" }
                        th role="columnheader" scope="col" { "Server" }
                        th role="columnheader" scope="col" { "May" }
                        th role="columnheader" scope="col" { "Last used" }
                        th role="columnheader" scope="col" { span.visually-hidden { "End access" } }
                    }
                }
                tbody role="rowgroup" { @for row in rows { (client_row(row, with_person, view)) } }
            }
        }
    }
}

fn client_row(row: &ClientRow, with_person: bool, view: &Home<'_>) -> Markup {
    let name = foreign(&row.client_name);
    html! {
        tr role="row" {
            @if with_person { td role="cell" data-label="Person" { (foreign(row.person.as_deref().unwrap_or("You"))) } }
            td role="cell" data-label="Application" {
                div {
                    b { (name) }
                    @if !row.verified { " " span.tag.warn { "Unverified" } }
                    div.small.muted.mono { (printable(&row.host, 80)) }
                }
            }
            td role="cell" data-label="Server" { (foreign(&row.server)) }
            td role="cell" data-label="May" {
                ul.inline { @for scope in &row.scopes { li { (scope_word(scope)) } } }
            }
            td role="cell" data-label="Last used" {
                @let moment = row.last_used_at.unwrap_or(row.created_at);
                time datetime=(moment.to_string()) title=(moment.to_string()) {
                    @if row.last_used_at.is_none() { "Not yet" } @else { (ago(view.now, moment)) }
                }
            }
            td.action role="cell" {
                form method="post" action="/grants/revoke" {
                    input type="hidden" name="form_token" value=(view.account.form_token);
                    input type="hidden" name="grant" value=(row.grant);
                    button.danger type="submit" aria-label={ "End the access of " (name) " to " (foreign(&row.server)) } { "End access" }
                }
            }
        }
    }
}

fn scope_word(scope: &str) -> String {
    match scope {
        "mcp:read" => "read".into(),
        "mcp:call" => "use tools".into(),
        "offline_access" => "stay signed in".into(),
        other => foreign(other),
    }
}

fn ago(now: Timestamp, then: Timestamp) -> String {
    let minutes = now.since(then).as_secs() / 60;
    let (count, unit) = match minutes {
        0 => return "Just now".into(),
        1..60 => (minutes, "minute"),
        60..1440 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_the_unit_a_person_would_use() {
        let now = Timestamp::from_secs(1_000_000);
        let before = |secs: i64| ago(now, Timestamp::from_secs(1_000_000 - secs));
        assert_eq!(before(59), "Just now");
        assert_eq!(before(60), "1 minute ago");
        assert_eq!(before(7_200), "2 hours ago");
        assert_eq!(before(90_000), "1 day ago");
    }
}
