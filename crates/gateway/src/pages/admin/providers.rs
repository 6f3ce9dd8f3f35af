//! Identity providers: how they are, and what to register with them.

use maud::{Markup, html};
use portcullis_base::{Timestamp, printable};

use super::{
    super::{
        Account, Page, foreign,
        form::{Button, copyable},
        moment,
        table::{Head, cell, table},
    },
    Tab, page,
};
use crate::check::{Check, CheckState};

/// What the page shows.
pub struct Providers<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Every provider of the settings.
    pub rows: Vec<ProviderCard>,
    /// The present moment.
    pub now: Timestamp,
}

/// One provider.
pub struct ProviderCard {
    /// Its name in the settings.
    pub id: String,
    /// Its name on buttons.
    pub name: String,
    /// What it is.
    pub kind: &'static str,
    /// Its issuer.
    pub issuer: String,
    /// Mail domains that lead to it.
    pub domains: Vec<String>,
    /// What to register there for signing in.
    pub redirect_uri: String,
    /// What to register there for signing out, unless that is switched off.
    pub back_channel_uri: Option<String>,
    /// What its directory writes to, if it may.
    pub scim_url: Option<String>,
    /// When it last told about itself.
    pub discovery: Discovery,
    /// When somebody last signed in with it.
    pub signed_in_at: Option<Timestamp>,
    /// What last went wrong.
    pub last_problem: Option<(Timestamp, String)>,
    /// Claims that the settings name and that the last sign-in did not bring.
    pub missing_claims: Vec<String>,
}

/// When a provider last told about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// It cannot: we know it by heart.
    Unneeded,
    /// It has not been asked, or did not answer.
    NotYet,
    /// Then.
    At(Timestamp),
}

/// The list of providers.
pub fn providers(view: &Providers<'_>) -> Page {
    page(
        Tab::Providers,
        "Providers",
        view.account,
        html! {
            section aria-labelledby="providers" {
                h1 id="providers" { "Providers" }
                p.lead { "Where people sign in. They are set up in the settings file under " code { "identity.providers" } "." }
                @if view.rows.is_empty() {
                    div.card.empty {
                        p { b { "None yet." } }
                        p.muted { "People sign in with local accounts of this gateway." }
                    }
                }
                @for row in &view.rows { (card(row, view)) }
            }
        },
    )
}

fn card(row: &ProviderCard, view: &Providers<'_>) -> Markup {
    let name = foreign(&row.name);
    html! {
        article.card.provider {
            div.heading {
                div {
                    h2.large { (name) " " span.tag { (row.kind) } }
                    p.small.muted.mono { (printable(&row.issuer, 200)) }
                }
                (Button { action: &format!("/admin/providers/{}/check", row.id), label: "Check now",
                    spoken: &format!("Check {name} now"), look: "" }.form(view.account, &[]))
            }
            (problem(row, view.now))
            @if !row.missing_claims.is_empty() {
                div.notice.warn role="note" {
                    p { b { "The last sign-in did not bring: " } (row.missing_claims.iter().map(|name| foreign(name)).collect::<Vec<_>>().join(", ")) ". Look at its claims there, and at " code { "claims" } " in the settings." }
                }
            }
            dl.facts.columns {
                @match row.discovery {
                    Discovery::Unneeded => {}
                    Discovery::NotYet => { div { dt { "Last discovery" } dd.muted { "Not yet" } } }
                    Discovery::At(at) => { div { dt { "Last discovery" } dd { (moment::past(view.now, at)) } } }
                }
                div { dt { "Last sign-in" } dd { (moment::past_or(view.now, row.signed_in_at, "Not yet")) } }
                @if !row.domains.is_empty() { div { dt { "E-mail domains" } dd { (row.domains.join(", ")) } } }
            }
            (registered(row))
        }
    }
}

fn problem(row: &ProviderCard, now: Timestamp) -> Markup {
    let discovered_at = if let Discovery::At(at) = row.discovery { Some(at) } else { None };
    html! {
        @if let Some((at, text)) = &row.last_problem {
            // What was put right since is history, not an alarm.
            @if discovered_at.max(row.signed_in_at).is_some_and(|good| good > *at) {
                p.small.muted { "Last problem, " (moment::past(now, *at)) ": " (printable(text, 400)) }
            } @else {
                div.notice.bad role="note" { p { b { "Problem, " (moment::past(now, *at)) ". " } (printable(text, 400)) } }
            }
        }
    }
}

fn registered(row: &ProviderCard) -> Markup {
    let addresses = [
        ("redirect", "Redirect URI to register there", Some(&row.redirect_uri)),
        ("back-channel", "Back-channel logout URI", row.back_channel_uri.as_ref()),
        ("scim", "SCIM base URL", row.scim_url.as_ref()),
    ];
    html! {
        @for (what, label, address) in addresses {
            @if let Some(address) = address {
                p.label { (label) }
                (copyable(&format!("{what}-{}", row.id), address))
            }
        }
    }
}

/// What a check found.
pub struct Checked<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// The provider's name in the settings.
    pub id: &'a str,
    /// Its name on buttons.
    pub name: &'a str,
    /// What was looked at.
    pub rows: Vec<Check>,
}

/// The result of looking at one provider.
pub fn checked(view: &Checked<'_>) -> Page {
    let name = foreign(view.name);
    let bad = view.rows.iter().filter(|row| row.state == CheckState::Bad).count();
    let heads = [Head::Seen("What"), Head::Seen("How"), Head::Seen("Found")];
    page(
        Tab::Providers,
        "Check of a provider",
        view.account,
        html! {
            section aria-labelledby="check" {
                div.heading {
                    h1 id="check" { "Check of " (name) }
                    (Button { action: &format!("/admin/providers/{}/check", view.id), label: "Check again",
                        spoken: &format!("Check {name} again"), look: "" }.form(view.account, &[]))
                }
                @if bad == 0 { div.notice.good role="status" { p { "People can sign in with " (name) "." } } }
                @else { div.notice.bad role="status" { p { b { "Something is wrong." } " People may not be able to sign in until it is put right." } } }
                (table("What was looked at", &heads, view.rows.iter().map(check_row)))
                p { a href="/admin/providers" { "Back to the providers" } }
            }
        },
    )
}

/// How something is, in a word.
pub(super) fn state_tag(state: CheckState) -> Markup {
    match state {
        CheckState::Good => html! { span.tag.good { "Good" } },
        CheckState::Warning => html! { span.tag.warn { "Look at this" } },
        CheckState::Bad => html! { span.tag.bad { "Wrong" } },
    }
}

fn check_row(row: &Check) -> Markup {
    html! {
        (cell("What", html! { div.spoken { b { (row.name) } } }))
        (cell("How", state_tag(row.state)))
        (cell("Found", html! {
            (printable(&row.text, 600))
            @if let Some(advice) = &row.advice { div.small.muted.spoken { (printable(advice, 600)) } }
        }))
    }
}
