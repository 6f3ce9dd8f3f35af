//! Back from the provider: both identities, before anything is kept.

use maud::html;
use portcullis_base::printable;

use super::{
    super::{Account, Page, Room, foreign, form::proof},
    connect::Whose,
    lookalike, scopes,
};

/// What the page shows.
pub struct Arrived<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Their name as people write it.
    pub display_name: &'a str,
    /// The server's name here.
    pub server: &'a str,
    /// Whose account it will be.
    pub whose: Whose,
    /// The host of the provider.
    pub host: &'a str,
    /// The account there, if the provider said.
    pub there: Option<&'a str>,
    /// The account that is connected until now, where it is another.
    pub before: Option<&'a str>,
    /// What the provider lets us do.
    pub scopes: &'a [String],
    /// Names what waits for the answer.
    pub pending: &'a str,
    /// Origin beyond ours that the form may end at.
    pub form_target: Option<String>,
}

/// The page that names both accounts. spec: T-3, T-86
pub fn arrived(view: &Arrived<'_>) -> Page {
    let server = foreign(view.server);
    let page = Page::within(
        Room::Connections,
        "Connect this account?",
        Some(view.account),
        html! {
            div.narrow.consent {
                p.eyebrow { @if view.whose == Whose::Shared { "Connection for everybody" } @else { "Connection" } }
                h1 { "Connect this account to " b { (server) } "?" }
                (lookalike(&[view.host]))
                section.card aria-labelledby="both" {
                    h2 id="both" { "Who is who" }
                    dl.facts {
                        div {
                            dt { "At this gateway" }
                            dd { p.host { (foreign(view.display_name)) } @if view.display_name != view.account.name { span.small.muted { (foreign(view.account.name)) } } }
                        }
                        div {
                            dt { "At " (printable(view.host, 253)) }
                            dd {
                                @match view.there {
                                    Some(there) => { p.host { (printable(there, 120)) } }
                                    None => {
                                        p { "The provider does not say which account this is." }
                                        p.small.muted { "It is the one that you are signed in with there, in this browser. If you are not sure, decline, sign out there, and connect once more." }
                                    }
                                }
                            }
                        }
                        div { dt { "May do there" } dd { (scopes(view.scopes)) } }
                    }
                }
                @if let Some(before) = view.before {
                    div.notice.warn role="note" {
                        p { b { "Until now " (printable(before, 120)) " is connected." } " The new account takes its place." }
                    }
                }
                @if view.whose == Whose::Shared {
                    div.notice.warn role="note" { p { "Everybody who may use " (server) " will act as this account." } }
                }
                form.decide method="post" action={ "/connections/" (view.server) "/confirm" } {
                    (proof(view.account))
                    input type="hidden" name="pending" value=(view.pending);
                    div.buttons {
                        button type="submit" name="decision" value="decline" { "Decline" }
                        button.primary type="submit" name="decision" value="connect" data-guarded { "Connect" }
                    }
                }
                p.small.muted { "Nothing is kept until you answer. If you did not start this yourself, or one of the names is not yours, decline." }
            }
        },
    );
    match &view.form_target {
        Some(target) => page.form_target(target.clone()),
        None => page,
    }
}
