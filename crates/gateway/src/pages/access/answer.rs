//! Somebody's wish, and the answer to it.

use maud::{Markup, html};
use portcullis_base::{Classes, Timestamp};
use portcullis_store::AccessRequestState;

use super::{What, Wish, ask::foreign_text, spoken, wish_word};
use crate::pages::{
    Account, Page, Room,
    approvals::class_words,
    foreign,
    form::{Button, field, proof},
    moment,
};

/// What the page shows.
pub struct Answer<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// The wish.
    pub wish: Wish,
    /// Where it is wanted, for those who may know.
    pub at: Option<At>,
    /// What the tool may do that is wanted, for those who may know.
    pub would: Option<Classes>,
    /// Who answered.
    pub decided_by: Option<String>,
    /// Times that can be given: value and words, the longest last.
    pub times: Vec<(&'static str, &'static str)>,
    /// What the reader can do.
    pub you: You,
    /// The present moment.
    pub now: Timestamp,
    /// What was just done.
    pub done: Option<&'a str>,
    /// Why it could not be done.
    pub failure: Option<&'a str>,
}

/// Where something is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// There is nothing of this name.
    Nowhere,
    /// A server that the asker may not use at all.
    Server,
    /// A server that they may use.
    ServerOfTheirs,
    /// A toolbox.
    Toolbox,
}

/// What the reader can do.
pub enum You {
    /// Only look.
    Look,
    /// Take it back: it is theirs.
    Asked,
    /// Answer.
    Answer,
    /// Answer, after a sign-in at this address.
    SignInAgain(String),
}

/// The page.
pub fn answer(view: &Answer<'_>) -> Page {
    let (word, look) = wish_word(view.wish.state);
    Page::within(
        Room::Approvals,
        "Wish for access",
        Some(view.account),
        html! {
            div.narrow.broad {
                @if let Some(done) = view.done { div.notice.good role="status" { p { (done) } } }
                @if let Some(failure) = view.failure { div.notice.bad role="alert" { p { (failure) } } }
                div.heading {
                    h1 { "Access to " (foreign(&view.wish.server)) }
                    span class=(look) { (word) }
                }
                (what(view))
                @match &view.you {
                    You::Look => {}
                    You::Asked => { (Button { action: &format!("/approvals/access/{}/withdraw", view.wish.id),
                        label: "Take it back", spoken: "Take this wish back", look: "quiet" }.form(view.account, &[])) }
                    You::Answer => { (decide(view, None)) }
                    You::SignInAgain(link) => { (decide(view, Some(link))) }
                }
                p { a href="/approvals" { "All approvals" } }
            }
        },
    )
}

fn what(view: &Answer<'_>) -> Markup {
    let wish = &view.wish;
    html! {
        section.part aria-labelledby="what" {
            h2 id="what" { "What is asked for" }
            div.card.stack {
                p { b { (foreign(&wish.who)) } " asks for " (wish.what.shown()) " at " b { (foreign(&wish.server)) }
                    ", for " (spoken(wish.lasts)) "." }
                @match view.at {
                    Some(At::Nowhere) => { p { span.tag.bad { "nothing there" } " There is no server and no toolbox of this name. They do not know that." } }
                    Some(At::Server) => { p { span.tag.warn { "new to them" } " They may not use this server at all now, and do not know whether there is one." } }
                    Some(At::ServerOfTheirs) => { p.muted { "They may use this server now, as far as its access list lets them." } }
                    Some(At::Toolbox) => { p.muted { "It is a toolbox: this lets them in. What they may do there is up to each of its servers." } }
                    None => {}
                }
                @if let What::Classes(classes) = &wish.what { (classes_list(*classes)) }
                @if let Some(classes) = view.would {
                    p { "The tool is taken for one that does this, and the right is for no more, whatever becomes of the tool:" }
                    (classes_list(classes))
                }
                div { p.label { "Why, in their words" } blockquote.quoted { (foreign_text(&wish.why)) } }
                dl.facts.columns {
                    div { dt { "Asked" } dd { (moment::past(view.now, wish.asked_at)) } }
                    @if wish.state == AccessRequestState::Open { div { dt { "Over" } dd { (moment::future(view.now, wish.expires_at)) } } }
                    @if let Some(by) = &view.decided_by { div { dt { "Answered by" } dd { (foreign(by)) } } }
                }
                @if let Some(words) = &wish.answer { div { p.label { "The answer" } blockquote.quoted { (foreign_text(words)) } } }
            }
        }
    }
}

fn classes_list(classes: Classes) -> Markup {
    html! {
        ul.lines {
            @for class in classes.iter() {
                @let (word, sentence) = class_words(class);
                li { span.tag.warn { (word) } " " (sentence) }
            }
        }
    }
}

fn decide(view: &Answer<'_>, sign_in: Option<&str>) -> Markup {
    let action = format!("/approvals/access/{}", view.wish.id);
    html! {
        section.part aria-labelledby="decide" {
            h2 id="decide" { "Your answer" }
            @match sign_in {
                Some(link) => {
                    div.card.stack {
                        p { "To give a right, sign in once more: your sign-in is too long ago for this." }
                        div.row { a.button.primary href=(link) { "Sign in again" } }
                    }
                }
                None => {
                    form.card.stack method="post" action=(action) {
                        (proof(view.account))
                        input type="hidden" name="word" value="give";
                        (field("lasts", "Give it for", html! {
                            select id="lasts" name="lasts" {
                                @for (value, words) in &view.times {
                                    option value=(value) selected[view.times.last().is_some_and(|last| last.0 == *value)] { (words) }
                                }
                            }
                        }))
                        (field("note", "A word to it, if you like (they will read it)", html! {
                            input id="note" name="why" type="text" maxlength="500" autocomplete="off";
                        }))
                        div.row { button.primary type="submit" data-guarded { "Give the right" } }
                    }
                }
            }
            form.card.stack method="post" action=(action) {
                (proof(view.account))
                input type="hidden" name="word" value="refuse";
                (field("why", "Why not (they will read it)", html! {
                    input id="why" name="why" type="text" maxlength="500" autocomplete="off" required;
                }))
                div.row { button.danger type="submit" { "Refuse" } }
            }
        }
    }
}
