//! "My sign-ins": who one is here, where one is signed in, and the keys one has made.

use maud::{Markup, html};
use portcullis_base::Timestamp;

use super::{
    Account, Page, Room, agent, foreign,
    form::{Button, copyable, field, proof},
    home::scope_word,
    moment,
    table::{Head, actions, cell, table},
};

/// What the page shows.
pub struct Mine<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Who they are here.
    pub profile: Profile,
    /// Browsers that are signed in.
    pub sessions: Vec<SessionRow>,
    /// Access keys.
    pub keys: Keys,
    /// Passkeys.
    pub passkeys: Passkeys,
    /// The present moment.
    pub now: Timestamp,
    /// What was just done.
    pub done: Option<&'a str>,
    /// Why something could not be done.
    pub failure: Option<&'a str>,
}

/// Who somebody is on this gateway.
pub struct Profile {
    /// The account name.
    pub name: String,
    /// The name to show.
    pub display_name: String,
    /// Mail address, if known.
    pub email: Option<String>,
    /// Their groups.
    pub groups: Vec<String>,
    /// The words for their roles.
    pub roles: Vec<&'static str>,
    /// Who vouches for them; empty for a local account.
    pub sources: Vec<ProfileSource>,
}

/// A provider that vouches for somebody.
pub struct ProfileSource {
    /// Its name.
    pub provider: String,
    /// When it was last asked for their groups.
    pub checked_at: Option<Timestamp>,
    /// Since when it does not answer.
    pub failing_since: Option<Timestamp>,
}

/// A browser that is signed in.
pub struct SessionRow {
    /// Its public identifier.
    pub id: String,
    /// What the browser said about itself.
    pub agent: String,
    /// Where it signed in from.
    pub address: Option<String>,
    /// The name of the provider that it signed in with.
    pub provider: Option<String>,
    /// When.
    pub started_at: Timestamp,
    /// When it last asked for something.
    pub seen_at: Timestamp,
    /// Whether it is the one that reads this.
    pub which: Which,
}

/// Which browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that reads the page.
    This,
    /// Some other.
    Other,
}

/// Whether people may make keys here.
pub enum Keys {
    /// They may not.
    Off,
    /// They may.
    On {
        /// Those they have.
        rows: Vec<KeyRow>,
        /// The servers that they may make one for.
        servers: Vec<String>,
        /// For how many days.
        days: Vec<u64>,
    },
}

