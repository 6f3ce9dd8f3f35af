//! One call that waits: what it is, in words of ours, and the two answers to it.
//!
//! spec: T-83

use maud::{Markup, html};
use portcullis_base::{Class, Timestamp, printable};
use portcullis_policy::approval::State;

use super::{
    arguments::{Difference, Json, revealed, view},
    class_words, stakes, state_word,
};
use crate::pages::{
    Account, Page, Room, foreign,
    form::{Button, field, proof},
    moment,
};

/// What the page shows.
pub struct One<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Its identifier.
    pub id: &'a str,
    /// The server.
    pub server: &'a str,
    /// `tool`, `prompt`, `resource`.
    pub kind: &'a str,
    /// Its name.
    pub target: &'a str,
    /// The toolbox that it came through.
    pub through: Option<&'a str>,
    /// Who asks.
    pub caller: &'a str,
    /// Through which client.
    pub client: &'a str,
    /// Its classes.
    pub classes: Vec<Class>,
    /// Why it has them: sentences of ours.
    pub evidence: &'a [String],
    /// What the server says of it.
    pub description: Option<&'a str>,
    /// With what. `None`: it cannot be opened any more.
    pub arguments: Option<Json>,
    /// When the last call of the same was run that was approved, and what is other now.
    pub last: Option<(Timestamp, Vec<Difference>)>,
    /// What has to be met.
    pub demands: Vec<DemandRow>,
    /// What was said.
    pub votes: Vec<VoteRow>,
    /// The beginning of what it is bound to, as other channels show it.
    pub binding: String,
    /// How far it is.
    pub state: State,
    /// How its run ended.
    pub outcome: Option<&'a str>,
    /// Since when it waits.
    pub asked_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// The present moment.
    pub now: Timestamp,
    /// What the reader can do.
    pub you: You,
    /// Whether it is the reader's own.
    pub whose: Whose,
    /// What was just done.
    pub done: Option<&'a str>,
    /// Why something could not be done.
    pub failure: Option<&'a str>,
}

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The reader's, or of a program that acts for them.
    Own,
    /// Somebody else's.
    Others,
}

/// A demand.
pub struct DemandRow {
    /// The rule.
    pub rule: String,
    /// Who may approve.
    pub who: String,
    /// How many have.
    pub have: u32,
    /// How many have to.
    pub want: u32,
    /// How surely.
    pub assurance: &'static str,
}

/// What somebody said.
pub struct VoteRow {
    /// Who.
    pub name: String,
    /// Those whose word it was, where it was not their own.
    pub instead_of: Vec<String>,
    /// Why they refused, if they did.
    pub refused: Option<String>,
    /// How sure it is that it was they.
    pub assurance: &'static str,
    /// When.
    pub at: Timestamp,
}

