//! Sign-in, at a provider or with a local account, and the way out.

use maud::{Markup, html};

use super::{Account, Page, foreign, form::field};
use crate::return_to::FINISH;

/// What the sign-in page shows.
#[derive(Default)]
pub struct SignIn<'a> {
    /// Where to go afterwards: a path of ours.
    pub return_to: &'a str,
    /// What every way of signing in takes along, as a query: where to go, and how fresh the sign-in must be.
    pub query: &'a str,
    /// The same as names and values of hidden fields.
    pub fields: &'a [(&'static str, String)],
    /// The providers to choose from.
    pub providers: &'a [ProviderChoice<'a>],
    /// Whether an e-mail address leads to one of them.
    pub by_email: ByEmail,
    /// Whether there are local accounts.
    pub local: LocalForm,
    /// The name that was tried.
    pub name: &'a str,
    /// Why the last try failed.
    pub failure: Option<&'a str>,
    /// Origin beyond ours that a form may end at, such as that of a client which waits for its answer.
    pub form_target: Option<String>,
}

/// A provider as a choice on the sign-in page.
#[derive(Clone, Copy, Debug)]
pub struct ProviderChoice<'a> {
    /// Its identifier, as it stands in the path.
    pub id: &'a str,
    /// Its name on the button.
    pub name: &'a str,
}

/// Whether the page asks for an e-mail address that tells the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByEmail {
    /// A field for it.
    Asked,
    /// No provider has domains of its own.
    #[default]
    No,
}

/// How a local account is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalForm {
    /// Name and password are asked for on this page.
    #[default]
    Shown,
    /// A link leads to the form.
    Linked,
    /// There are no local accounts.
    Absent,
}

/// The sign-in page.
pub fn sign_in(view: &SignIn<'_>) -> Page {
    let lead = if view.return_to.starts_with(FINISH) {
        "You allowed an application. Sign in, and it gets what you allowed."
    } else if view.return_to.starts_with("/oauth/") {
        "An application asks for access. Sign in to see what it wants."
    } else {
        "Sign in to see your servers and the applications that use them."
    };
    let page = Page::new(
        "Sign in",
        None,
        html! {
            div.narrow {
                h1 { "Sign in" }
                p.lead { (lead) }
                @if let Some(failure) = view.failure {
                    div.notice.bad role="alert" id="failure" { p { (failure) } }
                }
                @if view.local != LocalForm::Shown { (providers(view)) }
                @if view.local == LocalForm::Shown { (local(view)) }
            }
        },
    );
    match &view.form_target {
        Some(target) => page.form_target(target.clone()),
        None => page,
    }
}

fn providers(view: &SignIn<'_>) -> Markup {
    html! {
        @if !view.providers.is_empty() {
            div.ways {
                @for provider in view.providers {
                    a.button.way href={ "/login/" (provider.id) "?" (view.query) } {
                        span.initial aria-hidden="true" { (initial(provider.name)) } span { "Sign in with " (foreign(provider.name)) }
                    }
                }
            }
        }
        @if view.by_email == ByEmail::Asked {
            @if !view.providers.is_empty() { p.or { "or by e-mail address" } }
            form.card.stack method="post" action="/login/choose" {
                (hidden(view))
                (field("email", "E-mail address", html! {
                    input id="email" name="email" type="email" autocomplete="username" autocapitalize="none"
                        spellcheck="false" required maxlength="254" value=(foreign(view.name))
                        aria-describedby=[view.failure.map(|_| "failure")];
                }))
                button.primary.wide type="submit" { "Next" }
            }
        }
        @if view.local == LocalForm::Linked {
            p.small.muted { "No company sign-in? " a href={ "/login?with=password&" (view.query) } { "Use a password of this gateway" } }
        }
    }
}

/// The first letter of a name; the signs of companies are not ours to draw.
fn initial(name: &str) -> String {
    foreign(name)
        .chars()
        .find(|letter| letter.is_alphanumeric())
        .map_or_else(String::new, |c| c.to_uppercase().collect())
}

fn local(view: &SignIn<'_>) -> Markup {
    html! {
        form.card.stack method="post" action="/login" {
            (hidden(view))
            (field("name", "Name", html! {
                input id="name" name="name" type="text" autocomplete="username" autocapitalize="none"
                    spellcheck="false" required maxlength="64" value=(foreign(view.name))
                    autofocus[view.name.is_empty()] aria-describedby=[view.failure.map(|_| "failure")];
            }))
            (field("password", "Password", html! {
                input id="password" name="password" type="password" autocomplete="current-password" required
                    maxlength="1024" autofocus[!view.name.is_empty()]
                    aria-describedby=[view.failure.map(|_| "failure")];
            }))
            button.primary.wide type="submit" { "Sign in" }
        }
        p.small.muted { "No account yet, or password lost? Ask the administrator of this gateway." }
    }
}