/// One access key, without the key.
pub struct KeyRow {
    /// The grant that it stands for.
    pub grant: String,
    /// What its owner calls it.
    pub name: String,
    /// The server.
    pub server: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

/// Whether people can make passkeys here.
pub enum Passkeys {
    /// There are none at the address of the gateway.
    NotHere {
        /// The address.
        address: String,
        /// One at which there would be, if that is near.
        nearest: Option<String>,
    },
    /// They can.
    Here {
        /// Those they have.
        rows: Vec<PasskeyLine>,
        /// What the browser is asked to make one.
        options: String,
        /// What comes back with its answer.
        ticket: String,
    },
}

/// One passkey.
pub struct PasskeyLine {
    /// Its identifier.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it last signed.
    pub used_at: Option<Timestamp>,
}

/// What the form proposes, where it is offered.
const USUAL_DAYS: u64 = 30;

/// "My sign-ins".
pub fn mine(view: &Mine<'_>) -> Page {
    Page::within(
        Room::SignIns,
        "My sign-ins",
        Some(view.account),
        html! {
            div.wide {
                @if let Some(done) = view.done { div.notice.good role="status" { p { (done) } } }
                @if let Some(failure) = view.failure { div.notice.bad role="alert" { p { (failure) } } }
                (profile(view))
                (sessions(view))
                section aria-labelledby="clients" {
                    h2.large id="clients" { "Applications with access" }
                    p.muted { "What acts for you is listed on your " a href="/#clients" { "home page" } ", where you can end it." }
                }
                (passkeys(view))
                (keys(view))
            }
        },
    )
}

fn profile(view: &Mine<'_>) -> Markup {
    let Profile { name, display_name, email, groups, roles, sources } = &view.profile;
    html! {
        section aria-labelledby="me" {
            h1 id="me" { "My sign-ins" }
            dl.card.facts.columns {
                div { dt { "Name" } dd { (foreign(display_name)) } }
                div { dt { "Account name" } dd { (foreign(name)) } }
                div { dt { "E-mail" } dd { (email.as_deref().map_or_else(|| "Not known".to_owned(), foreign)) } }
                div { dt { "Roles" } dd { @if roles.is_empty() { "None" } @else { (roles.join(", ")) } } }
                div {
                    dt { "Signs in with" }
                    dd {
                        @if sources.is_empty() { "A password of this gateway" }
                        @for source in sources {
                            div {
                                (foreign(&source.provider))
                                div.small.muted {
                                    "Groups checked: " (moment::past_or(view.now, source.checked_at, "not yet"))
                                    @if let Some(since) = source.failing_since {
                                        ". It does not answer just now; first noticed " (moment::past(view.now, since))
                                    }
                                }
                            }
                        }
                    }
                }
                div.whole-row {
                    dt { "Groups" }
                    dd {
                        @if groups.is_empty() { "None" }
                        @else { ul.chips { @for group in groups { li.tag { (foreign(group)) } } } }
                    }
                }
            }
        }
    }
}

fn sessions(view: &Mine<'_>) -> Markup {
    let heads = [
        Head::Seen("Browser"),
        Head::Seen("Address"),
        Head::Seen("Signed in"),
        Head::Seen("Last seen"),
        Head::Heard("End"),
    ];
    let rows = view.sessions.iter().map(|row| {
        let agent = agent::agent_in_words(&row.agent);
        html! {
            (cell("Browser", agent_cell(row)))
            (cell("Address", html! { (row.address.as_deref().unwrap_or("Not known")) }))
            (cell("Signed in", moment::past(view.now, row.started_at)))
            (cell("Last seen", moment::past(view.now, row.seen_at)))
            (actions(Button { action: &format!("/sessions/{}/end", row.id), label: "End",
                spoken: &format!("End the sign-in of {agent}"), look: "danger" }.form(view.account, &[])))
        }
    });
    html! {
        section aria-labelledby="browsers" {
            div.heading {
                h2.large id="browsers" { "Browsers and devices" }
                @if view.sessions.len() > 1 {
                    (Button { action: "/sessions/end-others", label: "End all others",
                        spoken: "End every sign-in but this one", look: "danger" }.form(view.account, &[]))
                }
            }
            (table("Browsers and devices", &heads, rows))
        }
    }
}

/// The browser of a session, in words.
pub(super) fn agent_cell(row: &SessionRow) -> Markup {
    html! {
        b { (agent::agent_in_words(&row.agent)) }
        @if row.which == Which::This { " " span.tag.good { "This browser" } }
        div.small.muted { @match &row.provider { Some(name) => { "by " (foreign(name)) } None => { "by password" } } }
    }
}

fn passkeys(view: &Mine<'_>) -> Markup {
    html! {
        section aria-labelledby="passkeys" {
            h2.large id="passkeys" { "Passkeys" }
            @match &view.passkeys {
                Passkeys::NotHere { address, nearest } => {
                    p.muted {
                        "There are no passkeys at " code { (address) } ": browsers have them only for https and for localhost."
                        @if let Some(nearest) = nearest {
                            " Reach the gateway as " code { (nearest) } " instead, and set that as its " code { "public_url" } "."
                        }
                    }
                }
                Passkeys::Here { rows, options, ticket } => {
                    p.muted { "A passkey proves that it is you who approves a call: your device asks for your finger, your face or a PIN." }
                    @if !rows.is_empty() { (passkey_table(view, rows)) }
                    form.card.stack method="post" action="/account/passkeys" {
                        h3 { "Add a passkey" }
                        (proof(view.account))
                        input type="hidden" name="ticket" value=(ticket);
                        input type="hidden" name="assertion" value="";
                        (field("passkey-name", "Name", html! {
                            input id="passkey-name" name="name" type="text" required maxlength="64" autocomplete="off" placeholder="My laptop";
                        }))
                        div.row { button.primary type="button" hidden data-passkey-create=(options) { "Add a passkey" } }
                        noscript { p.small.muted { "Passkeys need scripts." } }
                        p.small.muted role="status" data-passkey-said {}
                    }
                }
            }
        }
    }
}

fn passkey_table(view: &Mine<'_>, rows: &[PasskeyLine]) -> Markup {
    let heads = [Head::Seen("Name"), Head::Seen("Added"), Head::Seen("Last used"), Head::Heard("Remove")];
    let rows = rows.iter().map(|row| {
        html! {
            (cell("Name", html! { b { (foreign(&row.name)) } }))
            (cell("Added", moment::past(view.now, row.made_at)))
            (cell("Last used", moment::past_or(view.now, row.used_at, "Not yet")))
            (actions(Button { action: "/account/passkeys/remove", label: "Remove",
                spoken: &format!("Remove the passkey {}", foreign(&row.name)), look: "danger" }
                .form(view.account, &[("passkey", &row.id)])))
        }
    });
    table("Passkeys", &heads, rows)
}

fn keys(view: &Mine<'_>) -> Markup {
    html! {
        section aria-labelledby="keys" {
            h2.large id="keys" { "Access keys" }
            @match &view.keys {
                Keys::Off => { p.muted { "Access keys are switched off on this gateway. Clients sign in through the browser." } }
                Keys::On { rows, servers, days } => {
                    p.muted { "For clients that cannot sign in through a browser. A key is as good as your sign-in for one server: keep it secret." }
                    @if !rows.is_empty() { (key_table(view, rows)) }
                    @if servers.is_empty() { p.muted { "There is no server that you may make a key for." } }
                    @else { (new_key(view, servers, days)) }
                }
            }
        }
    }
}

fn key_table(view: &Mine<'_>, rows: &[KeyRow]) -> Markup {
    let heads = [
        Head::Seen("Name"),
        Head::Seen("Server"),
        Head::Seen("May"),
        Head::Seen("Ends"),
        Head::Seen("Last used"),
        Head::Heard("Revoke"),
    ];
    let rows = rows.iter().map(|row| {
        html! {
            (key_cells(row, view.now))
            (actions(Button { action: "/account/keys/revoke", label: "Revoke",
                spoken: &format!("Revoke the key {}", foreign(&row.name)), look: "danger" }
                .form(view.account, &[("grant", &row.grant)])))
        }
    });
    table("Access keys", &heads, rows)
}

/// What is told of a key.
pub(super) fn key_cells(row: &KeyRow, now: Timestamp) -> Markup {
    html! {
        (cell("Name", html! { b { (foreign(&row.name)) } }))
        (cell("Server", html! { (foreign(&row.server)) }))
        (cell("May", html! { ul.inline { @for scope in &row.scopes { li { (scope_word(scope)) } } } }))
        (cell("Ends", moment::future(now, row.expires_at)))
        (cell("Last used", moment::past_or(now, row.last_used_at, "Not yet")))
    }
}

fn new_key(view: &Mine<'_>, servers: &[String], days: &[u64]) -> Markup {
    html! {
        form.card.stack method="post" action="/account/keys" {
            h3 { "Make a key" }
            (proof(view.account))
            div.fields {
                (field("key-name", "Name", html! {
                    input id="key-name" name="name" type="text" required maxlength="64" autocomplete="off"
                        placeholder="Build server";
                }))
                (field("key-server", "Server", html! {
                    select id="key-server" name="server" { @for server in servers { option value=(server) { (foreign(server)) } } }
                }))
                (field("key-scope", "May", html! {
                    select id="key-scope" name="scope" {
                        option value="mcp:read" { "Read only" }
                        option value="mcp:read mcp:call" { "Read and use tools" }
                    }
                }))
                (field("key-days", "Ends after", html! {
                    select id="key-days" name="days" {
                        @for days in days { option value=(days) selected[*days == USUAL_DAYS] { (days) @if *days == 1 { " day" } @else { " days" } } }
                    }
                }))
            }
            div.row { button.primary type="submit" { "Make the key" } }
        }
    }
}

/// What is shown once when a key was made.
pub struct NewKey<'a> {
    /// Who made it.
    pub account: Account<'a>,
    /// What they call it.
    pub name: &'a str,
    /// The address of the server that it is for.
    pub url: &'a str,
    /// The key.
    pub key: &'a str,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// The only page that ever shows a key.
pub fn new_key_page(view: &NewKey<'_>) -> Page {
    Page::within(
        Room::SignIns,
        "Your new access key",
        Some(view.account),
        html! {
            div.narrow.broad {
                h1 { "Your new access key" }
                div.notice.warn role="note" {
                    p { b { "It is shown only now." } " Copy it to where it will be used. Nobody can show it to you again." }
                }
                div.card.stack {
                    p.label { "Key" }
                    (copyable("key", view.key))
                    p.label { "Address of the server" }
                    (copyable("server-url", view.url))
                    p.small.muted { "Send it as " code { "Authorization: Bearer …" } ". “" (foreign(view.name)) "” ends " (moment::date(view.expires_at)) "." }
                }
                a.button.primary.wide href="/account#keys" { "I have copied it" }
            }
        },
    )
}
