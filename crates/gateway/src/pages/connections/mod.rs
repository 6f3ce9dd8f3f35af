//! "My connections": as whom one acts at the servers behind the gateway, and how that came to be.
//!
//! No page of these shows a secret, and each names both sides: the account here and the account there.

mod confirm;
mod connect;
mod ended;
mod mine;

use maud::{Markup, html};
use portcullis_base::{Timestamp, printable};

use super::{foreign, moment};

pub use self::{
    confirm::{Arrived, arrived},
    connect::{Connect, Onward, Way, Whose, connect},
    ended::{Ended, Told, What, ended},
    mine::{Acts, Mine, Row, mine},
};

/// A connection, without its secrets.
pub struct Held {
    /// What it is made of.
    pub made_of: MadeOf,
    /// How it is.
    pub state: State,
    /// What is wrong while calls still go through.
    pub trouble: Option<&'static str>,
    /// The account at the server, as its provider names it.
    pub account: Option<String>,
    /// What the provider lets us do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub connected_at: Timestamp,
    /// When a call last used it.
    pub used_at: Option<Timestamp>,
    /// When it ends.
    pub ends: Ends,
}

/// What a connection is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeOf {
    /// A sign-in at the server's provider.
    SignIn,
    /// A key that somebody typed.
    Key,
}

/// How a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Calls go through.
    Good,
    /// Somebody must sign in again; why.
    NeedsSignIn(&'static str),
}

/// When a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It is renewed before it does.
    Renewed,
    /// Then, and nothing renews it.
    At(Timestamp),
    /// Nobody has said.
    Unknown,
}

/// The word for how a connection is.
pub(super) fn tag(held: Option<&Held>) -> Markup {
    html! {
        @match held.map(|held| &held.state) {
            None => { span.tag { "Not connected" } }
            Some(State::Good) => { span.tag.good { "Connected" } }
            Some(State::NeedsSignIn(_)) => { span.tag.warn { "Needs sign-in" } }
        }
    }
}

/// What is wrong with it, if something is.
pub(super) fn notice(held: &Held) -> Markup {
    html! {
        @match (&held.state, held.trouble) {
            (State::NeedsSignIn(why), _) => { div.notice.warn role="note" { p { (why) " Sign in there once more; nothing else is lost." } } }
            (State::Good, Some(trouble)) => { div.notice.warn role="note" { p { (trouble) } } }
            (State::Good, None) => {}
        }
    }
}

/// When it ends, in words.
pub(super) fn ends(held: &Held, now: Timestamp) -> Markup {
    html! {
        @match (held.ends, held.made_of) {
            _ if held.state != State::Good => { "Waits for a sign-in" }
            (Ends::Renewed, _) => { "Renewed by itself" }
            (Ends::At(then), _) if then <= now => { "It has ended" }
            (Ends::At(then), _) => { "Ends " (moment::future(now, then)) }
            (Ends::Unknown, MadeOf::SignIn) => { "Until the provider ends it" }
            (Ends::Unknown, MadeOf::Key) => { "As long as the key is good" }
        }
    }
}

/// Scopes, or that there are none to name.
pub(super) fn scopes(scopes: &[String]) -> Markup {
    html! {
        @if scopes.is_empty() { span.muted { "What the provider allows by default" } }
        @else { ul.chips { @for scope in scopes { li { code.tag { (foreign(scope)) } } } } }
    }
}

/// The account at the server.
pub(super) fn account(held: &Held) -> Markup {
    html! {
        @match (&held.account, held.made_of) {
            (Some(account), _) => { b { (printable(account, 120)) } }
            (None, MadeOf::SignIn) => { span.muted { "The provider does not say" } }
            (None, MadeOf::Key) => { span.muted { "Whoever the key belongs to" } }
        }
    }
}

/// A name of a host that holds letters of other scripts may be read as another name: it is shown as it is sent.
///
/// spec: T-86: "host displayed; punycode shown".
pub(super) fn lookalike(hosts: &[&str]) -> Markup {
    let odd = hosts.iter().find(|host| host.split('.').any(|label| label.starts_with("xn--")));
    html! {
        @if let Some(host) = odd {
            div.notice.warn role="note" {
                p { b { "Look closely at " span.mono { (printable(host, 253)) } "." } " This name holds letters of other alphabets, and may be made to look like another one." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pages::{Account, Page},
        roles::Standing,
    };

    const HOSTILE: &str = "<img src=x>\u{202e}gnp.exe";

    fn reader() -> Account<'static> {
        Account { name: "ada", form_token: "t", standing: Standing::Member, glasses: &[] }
    }

    fn held(state: State, ends: Ends) -> Held {
        Held {
            made_of: MadeOf::SignIn,
            state,
            trouble: None,
            account: Some(HOSTILE.into()),
            scopes: vec![HOSTILE.into()],
            connected_at: Timestamp::from_secs(1_000),
            used_at: None,
            ends,
        }
    }

    fn listed(acts: Acts) -> Page {
        let row =
            Row { server: "notes".into(), description: Some(HOSTILE.into()), host: Some("notes.example".into()), acts };
        mine(&Mine { account: reader(), rows: vec![row], now: Timestamp::from_secs(2_000), done: None })
    }

    fn arriving<'a>(there: Option<&'a str>, host: &'a str, scopes: &'a [String]) -> Page {
        arrived(&Arrived {
            account: reader(),
            display_name: "Ada Lovelace",
            server: "notes",
            whose: Whose::Own,
            host,
            there,
            before: there,
            scopes,
            pending: "p",
            form_target: None,
        })
    }

    // spec: SEC-34, UP-48
    #[test]
    fn what_a_provider_says_of_an_account_neither_runs_nor_hides() {
        let scopes = [HOSTILE.to_owned()];
        let pages = [
            listed(Acts::Own(Some(held(State::Good, Ends::Renewed)))),
            listed(Acts::Shared(Some(held(State::Good, Ends::Renewed)))),
            arriving(Some(HOSTILE), HOSTILE, &scopes),
        ];
        for page in pages {
            assert!(!page.html().contains("<img") && !page.html().contains('\u{202e}'), "{}", page.html());
        }
    }

    #[test]
    fn how_long_a_connection_lasts_is_told_in_words() {
        let words = |state, ends| listed(Acts::Own(Some(held(state, ends)))).html().to_owned();
        assert!(words(State::Good, Ends::Renewed).contains("Renewed by itself"));
        assert!(words(State::Good, Ends::At(Timestamp::from_secs(2_000 + 7_200))).contains(">in 2 hours<"));
        assert!(words(State::Good, Ends::At(Timestamp::from_secs(1_999))).contains("It has ended"));
        let lost = words(State::NeedsSignIn("It was taken back there."), Ends::Renewed);
        assert!(lost.contains("Needs sign-in") && lost.contains("It was taken back there."), "{lost}");
        assert!(lost.contains("button tall primary"), "the way on stands out: {lost}");
        assert!(listed(Acts::Own(None)).html().contains("Not connected"));
    }

    // spec: T-86
    #[test]
    fn both_sides_are_named_and_odd_hosts_are_pointed_at() {
        let page = arriving(Some("ada@notes.example"), "xn--ntes-1na.example", &[]);
        for name in ["Ada Lovelace", "ada@notes.example", "xn--ntes-1na.example", "Look closely at"] {
            assert!(page.html().contains(name), "{name}: {}", page.html());
        }
        let plain = arriving(None, "notes.example", &[]);
        assert!(!plain.html().contains("Look closely at"));
        assert!(plain.html().contains("does not say which account"), "{}", plain.html());
    }
}