fn hidden(view: &SignIn<'_>) -> Markup {
    html! {
        @for (name, value) in view.fields { input type="hidden" name=(name) value=(value); }
    }
}

/// Two accounts, one browser: whoever is signed in chooses. spec: T-7
pub struct Switch<'a> {
    /// Who is signed in.
    pub account: Account<'a>,
    /// Who came back from the provider.
    pub other: &'a str,
    /// The name of the provider.
    pub provider: &'a str,
    /// The sign-in that waits for the choice, sealed.
    pub pending: &'a str,
    /// Origin beyond ours that the form may end at.
    pub form_target: Option<String>,
}

/// The page that names both accounts.
pub fn switch(view: &Switch<'_>) -> Page {
    let page = Page::new(
        "Switch account",
        Some(view.account),
        html! {
            div.narrow {
                h1 { "Which account?" }
                p.lead {
                    "This browser is signed in as " b { (foreign(view.account.name)) } ". " (foreign(view.provider))
                    " has just signed in " b { (foreign(view.other)) } "."
                }
                form.card.stack method="post" action="/login/switch" {
                    input type="hidden" name="form_token" value=(view.account.form_token);
                    input type="hidden" name="pending" value=(view.pending);
                    button.wide type="submit" name="decision" value="stay" { "Stay " (foreign(view.account.name)) }
                    button.primary.wide type="submit" name="decision" value="switch" {
                        "Sign out and go on as " (foreign(view.other))
                    }
                }
                p.small.muted { "If you did not start this sign-in yourself, stay." }
            }
        },
    );
    match &view.form_target {
        Some(target) => page.form_target(target.clone()),
        None => page,
    }
}

/// What the page for a fresh sign-in shows.
pub struct Fresh<'a> {
    /// Who is signed in.
    pub account: Account<'a>,
    /// The application that may go on.
    pub client: &'a str,
    /// The server it uses.
    pub server: &'a str,
    /// The demand, sealed.
    pub demand: &'a str,
}

/// The page on which a person who has signed in freshly lets an application go on.
pub fn fresh(view: &Fresh<'_>) -> Page {
    Page::new(
        "Go on",
        Some(view.account),
        html! {
            div.narrow {
                h1 { "Let " (foreign(view.client)) " go on?" }
                p.lead {
                    "A rule of this gateway asks for a fresh sign-in before " (foreign(view.client))
                    " does what it wants to do at " (foreign(view.server)) ". You have just signed in."
                }
                form.card.stack method="post" action="/login/fresh" {
                    input type="hidden" name="form_token" value=(view.account.form_token);
                    input type="hidden" name="grant" value=(view.demand);
                    button.primary.wide type="submit" data-guarded { "Let it go on" }
                    a.button.wide href="/" { "Do not" }
                }
                p.small.muted { "If you do not know why it asks, do not." }
            }
        },
    )
}

/// What is shown when the application may go on.
pub fn freshened(account: Account<'_>, client: &str) -> Page {
    Page::new(
        "Done",
        Some(account),
        html! {
            div.narrow {
                h1 { "Done" }
                p.lead { "Go back to " (foreign(client)) " and try again there." }
            }
        },
    )
}

/// After leaving here, on to the provider's own sign-out.
///
/// The way there is a page and not a redirect: the policy of the page with the form would not let a redirect leave.
pub fn sign_out_onward(provider: &str, address: &str) -> Page {
    Page::new(
        "Signed out",
        None,
        html! {
            meta http-equiv="refresh" content={ "0;url=" (address) };
            div.narrow {
                h1 { "Signed out" }
                p.lead { "This browser is no longer signed in here. " (foreign(provider)) " comes next." }
                a.button.primary.wide href=(address) rel="noreferrer" { "Sign out at " (foreign(provider)) }
            }
        },
    )
}

/// The page behind `GET /logout`: leaving is a form, because a link must not change anything.
pub fn sign_out(account: Account<'_>) -> Page {
    Page::new(
        "Sign out",
        Some(account),
        html! {
            div.narrow {
                h1 { "Sign out?" }
                p.lead { "Applications that you allowed keep their access. You can end that on your home page." }
                form.card.stack method="post" action="/logout" {
                    input type="hidden" name="form_token" value=(account.form_token);
                    button.primary.wide type="submit" { "Sign out" }
                    a.button.wide href="/" { "Stay" }
                }
            }
        },
    )
}

/// What is shown after leaving.
pub fn signed_out() -> Page {
    Page::new(
        "Signed out",
        None,
        html! {
            div.narrow {
                h1 { "Signed out" }
                p.lead { "This browser is no longer signed in." }
                a.button.primary.wide href="/login" { "Sign in again" }
            }
        },
    )
}
