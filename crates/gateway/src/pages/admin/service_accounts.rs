//! Service accounts: programs that call for themselves, and the people who answer for them.

use maud::{Markup, html};
use portcullis_base::Timestamp;

use super::{
    super::{
        Account, Page, foreign,
        form::{Button, copyable, field, proof},
        moment,
        table::{Head, actions, cell, table},
    },
    Tab, page,
    people::{State, state},
    told,
};

/// What the page shows.
pub struct ServiceAccounts<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Every service account.
    pub rows: Vec<ServiceRow>,
    /// The present moment.
    pub now: Timestamp,
    /// What was just done.
    pub done: Option<&'a str>,
    /// Why something could not be done.
    pub failure: Option<&'a str>,
    /// What was typed into the form that failed.
    pub typed: Typed<'a>,
}

/// What stands in the form.
#[derive(Clone, Copy, Default)]
pub struct Typed<'a> {
    /// The account name.
    pub name: &'a str,
    /// The groups, divided by commas.
    pub groups: &'a str,
    /// Where its keys are.
    pub keys_url: &'a str,
}

/// One service account.
pub struct ServiceRow {
    /// Its identifier, which is also its `client_id`.
    pub id: String,
    /// Its account name.
    pub name: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
    /// How it proves who it is.
    pub proof: ProofKind,
    /// Whether it may be used.
    pub state: State,
    /// When it last got a token.
    pub last_used_at: Option<Timestamp>,
}

/// How a service account proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofKind {
    /// With a secret.
    Secret,
    /// By signing.
    Keys,
}

/// The list of service accounts.
pub fn service_accounts(view: &ServiceAccounts<'_>) -> Page {
    page(
        Tab::ServiceAccounts,
        "Service accounts",
        view.account,
        html! {
            (told(view.done))
            @if let Some(failure) = view.failure { div.notice.bad role="alert" id="failure" { p { (foreign_sentence(failure)) } } }
            section aria-labelledby="services" {
                h1 id="services" { "Service accounts" }
                p.lead { "Programs that call for themselves. Each has a person who answers for it, and groups like a person." }
                @if view.rows.is_empty() { div.card.empty { p.muted { "None yet." } } }
                @else { (table("Service accounts", &HEADS, view.rows.iter().map(|service| row(service, view)))) }
            }
            (create(view))
        },
    )
}

const HEADS: [Head; 6] = [
    Head::Seen("Account"),
    Head::Seen("Answered for by"),
    Head::Seen("Groups"),
    Head::Seen("Proves itself by"),
    Head::Seen("Last used"),
    Head::Heard("Change"),
];

fn row(service: &ServiceRow, view: &ServiceAccounts<'_>) -> Markup {
    let name = foreign(&service.name);
    let address = format!("/admin/service-accounts/{}", service.id);
    let active = service.state == State::Active;
    html! {
        (cell("Account", html! {
            b { (name) } @if !active { " " (state(service.state)) }
            div.small.muted.mono { (foreign(&service.id)) }
        }))
        (cell("Answered for by", html! { (service.owner.as_deref().map_or_else(|| "Nobody".to_owned(), foreign)) }))
        (cell("Groups", html! {
            @if service.groups.is_empty() { span.muted { "None" } }
            @else { ul.inline { @for group in &service.groups { li { (foreign(group)) } } } }
        }))
        (cell("Proves itself by", html! {
            @match service.proof { ProofKind::Secret => "a secret", ProofKind::Keys => "a signature" }
        }))
        (cell("Last used", moment::past_or(view.now, service.last_used_at, "Not yet")))
        (actions(html! {
            @if active {
                div.row.end {
                    (change(service, view))
                    @if service.proof == ProofKind::Secret {
                        (Button { action: &format!("{address}/rotate"), label: "New secret",
                            spoken: &format!("Make a new secret for {name}"), look: "small-button" }.form(view.account, &[]))
                    }
                    (Button { action: &format!("{address}/disable"), label: "Switch off",
                        spoken: &format!("Switch {name} off"), look: "danger" }.form(view.account, &[]))
                }
            }
        }))
    }
}

