//! Errors that a person sees. The texts are ours; anything foreign in them is shown as data.

use maud::html;

use super::{Account, Page, foreign};

/// What an error page shows.
#[derive(Default)]
pub struct Problem<'a> {
    /// One line: what is wrong.
    pub title: &'a str,
    /// What it means and what to do.
    pub text: &'a str,
    /// Foreign values that help the reader, with their labels.
    pub facts: &'a [(&'a str, String)],
    /// Ways on, which the reader may choose: label and address.
    pub onward: &'a [(&'a str, String)],
    /// A name for what happened, to be quoted to an administrator.
    pub code: &'a str,
}

/// The error page.
pub fn problem(view: &Problem<'_>, account: Option<Account<'_>>) -> Page {
    Page::new(
        view.title,
        account,
        html! {
            div.narrow {
                h1 { (view.title) }
                p.lead { (view.text) }
                @if !view.facts.is_empty() {
                    dl.card.facts {
                        @for (label, value) in view.facts {
                            div { dt { (label) } dd.mono { (portcullis_base::printable(value, 300)) } }
                        }
                    }
                }
                @for (label, address) in view.onward {
                    a.button.wide href=(address) rel="noreferrer" { (foreign(label)) }
                }
                @if view.onward.is_empty() {
                    a.button.wide href="/" { "Go to the home page" }
                }
                @if !view.code.is_empty() {
                    p.small.muted { "For your administrator: " code { (view.code) } }
                }
            }
        },
    )
}
