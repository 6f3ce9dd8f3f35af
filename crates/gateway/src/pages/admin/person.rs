//! One person: what they are, where they come from, what acts for them, and how to end it.

use maud::{Markup, html};
use portcullis_base::{Timestamp, printable};

use super::{
    super::{
        Account, Page,
        account::{KeyRow, SessionRow, agent_cell, key_cells},
        foreign,
        form::{Button, field, proof},
        home::{ClientRow, scope_word},
        moment,
        table::{Head, actions, cell, table},
    },
    Tab, may_change, page,
    people::{State, state},
    told,
};

/// What the page shows.
pub struct Person<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Whose page it is.
    pub id: &'a str,
    /// The account name.
    pub name: &'a str,
    /// The name to show.
    pub display_name: &'a str,
    /// Mail address, if known.
    pub email: Option<&'a str>,
    /// Whether the account may be used.
    pub state: State,
    /// When the account was made.
    pub created_at: Timestamp,
    /// The words for their roles.
    pub roles: Vec<&'static str>,
    /// Set if they were made an administrator here, whatever their groups say.
    pub administrator_since: Option<Timestamp>,
    /// All their groups.
    pub groups: Vec<String>,
    /// Those of them that were given here.
    pub local_groups: Vec<String>,
    /// Who vouches for them.
    pub identities: Vec<IdentityRow>,
    /// Browsers that are signed in.
    pub sessions: Vec<SessionRow>,
    /// Applications that act for them.
    pub clients: Vec<ClientRow>,
    /// Their access keys.
    pub keys: Vec<KeyRow>,
    /// Service accounts that they answer for.
    pub owned: Vec<String>,
    /// The present moment.
    pub now: Timestamp,
    /// What was just done.
    pub done: Option<&'a str>,
}

/// A provider's word for a person.
pub struct IdentityRow {
    /// The provider's name.
    pub provider: String,
    /// The issuer that the subject belongs to.
    pub issuer: String,
    /// The provider's identifier for the person.
    pub subject: String,
    /// When they last signed in there.
    pub signed_in_at: Option<Timestamp>,
    /// When the provider was last asked for their groups.
    pub checked_at: Option<Timestamp>,
    /// Since when it does not answer.
    pub failing_since: Option<Timestamp>,
    /// When the provider ended it.
    pub ended_at: Option<Timestamp>,
}

/// The page of one person.
pub fn person(view: &Person<'_>) -> Page {
    page(
        Tab::People,
        view.display_name,
        view.account,
        html! {
            (told(view.done))
            section aria-labelledby="who" {
                div.heading {
                    h1 id="who" { (foreign(view.display_name)) " " (state(view.state)) }
                    @if may_change(view.account) { (ending(view)) }
                }
                (profile(view))
            }
            (identities(view))
            @if may_change(view.account) { (rights(view)) }
            (sessions(view))
            (clients(view))
            (keys(view))
        },
    )
}

fn ending(view: &Person<'_>) -> Markup {
    let address = format!("/admin/people/{}", view.id);
    html! {
        @match view.state {
            State::Active => { a.button.danger.tall href={ (address) "/offboard" } { "Offboard…" } }
            State::Disabled(_) => {
                (Button { action: &format!("{address}/enable"), label: "Switch on again",
                    spoken: &format!("Switch the account of {} on again", foreign(view.display_name)), look: "tall" }
                    .form(view.account, &[]))
            }
        }
    }
}

fn profile(view: &Person<'_>) -> Markup {
    html! {
        dl.card.facts.columns {
            div { dt { "Account name" } dd { (foreign(view.name)) } }
            div { dt { "E-mail" } dd { (view.email.map_or_else(|| "Not known".to_owned(), foreign)) } }
            div { dt { "Roles" } dd { @if view.roles.is_empty() { "None" } @else { (view.roles.join(", ")) } } }
            div { dt { "Known since" } dd { (moment::date(view.created_at)) } }
            @if let State::Disabled(at) = view.state { div { dt { "Switched off" } dd { (moment::date(at)) } } }
            div.whole-row {
                dt { "Groups" }
                dd {
                    @if view.groups.is_empty() { "None" }
                    @else {
                        ul.chips {
                            @for group in &view.groups {
                                li.tag { (foreign(group)) @if view.local_groups.contains(group) { " · given here" } }
                            }
                        }
                    }
                }
            }
            @if !view.owned.is_empty() {
                div.whole-row {
                    dt { "Answers for the service accounts" }
                    dd { ul.inline { @for name in &view.owned { li { (foreign(name)) } } } }
                }
            }
        }
    }
}