fn change(service: &ServiceRow, view: &ServiceAccounts<'_>) -> Markup {
    let (owner, groups) = (format!("owner-{}", service.id), format!("groups-{}", service.id));
    html! {
        details.change {
            summary.button.small-button { "Change" span.visually-hidden { " " (foreign(&service.name)) } }
            form.stack method="post" action={ "/admin/service-accounts/" (service.id) "/change" } {
                (proof(view.account))
                (field(&owner, "Answered for by", html! {
                    input id=(owner) name="owner" type="text" required maxlength="64" autocapitalize="none"
                        autocomplete="off" spellcheck="false" value=(service.owner.as_deref().unwrap_or_default());
                }))
                (field(&groups, "Groups", html! {
                    input id=(groups) name="groups" type="text" maxlength="2000" autocapitalize="none"
                        autocomplete="off" spellcheck="false" value=(service.groups.join(", "));
                }))
                div.row { button type="submit" { "Save" } }
            }
        }
    }
}

fn create(view: &ServiceAccounts<'_>) -> Markup {
    let described = view.failure.map(|_| "failure");
    html! {
        section aria-labelledby="create" {
            h2.large id="create" { "Make one" }
            form.card.stack method="post" action="/admin/service-accounts" {
                (proof(view.account))
                div.fields {
                    (field("name", "Name", html! {
                        input id="name" name="name" type="text" required maxlength="64" autocapitalize="none"
                            autocomplete="off" spellcheck="false" value=(foreign(view.typed.name))
                            placeholder="nightly-report" aria-describedby=[described];
                    }))
                    (field("owner", "Answered for by", html! {
                        input id="owner" name="owner" type="text" required maxlength="64" autocapitalize="none"
                            autocomplete="off" spellcheck="false" value=(foreign(view.account.name));
                    }))
                    (field("groups", "Groups", html! {
                        input id="groups" name="groups" type="text" maxlength="2000" autocapitalize="none"
                            autocomplete="off" spellcheck="false" value=(foreign(view.typed.groups))
                            aria-describedby="groups-hint";
                        p.hint id="groups-hint" { "Divided by commas" }
                    }))
                    (field("keys-url", "Address of its public keys", html! {
                        input id="keys-url" name="keys_url" type="text" maxlength="2000" inputmode="url"
                            autocomplete="off" spellcheck="false" value=(portcullis_base::printable(view.typed.keys_url, 2000))
                            aria-describedby="keys-hint";
                        p.hint id="keys-hint" { "A JWK set. Left empty, it gets a secret, which is the weaker choice." }
                    }))
                }
                div.row { button.primary type="submit" { "Make the service account" } }
            }
        }
    }
}

fn foreign_sentence(text: &str) -> String {
    portcullis_base::printable(text, 300)
}

/// What is shown once when a secret was made.
pub struct NewSecret<'a> {
    /// Who made it.
    pub account: Account<'a>,
    /// The account name, where it is known.
    pub name: &'a str,
    /// The `client_id`.
    pub id: &'a str,
    /// The secret.
    pub secret: &'a str,
    /// Where tokens are asked for.
    pub token_endpoint: &'a str,
}

/// The only page that ever shows a secret.
pub fn new_secret(view: &NewSecret<'_>) -> Page {
    page(
        Tab::ServiceAccounts,
        "A new secret",
        view.account,
        html! {
            div.narrow.broad {
                h1 { "The secret of " (foreign(view.name)) }
                div.notice.warn role="note" {
                    p { b { "It is shown only now." } " Copy it to where it will be used. Nobody can show it again." }
                }
                div.card.stack {
                    p.label { "client_id" }
                    (copyable("client-id", view.id))
                    p.label { "client_secret" }
                    (copyable("client-secret", view.secret))
                    p.label { "Token endpoint" }
                    (copyable("token-endpoint", view.token_endpoint))
                    p.small.muted { "Ask with " code { "grant_type=client_credentials" } " and the address of the server as " code { "resource" } "." }
                }
                a.button.primary.wide href="/admin/service-accounts" { "I have copied it" }
            }
        },
    )
}
