//! The first start: whoever holds the one-time link becomes the first administrator.

use maud::html;

use super::{Page, foreign, form::field};
use crate::password;

/// What the page shows.
#[derive(Default)]
pub struct Welcome<'a> {
    /// The secret of the link.
    pub token: &'a str,
    /// The name that was tried.
    pub name: &'a str,
    /// Why the last try failed.
    pub failure: Option<&'a str>,
}

/// The page behind the administrator link.
pub fn welcome(view: &Welcome<'_>) -> Page {
    Page::new(
        "Welcome",
        None,
        html! {
            div.narrow {
                h1 { "Welcome to Portcullis" }
                p.lead { "Create the first account. It will be an administrator, and this link will stop working." }
                @if let Some(failure) = view.failure {
                    div.notice.bad role="alert" id="failure" { p { (failure) } }
                }
                form.card.stack method="post" action={ "/welcome/" (view.token) } {
                    (field("name", "Name", html! {
                        input id="name" name="name" type="text" autocomplete="username" autocapitalize="none"
                            spellcheck="false" required maxlength="64" value=(foreign(view.name)) autofocus
                            aria-describedby="name-hint";
                        p.hint id="name-hint" { "Letters, digits, dots and dashes. You sign in with it." }
                    }))
                    (field("password", "Password", html! {
                        input id="password" name="password" type="password" autocomplete="new-password" required
                            minlength=(password::SHORTEST) maxlength=(password::LONGEST) aria-describedby="password-hint";
                        p.hint id="password-hint" { "At least " (password::SHORTEST) " characters. A few words are easier than symbols." }
                    }))
                    (field("again", "Password once more", html! {
                        input id="again" name="again" type="password" autocomplete="new-password" required
                            minlength=(password::SHORTEST) maxlength=(password::LONGEST);
                    }))
                    button.primary.wide type="submit" { "Create account" }
                }
            }
        },
    )
}
