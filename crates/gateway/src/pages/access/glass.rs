//! Taking every right to a server, in an emergency.

use std::time::Duration;

use maud::html;

use super::spoken;
use crate::pages::{
    Account, Page, Room, foreign,
    form::{field, proof},
};

/// What the page shows.
pub struct Glass<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// The server.
    pub name: &'a str,
    /// What the right will be called.
    pub right: &'a str,
    /// How long it will last.
    pub lasts: Duration,
    /// What it asks for.
    pub way: Way,
    /// Why it could not be done.
    pub failure: Option<&'a str>,
}

/// What it asks for besides a reason.
pub enum Way {
    /// Nothing more.
    Here,
    /// A passkey: what the browser is asked.
    Passkey(String),
    /// A sign-in at this address first.
    SignInAgain(String),
}

/// The page.
pub fn glass(view: &Glass<'_>) -> Page {
    Page::within(
        Room::Approvals,
        "Break the glass",
        Some(view.account),
        html! {
            div.narrow.broad {
                @if let Some(failure) = view.failure { div.notice.bad role="alert" { p { (failure) } } }
                h1 { "Break the glass at " (foreign(view.name)) "?" }
                div.notice.warn {
                    p { "For " (spoken(view.lasts)) " you may make every call at this server that no rule denies or asks about, without being asked." }
                    p { "It is recorded with your reason, every call under it says so, and everybody who looks after this gateway is shown it on every page while it lasts. You can give it back at any time." }
                }
                @match &view.way {
                    Way::SignInAgain(link) => {
                        div.card.stack {
                            p { "This asks for a sign-in of the last few minutes." }
                            div.row { a.button.primary href=(link) { "Sign in again" } }
                        }
                    }
                    way => {
                        form.card.stack method="post" action={ "/access/" (view.name) "/break-glass" } {
                            (proof(view.account))
                            input type="hidden" name="right" value=(view.right);
                            input type="hidden" name="assertion" value="";
                            (field("why", "Why", html! {
                                textarea id="why" name="why" rows="3" maxlength="500" required {}
                            }))
                            @match way {
                                Way::Passkey(options) => {
                                    div.row { button.grave type="button" hidden data-passkey-get=(options) { "Break the glass with your passkey" } }
                                    noscript { p { "You have a passkey, so this asks for it, and passkeys need scripts." } }
                                    p.small.muted role="status" data-passkey-said {}
                                }
                                _ => { div.row { button.grave type="submit" data-guarded { "Break the glass" } } }
                            }
                        }
                    }
                }
                p { a href={ "/access/" (view.name) } { "Ask for access instead" } }
            }
        },
    )
}
