//! Asking for a right.

use maud::{Markup, html};
use portcullis_base::{Class, Timestamp};

use super::{Held, Wish, spoken};
use crate::pages::{
    Account, Page, Room,
    approvals::class_words,
    foreign,
    form::{Button, field, proof},
    moment,
};

/// What the page shows.
pub struct Ask<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// What it is about, as it stands in the address.
    pub name: &'a str,
    /// What the reader may know of it.
    pub told: Told,
    /// The tool that a call was refused of.
    pub tool: &'a str,
    /// Times that can be asked for: value and words.
    pub times: Vec<(&'static str, &'static str)>,
    /// What they have asked for here and nobody has answered.
    pub open: Option<Wish>,
    /// What they were given here and still have.
    pub held: Vec<Held>,
    /// Whether they may break the glass.
    pub glass: bool,
    /// The present moment.
    pub now: Timestamp,
    /// What was just done.
    pub done: Option<&'a str>,
    /// Why it could not be done.
    pub failure: Option<&'a str>,
}

/// What the reader may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing: they may not use it, or there is no such thing. spec: T-55
    Nothing,
    /// It is a server that they may use.
    Server,
    /// It is a toolbox that they may use.
    Toolbox,
}

/// The page.
pub fn ask(view: &Ask<'_>) -> Page {
    let name = foreign(view.name);
    Page::within(
        Room::Approvals,
        "Ask for access",
        Some(view.account),
        html! {
            div.narrow.broad {
                @if let Some(done) = view.done { div.notice.good role="status" { p { (done) } } }
                @if let Some(failure) = view.failure { div.notice.bad role="alert" { p { (failure) } } }
                h1 { "Ask for access to " (name) }
                p.lead {
                    @match view.told {
                        Told::Nothing => { "This page does not tell whether there is a server of this name, and neither does a wish. If there is one, whoever looks after it reads what you write here." }
                        Told::Server => { "You may use this server. Ask here for more than its access list gives you." }
                        Told::Toolbox => { "This is a toolbox that you may use: what you may do in it is up to each of its servers. Ask for access to the server whose tool you lack." }
                    }
                }
                @for held in &view.held {
                    div.notice { p { "You were given " (held.what.shown()) ", which ends " (moment::future(view.now, held.ends_at)) "." } }
                }
                @match &view.open {
                    Some(wish) => { (waits(view, wish)) }
                    None => { (form(view)) }
                }
                @if view.glass {
                    p { a href={ "/access/" (view.name) "/break-glass" } { "This is an emergency: break the glass" } }
                }
            }
        },
    )
}

fn waits(view: &Ask<'_>, wish: &Wish) -> Markup {
    html! {
        section.card.stack aria-labelledby="waits" {
            h2 id="waits" { "Your wish waits" }
            p { (moment::past(view.now, wish.asked_at)) " you asked for " (wish.what.shown()) ", for " (spoken(wish.lasts))
                ". If nobody answers, it is over " (moment::future(view.now, wish.expires_at)) "." }
            blockquote.quoted { (foreign_text(&wish.why)) }
            (Button { action: &format!("/approvals/access/{}/withdraw", wish.id), label: "Take it back",
                spoken: "Take this wish back", look: "quiet" }.form(view.account, &[]))
        }
    }
}

fn form(view: &Ask<'_>) -> Markup {
    html! {
        form.card.stack method="post" action={ "/access/" (view.name) } {
            (proof(view.account))
            (field("tool", "Only this tool", html! {
                input id="tool" name="tool" type="text" maxlength="128" autocomplete="off" spellcheck="false"
                    aria-describedby="tool-hint" value=(view.tool);
                p.hint id="tool-hint" { "Leave it empty to ask for every tool that does no more than what you tick." }
            }))
            fieldset.boxes {
                legend.label { "Or every tool that" }
                @for class in Class::ALL { (class_box(*class)) }
            }
            (field("lasts", "For how long", html! {
                select id="lasts" name="lasts" { @for (value, words) in &view.times { option value=(value) { (words) } } }
            }))
            (field("why", "Why", html! {
                textarea id="why" name="why" rows="3" maxlength="500" required {}
            }))
            div.row { button.primary type="submit" { "Ask" } }
        }
    }
}

fn class_box(class: Class) -> Markup {
    let (word, sentence) = class_words(class);
    html! {
        label.check {
            input type="checkbox" name=(class.as_str()) value="yes";
            span { b { (word) } " " span.small.muted { (sentence) } }
        }
    }
}

pub(super) fn foreign_text(text: &str) -> String {
    portcullis_base::printable(text, 500)
}
