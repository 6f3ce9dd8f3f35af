//! Sign-in with a local account, and the way out.

use maud::{Markup, html};

use super::{Account, Page, foreign};

/// What the sign-in page shows.
#[derive(Default)]
pub struct SignIn<'a> {
    /// Where to go afterwards: a path of ours.
    pub return_to: &'a str,
    /// The name that was tried.
    pub name: &'a str,
    /// Why the last try failed.
    pub failure: Option<&'a str>,
}

/// The sign-in page.
pub fn sign_in(view: &SignIn<'_>) -> Page {
    let toward_client = view.return_to.starts_with("/oauth/");
    Page::new(
        "Sign in",
        None,
        html! {
            div.narrow {
                h1 { "Sign in" }
                p.lead {
                    @if toward_client { "An application asks for access. Sign in to see what it wants." }
                    @else { "Sign in to see your servers and the applications that use them." }
                }
                @if let Some(failure) = view.failure {
                    div.notice.bad role="alert" id="failure" { p { (failure) } }
                }
                form.card.stack method="post" action="/login" {
                    input type="hidden" name="return_to" value=(view.return_to);
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

pub(super) fn field(id: &str, label: &str, input: Markup) -> Markup {
    html! {
        div.field {
            label for=(id) { (label) }
            (input)
        }
    }
}