fn identities(view: &Person<'_>) -> Markup {
    let heads =
        [Head::Seen("Provider"), Head::Seen("Subject"), Head::Seen("Last sign-in"), Head::Seen("Groups checked")];
    let rows = view.identities.iter().map(|row| {
        html! {
            (cell("Provider", html! {
                b { (foreign(&row.provider)) }
                div.small.muted.mono { (printable(&row.issuer, 120)) }
            }))
            (cell("Subject", html! { code { (printable(&row.subject, 80)) } }))
            (cell("Last sign-in", moment::past_or(view.now, row.signed_in_at, "Not yet")))
            (cell("Groups checked", html! {
                @if let Some(at) = row.ended_at { span.tag.warn { "Ended" } " " (moment::past(view.now, at)) }
                @else {
                    (moment::past_or(view.now, row.checked_at, "Not yet"))
                    @if let Some(since) = row.failing_since {
                        div.small { span.tag.warn { "No answer" } " first " (moment::past(view.now, since)) }
                    }
                }
            }))
        }
    });
    html! {
        section aria-labelledby="identities" {
            h2.large id="identities" { "Company sign-ins" }
            @if view.identities.is_empty() {
                div.card.empty { p.muted { "None. This account signs in with a password, or has not signed in yet." } }
            } @else { (table("Company sign-ins", &heads, rows)) }
        }
    }
}

fn rights(view: &Person<'_>) -> Markup {
    let address = format!("/admin/people/{}", view.id);
    let (label, give) = if view.administrator_since.is_some() {
        ("Take administration away", "no")
    } else {
        ("Make an administrator", "yes")
    };
    html! {
        section aria-labelledby="rights" {
            h2.large id="rights" { "Groups and rights given here" }
            form.card.stack method="post" action={ (address) "/groups" } {
                (proof(view.account))
                (field("groups", "Groups", html! {
                    input id="groups" name="groups" type="text" maxlength="2000" autocapitalize="none" spellcheck="false"
                        value=(view.local_groups.join(", ")) aria-describedby="groups-hint";
                    p.hint id="groups-hint" { "Divided by commas. They are added to what providers say." }
                }))
                div.row { button type="submit" { "Save groups" } }
            }
            div.card.row.between {
                p {
                    @match view.administrator_since {
                        Some(since) => { b { "Administrator" } " by decision of an administrator, " (moment::date(since)) "." }
                        None => { "Not an administrator by anybody's decision here. Groups may still give a role." }
                    }
                }
                (Button { action: &format!("{address}/administrator"), label,
                    spoken: &format!("{label}: {}", foreign(view.display_name)), look: "" }
                    .form(view.account, &[("give", give)]))
            }
        }
    }
}

fn sessions(view: &Person<'_>) -> Markup {
    let heads = [Head::Seen("Browser"), Head::Seen("Address"), Head::Seen("Signed in"), Head::Seen("Last seen")];
    let rows = view.sessions.iter().map(|row| {
        html! {
            (cell("Browser", agent_cell(row)))
            (cell("Address", html! { (row.address.as_deref().unwrap_or("Not known")) }))
            (cell("Signed in", moment::past(view.now, row.started_at)))
            (cell("Last seen", moment::past(view.now, row.seen_at)))
        }
    });
    let address = format!("/admin/people/{}/sessions/end", view.id);
    html! {
        section aria-labelledby="sessions" {
            div.heading {
                h2.large id="sessions" { "Browsers" }
                @if may_change(view.account) && !view.sessions.is_empty() {
                    (Button { action: &address, label: "Sign out everywhere",
                        spoken: &format!("Sign {} out of every browser", foreign(view.display_name)), look: "danger" }
                        .form(view.account, &[]))
                }
            }
            @if view.sessions.is_empty() { div.card.empty { p.muted { "Not signed in anywhere." } } }
            @else { (table("Browsers", &heads, rows)) }
        }
    }
}

fn clients(view: &Person<'_>) -> Markup {
    let mut heads =
        Vec::from([Head::Seen("Application"), Head::Seen("Server"), Head::Seen("May"), Head::Seen("Last used")]);
    heads.extend(may_change(view.account).then_some(Head::Heard("End access")));
    let back = format!("/admin/people/{}", view.id);
    let rows = view.clients.iter().map(|row| {
        let (name, server) = (foreign(&row.client_name), foreign(&row.server));
        html! {
            (cell("Application", html! { b { (name) } div.small.muted.mono { (printable(&row.host, 80)) } }))
            (cell("Server", html! { (server) }))
            (cell("May", html! { ul.inline { @for scope in &row.scopes { li { (scope_word(scope)) } } } }))
            (cell("Last used", moment::past_or(view.now, row.last_used_at, "Not yet")))
            @if may_change(view.account) {
                (actions(Button { action: "/grants/revoke", label: "End access",
                    spoken: &format!("End the access of {name} to {server}"), look: "danger" }
                    .form(view.account, &[("grant", &row.grant), ("back", &back)])))
            }
        }
    });
    html! {
        section aria-labelledby="clients" {
            h2.large id="clients" { "Applications with access" }
            @if view.clients.is_empty() { div.card.empty { p.muted { "None." } } }
            @else { (table("Applications with access", &heads, rows)) }
        }
    }
}

fn keys(view: &Person<'_>) -> Markup {
    let heads =
        [Head::Seen("Name"), Head::Seen("Server"), Head::Seen("May"), Head::Seen("Ends"), Head::Seen("Last used")];
    html! {
        @if !view.keys.is_empty() {
            section aria-labelledby="keys" {
                h2.large id="keys" { "Access keys" }
                (table("Access keys", &heads, view.keys.iter().map(|row| key_cells(row, view.now))))
            }
        }
    }
}
