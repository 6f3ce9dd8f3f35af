//! One server: whose account is connected, and the way to connect one.

use maud::{Markup, html};
use portcullis_base::{Timestamp, printable};

use super::{
    super::{
        Account, Page, Room, foreign,
        form::{Button, field, proof},
    },
    Held, lookalike, mine, notice, tag,
};
use crate::roles::Standing;

/// What the page shows.
pub struct Connect<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// The server's name here.
    pub server: &'a str,
    /// Its own words.
    pub description: Option<&'a str>,
    /// Where it is, as the network knows it.
    pub host: &'a str,
    /// Whose account it will be.
    pub whose: Whose,
    /// What is connected now.
    pub held: Option<Held>,
    /// How it is connected.
    pub way: Way<'a>,
    /// The link of a call that led here, to be handed on.
    pub ask: Option<&'a str>,
    /// Where the person goes on afterwards; `None` if they came by themselves.
    pub onward: Option<Onward<'a>>,
    /// Origin beyond ours that the form may end at.
    pub form_target: Option<String>,
    /// Why the last try failed.
    pub failure: Option<&'a str>,
    /// The present moment.
    pub now: Timestamp,
}

/// Whose account it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The reader's own.
    Own,
    /// Everybody's.
    Shared,
}

/// Where somebody goes on who connects on the way to something else.
pub struct Onward<'a> {
    /// The path.
    pub path: &'a str,
}

/// How a server is connected.
pub enum Way<'a> {
    /// By a sign-in at its provider.
    SignIn {
        /// The host of the page that asks for it, if the provider could be asked.
        host: Option<&'a str>,
        /// The scopes that will be asked for.
        scopes: &'a [String],
        /// Why the provider could not be asked, for the reader.
        trouble: Option<&'a str>,
    },
    /// By a key that the person has.
    Key {
        /// What the server calls it.
        label: &'a str,
        /// Where to get one.
        help: Option<&'a str>,
        /// Kinds of key to choose from; none if there is only one.
        options: Vec<&'a str>,
    },
    /// By an administrator only.
    NotYours,
}

/// The page of one server.
pub fn connect(view: &Connect<'_>) -> Page {
    let title = format!("Connect {}", foreign(view.server));
    let page = Page::within(Room::Connections, &title, Some(view.account), main(view));
    match &view.form_target {
        Some(target) => page.form_target(target.clone()),
        None => page,
    }
}

fn main(view: &Connect<'_>) -> Markup {
    let server = foreign(view.server);
    let hosts: Vec<&str> = match &view.way {
        Way::SignIn { host: Some(host), .. } => vec![view.host, host],
        _ => vec![view.host],
    };
    html! {
        div.narrow.consent {
            p.eyebrow { @if view.whose == Whose::Shared { "Connection for everybody" } @else { "Connection" } }
            h1 { @if view.held.is_some() { "Your account at " } @else { "Connect " } b { (server) } }
            @if let Some(text) = view.description { p.muted { (printable(text, 200)) } }
            @if view.ask.is_some() {
                p { "A call of one of your applications needs " @if view.held.is_some() { "a new sign-in here, or more than was allowed." } @else { "your account here." } " If you use none just now, leave this page." }
            } @else if view.onward.is_some() {
                p { "You have just let an application use " (server) ", which works with your own account there. Connect it now, or skip this and go on." }
            }
            @if let Some(failure) = view.failure { div.notice.bad role="alert" id="failure" { p { (failure) } } }
            (lookalike(&hosts))
            @if let Some(held) = &view.held { (now_connected(view, held)) }
            @match &view.way {
                Way::SignIn { host, scopes, trouble } => (sign_in(view, &server, *host, scopes, *trouble)),
                Way::Key { label, help, options } => (key(view, &server, label, *help, options)),
                Way::NotYours => { div.card { p { "One account serves everybody here. An administrator of this gateway connects it." } } }
            }
            @if let Some(onward) = &view.onward {
                a.button.wide href=(onward.path) { @if view.held.is_some() { "Go on" } @else { "Skip for now" } }
                @if view.held.is_none() {
                    p.small.muted { "You can connect it later, on the page of your connections or when a call needs it." }
                }
            } @else {
                p.small.muted { a href="/connections" { "All my connections" } }
            }
        }
    }
}