/// What the reader can do.
pub enum You {
    /// Only look, and why.
    Look(&'static str),
    /// Refuse, and approve in these ways.
    Decide {
        /// On this page; or what stands in the way.
        here: Here,
        /// With a passkey: what the browser is asked.
        passkey: Option<String>,
        /// Approve calls like this ahead: members that may be held to.
        ahead: Option<Vec<String>>,
    },
}

/// Whether the sign-in is enough.
pub enum Here {
    /// It is.
    Enough,
    /// It is too old: where to sign in again.
    SignInAgain(String),
    /// Only a passkey is.
    PasskeyOnly(&'static str),
}

/// Differences that are spelled out.
const MOST_DIFFERENCES: usize = 200;

/// The page.
pub fn one(view: &One<'_>) -> Page {
    let (word, look) = state_word(view.state);
    Page::within(
        Room::Approvals,
        "Approval",
        Some(view.account),
        html! {
            div.narrow.broad {
                @if let Some(done) = view.done { div.notice.good role="status" { p { (done) } } }
                @if let Some(failure) = view.failure { div.notice.bad role="alert" { p { (failure) } } }
                div.heading {
                    h1 { (foreign(view.target)) " at " (foreign(view.server)) }
                    span class=(look) { (word) }
                }
                (what(view))
                (with_what(view))
                (differences(view))
                (demands(view))
                @if view.state == State::Pending { (decide(view)) }
                @if view.whose == Whose::Own && matches!(view.state, State::Pending | State::Granted) {
                    (Button { action: &format!("/approvals/{}/withdraw", view.id), label: "Take it back",
                        spoken: "Take this call back", look: "quiet" }.form(view.account, &[]))
                }
                p { a href="/approvals" { "All approvals" } }
            }
        },
    )
}

fn what(view: &One<'_>) -> Markup {
    html! {
        section.part aria-labelledby="what" {
            h2 id="what" {
                @match view.state {
                    State::Pending | State::Granted => "What would happen",
                    State::Running | State::Done | State::Unknown => "What was approved",
                    State::Refused | State::Expired | State::Withdrawn => "What did not happen",
                }
            }
            div.card.stack {
                p {
                    b { (printable(view.client, 120)) } " wants to use the " (view.kind) " "
                    code { (revealed(view.target)) } " of the server " b { (foreign(view.server)) }
                    " for " b { (foreign(view.caller)) } @if view.whose == Whose::Own { " (you)" }
                    @if let Some(through) = view.through { ", through the toolbox " (foreign(through)) } "."
                }
                @if view.classes.is_empty() { p { "Its risk was not classified." } }
                ul.lines {
                    @for class in &view.classes {
                        @let (word, sentence) = class_words(*class);
                        li { span.tag.warn { (word) } " " (sentence) }
                    }
                }
                @if !view.evidence.is_empty() {
                    details.small.muted {
                        summary { "What tells so" }
                        ul.lines { @for sentence in view.evidence { li { (revealed(sentence)) } } }
                    }
                }
                @if let Some(arguments) = &view.arguments { (stakes::lines(arguments)) }
                @if let Some(text) = view.description {
                    div {
                        p.label { "The server says of it (not checked by anybody)" }
                        blockquote.quoted { (revealed(text)) }
                    }
                }
                dl.facts.columns {
                    div { dt { "Asked" } dd { (moment::past(view.now, view.asked_at)) } }
                    @if matches!(view.state, State::Pending | State::Granted) {
                        div { dt { "Ends" } dd { (moment::future(view.now, view.expires_at)) } }
                    }
                    div { dt { "Check value" } dd.mono { (view.binding) } }
                    @if let Some(outcome) = view.outcome { div { dt { "How it ended" } dd { (foreign(outcome)) } } }
                }
            }
        }
    }
}

fn with_what(one: &One<'_>) -> Markup {
    html! {
        section.part aria-labelledby="arguments" {
            h2 id="arguments" { "With what" }
            div.card {
                @match &one.arguments {
                    Some(json) => { (view(json)) }
                    None => { p { "The arguments cannot be opened any more, so this cannot be approved." } }
                }
            }
        }
    }
}

fn differences(view: &One<'_>) -> Markup {
    html! {
        section.part aria-labelledby="differences" {
            h2 id="differences" { "Other than the last time" }
            div.card.stack {
                @match &view.last {
                    None => { p { "No call of this kind has been approved and run before." } }
                    Some((at, found)) if found.is_empty() => {
                        p { (moment::past(view.now, *at)) ", the same was approved and run." }
                    }
                    Some((at, found)) => {
                        p.muted { (moment::past(view.now, *at)) ", one like it was approved and run. Other than then:" }
                        dl.arguments {
                            @for one in found.iter().take(MOST_DIFFERENCES) {
                                div {
                                    dt { (revealed(&one.place)) }
                                    dd {
                                        @match &one.before { Some(before) => { del { (revealed(before)) } } None => { span.muted { "was not there" } } }
                                        " → "
                                        @match &one.after { Some(after) => { ins { (revealed(after)) } } None => { span.muted { "is left out" } } }
                                    }
                                }
                            }
                        }
                        @if found.len() > MOST_DIFFERENCES {
                            p { b { (found.len() - MOST_DIFFERENCES) " more" } " are not spelled out here; the arguments above are complete." }
                        }
                    }
                }
            }
        }
    }
}

fn demands(view: &One<'_>) -> Markup {
    html! {
        section.part aria-labelledby="demands" {
            h2 id="demands" { @if view.state == State::Pending { "Who has to agree" } @else { "Who was asked" } }
            div.card.stack {
                ul.lines {
                    @for demand in &view.demands {
                        li {
                            "Rule " code { (foreign(&demand.rule)) } ": " (printable(&demand.who, 400)) ". "
                            @if demand.have >= demand.want { span.tag.good { "met" } }
                            @else if view.state == State::Pending {
                                span.tag.warn { (demand.want - demand.have) " of " (demand.want) " missing" }
                            }
                            div.small.muted { "At least by " (demand.assurance) "." }
                        }
                    }
                }
                @for vote in &view.votes {
                    div {
                        b { (foreign(&vote.name)) }
                        @if !vote.instead_of.is_empty() { " for " (printable(&vote.instead_of.join(", "), 200)) }
                        @match &vote.refused {
                            Some(why) => { " refused: “" (revealed(why)) "”" }
                            None => { " approved" }
                        }
                        div.small.muted { (moment::past(view.now, vote.at)) ", by " (vote.assurance) }
                    }
                }
            }
        }
    }
}

fn decide(view: &One<'_>) -> Markup {
    let You::Decide { here, passkey, ahead } = &view.you else {
        let You::Look(why) = view.you else { return html! {} };
        return html! { p.muted { (why) } };
    };
    let action = format!("/approvals/{}", view.id);
    html! {
        section.part aria-labelledby="decide" {
            h2 id="decide" { "Your word" }
            form.card.stack id="approve" method="post" action=(action) {
                (proof(view.account))
                input type="hidden" name="word" value="approve";
                input type="hidden" name="assertion" value="";
                @if let Some(members) = ahead {
                    div.fields {
                        (field("ahead", "Approve", html! {
                            select id="ahead" name="ahead" {
                                option value="once" { "this call only" }
                                option value="5-times" { "also the next 5 like it" }
                                option value="hour" { "also those like it for the next hour" }
                                option value="8-hours" { "also those like it for the next 8 hours" }
                            }
                        }))
                        (field("same", "Like it is one with the same", html! {
                            select id="same" name="same" {
                                option value="" { "arguments, all of them" }
                                @for name in members { option value=(name) { (foreign(name)) } }
                            }
                        }))
                    }
                }
                @match here {
                    Here::Enough => { div.row { button.primary type="submit" data-guarded { "Approve" } } }
                    Here::SignInAgain(link) => {
                        p { "To approve, sign in once more: your sign-in is too long ago for this." }
                        a.button.primary href=(link) { "Sign in again" }
                    }
                    Here::PasskeyOnly(why) => { p { (why) } }
                }
                @if let Some(options) = passkey {
                    div.row { button.primary type="button" hidden data-passkey-get=(options) { "Approve with a passkey" } }
                    noscript { p.small.muted { "Passkeys need scripts." } }
                    p.small.muted role="status" data-passkey-said {}
                }
            }
            form.card.stack method="post" action=(action) {
                (proof(view.account))
                input type="hidden" name="word" value="refuse";
                (field("why", "Why not (the program that asked will read it)", html! {
                    input id="why" name="why" type="text" maxlength="500" autocomplete="off";
                }))
                div.row { button.danger type="submit" { "Refuse" } }
            }
        }
    }
}