fn now_connected(view: &Connect<'_>, held: &Held) -> Markup {
    html! {
        section.card aria-labelledby="now" {
            div.heading {
                h2 id="now" { "Connected now" }
                (tag(Some(held)))
            }
            (notice(held))
            (mine::facts(held, view.now))
            (Button { action: &format!("/connections/{}/disconnect", view.server), label: "Disconnect",
                spoken: &format!("Disconnect {}", foreign(view.server)), look: "danger" }.form(view.account, &[]))
        }
    }
}

/// The two sides. spec: T-86
fn sides(view: &Connect<'_>, there: Option<&str>) -> Markup {
    html! {
        dl.facts {
            div { dt { "Your account here" } dd { b { (foreign(view.account.name)) } } }
            div { dt { "Server" } dd.mono { (printable(view.host, 253)) } }
            @if let Some(there) = there { div { dt { "You will sign in at" } dd { p.host { (printable(there, 253)) } } } }
        }
    }
}

fn sign_in(view: &Connect<'_>, server: &str, host: Option<&str>, scopes: &[String], trouble: Option<&str>) -> Markup {
    let again = view.held.is_some();
    html! {
        section.card aria-labelledby="goes" {
            h2 id="goes" { @if again { "Connect again" } @else { "Where you will sign in" } }
            (sides(view, host))
            @if let Some(trouble) = trouble {
                div.notice.warn role="note" {
                    p { (trouble) }
                    @if view.account.standing == Standing::Administrator {
                        p { a href={ "/admin/servers/" (view.server) "/check" } { "Check the server's sign-in" } }
                    }
                }
            }
        }
        @if trouble.is_none() || !scopes.is_empty() { (able(view, server, scopes)) }
        form.decide method="post" action={ "/connections/" (view.server) "/connect" } {
            (hidden(view))
            @if trouble.is_some() { button.wide type="submit" { "Try all the same" } }
            @else { button.primary.wide type="submit" { @if again { "Sign in again" } @else { "Go on to sign in" } } }
        }
    }
}

fn able(view: &Connect<'_>, server: &str, scopes: &[String]) -> Markup {
    html! {
        section.card aria-labelledby="able" {
            h2 id="able" { "What this gateway will be able to do there" }
            @if scopes.is_empty() {
                p { "What the provider gives by default. Its own page will tell you before you agree." }
            } @else {
                ul.plain { @for scope in scopes { li { code { (foreign(scope)) } } } }
            }
            p.small.muted {
                @if view.whose == Whose::Shared { "Calls of everybody who may use " (server) " will act as that account." }
                @else { "Only calls of your own applications will act as you. The key that the provider gives stays here, sealed; no application sees it." }
            }
        }
    }
}

fn key(view: &Connect<'_>, server: &str, label: &str, help: Option<&str>, options: &[&str]) -> Markup {
    html! {
        section.card aria-labelledby="goes" {
            h2 id="goes" { @if view.held.is_some() { "Another key" } @else { "Your key" } }
            (sides(view, None))
            form.stack method="post" action={ "/connections/" (view.server) "/key" } {
                (hidden(view))
                @if !options.is_empty() {
                    (field("option", "Kind of key", html! {
                        select id="option" name="option" required {
                            @for option in options { option value=(option) { (foreign(option)) } }
                        }
                    }))
                }
                (field("key", &printable(label, 80), html! {
                    input id="key" name="key" type="password" autocomplete="off" spellcheck="false" autocapitalize="none"
                        required maxlength="4096" aria-describedby=(if view.failure.is_some() { "failure key-hint" } else { "key-hint" })
                        aria-invalid=[view.failure.map(|_| "true")] autofocus[view.failure.is_some()];
                    p.hint id="key-hint" {
                        @if let Some(help) = help { (printable(help, 300)) " " }
                        "It is sealed and given to " (server) " only. Nobody can read it here again."
                    }
                }))
                button.primary.wide type="submit" { "Save" }
            }
        }
        p.small.muted {
            @if view.whose == Whose::Shared { "Calls of everybody who may use " (server) " will go with this key." }
            @else { "Only calls of your own applications will go with it." }
        }
    }
}

fn hidden(view: &Connect<'_>) -> Markup {
    html! {
        (proof(view.account))
        @if let Some(ask) = view.ask { input type="hidden" name="ask" value=(ask); }
        @if let Some(onward) = &view.onward { input type="hidden" name="return_to" value=(onward.path); }
    }
}
