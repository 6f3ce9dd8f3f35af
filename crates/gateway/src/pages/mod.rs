//! What people see: views that take plain values and give HTML. No view knows the database, the clock or a request.
//!
//! Every page works without script, takes its whole look from one stylesheet, and leaves with the same strict headers.
//! Text that comes from a client, a server or a person is escaped by the template and passes
//! [`printable`](portcullis_base::printable) first, so that it can neither run nor hide (spec: T-93, T-19, SEC-34).

pub mod access;
pub mod account;
pub mod admin;
mod agent;
pub mod approvals;
pub mod assets;
mod chart;
pub mod connections;
pub mod consent;
pub mod error;
mod form;
pub mod home;
mod moment;
mod number;
pub mod sign_in;
pub mod snippet;
mod table;
pub mod welcome;

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, html};
use portcullis_base::{Timestamp, printable};

use crate::roles::Standing;

/// A finished page with its status and its policy.
pub struct Page {
    status: StatusCode,
    form_target: Option<String>,
    body: Markup,
}

/// Who is signed in, as the head of a page shows it (spec: T-7: the account is always in sight).
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// The name of the account.
    pub name: &'a str,
    /// The value that proves a form came from one of our pages.
    pub form_token: &'a str,
    /// Which doors the head of the page shows.
    pub standing: Standing,
    /// Emergencies that the reader has to know of.
    pub glasses: &'a [BrokenGlass],
}

/// Somebody who has taken every right to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenGlass {
    /// Who; `None`: the reader.
    pub person: Option<String>,
    /// At which server.
    pub server: String,
    /// Until when.
    pub ends_at: Timestamp,
}

/// Which part of the house a page is in, for the way through it in its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Servers and applications.
    Home,
    /// As whom the person acts at servers.
    Connections,
    /// Calls that wait for a word.
    Approvals,
    /// The person's own sign-ins and keys.
    SignIns,
    /// Administration.
    Admin,
    /// Apart from all of them.
    Apart,
}

impl Page {
    /// A page with status 200.
    pub fn new(title: &str, account: Option<Account<'_>>, main: Markup) -> Self {
        Self::within(Room::Apart, title, account, main)
    }

    /// The same, in a part of the house.
    pub fn within(room: Room, title: &str, account: Option<Account<'_>>, main: Markup) -> Self {
        Self { status: StatusCode::OK, form_target: None, body: layout(room, title, account, main) }
    }

    /// The same page with another status.
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Lets a form of this page end, through redirects, at this origin and wherever that leads on to.
    pub fn form_target(self, origin: String) -> Self {
        Self { form_target: Some(origin), ..self }
    }

    /// The HTML, for tests and previews.
    pub fn html(&self) -> &str {
        &self.body.0
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut headers = page_headers();
        headers.insert(header::CONTENT_SECURITY_POLICY, content_security_policy(self.form_target.as_deref()));
        (self.status, headers, Html(self.body.0)).into_response()
    }
}

/// The headers of every HTML answer, but for the policy.
fn page_headers() -> HeaderMap {
    // spec: T-16, AS-134: no page of ours is ever shown in a frame of somebody else's.
    let fixed = [
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    fixed.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}

// spec: SEC-34, T-31, T-93: our own files and nothing else; no inline script or style, no plug-in, no base.
fn content_security_policy(form_target: Option<&str>) -> HeaderValue {
    let target = form_target.filter(|origin| !origin.contains([';', ',', ' ']) && origin.is_ascii());
    let mut policy = String::from(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; form-action 'self'",
    );
    if let Some(origin) = target {
        policy.push(' ');
        policy.push_str(origin);
        // Chromium holds every further redirect against this list too, and clients do lead on: from their callback to
        // their application, from a port on this computer to a page that says "done". With the one origin alone the
        // person would be left on a page that seems to do nothing, after the code was delivered.
        policy.push_str(" https: http://127.0.0.1:* http://localhost:*");
    }
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

fn layout(room: Room, title: &str, account: Option<Account<'_>>, main: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                // Under `no-referrer` browsers send `Origin: null` with our own forms, and the check that keeps foreign
                // forms out (T-2) would see nothing else. To other origins nothing is said either way.
                meta name="referrer" content="same-origin";
                title { (printable(title, 120)) " · Portcullis" }
                link rel="icon" type="image/svg+xml" href=(assets::ICON.path());
                link rel="stylesheet" href=(assets::STYLE.path());
                script type="module" src=(assets::SCRIPT.path()) {}
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header.bar {
                    a.brand href="/" { (mark()) span { "Portcullis" } }
                    @if let Some(account) = account {
                        (rooms(room, account.standing))
                        div.account {
                            span.account-name { span.visually-hidden { "Signed in as " } (printable(account.name, 40)) }
                            form method="post" action="/logout" {
                                input type="hidden" name="form_token" value=(account.form_token);
                                button.quiet type="submit" { "Sign out" }
                            }
                        }
                    }
                }
                @for glass in account.iter().flat_map(|account| account.glasses) { (broken(glass)) }
                main id="main" { (main) }
            }
        }
    }
}

/// What nobody who looks at this gateway may miss.
fn broken(glass: &BrokenGlass) -> Markup {
    html! {
        p.glass role="status" {
            b { "The glass is broken. " }
            @match &glass.person {
                Some(person) => { (foreign(person)) " has every right at " }
                None => { "You have every right at " }
            }
            b { (foreign(&glass.server)) } ", until " (moment::date(glass.ends_at)) ". "
            a href="/grants" { @if glass.person.is_some() { "Look" } @else { "Give it back" } }
        }
    }
}

/// The way through the house.
fn rooms(room: Room, standing: Standing) -> Markup {
    let office = (Room::Admin, "/admin", "Admin");
    let rooms = [
        (Room::Home, "/", "Home"),
        (Room::Approvals, "/approvals", "Approvals"),
        (Room::Connections, "/connections", "My connections"),
        (Room::SignIns, "/account", "My sign-ins"),
    ];
    let rooms = rooms.into_iter().chain((standing > Standing::Member).then_some(office));
    html! {
        nav.rooms aria-label="Main" {
            @for (at, address, label) in rooms {
                a href=(address) aria-current=[(at == room).then_some("true")] { (label) }
            }
        }
    }
}

/// The gate: three bars and two rails.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false" {
            path d="M4 20V9a8 8 0 0 1 16 0v11M9 4v14.5M15 4v14.5M12 3v17M4.2 10h15.6M4.2 15h15.6"
                fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" {}
        }
    }
}

/// Foreign text, cut and made harmless for a page.
fn foreign(text: &str) -> String {
    printable(text, 80)
}

/// A reason of ours, as the parts of the house give it, as a sentence.
pub fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let mut text: String =
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
    if !text.ends_with(['.', '?', '!']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: T-16, AS-134, SEC-34, T-31
    #[test]
    fn every_page_leaves_with_the_strict_headers() {
        let response = Page::new("Test", None, html! {}).into_response();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-content-type-options"), "nosniff");
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'") && policy.ends_with("form-action 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn the_form_target_adds_nothing_but_sources_for_forms() {
        let policy = |origin| content_security_policy(Some(origin)).to_str().unwrap_or("").to_owned();
        let with = policy("http://127.0.0.1:7000");
        assert!(with.contains("form-action 'self' http://127.0.0.1:7000 https:"), "{with}");
        assert!(policy("https://a; script-src *").ends_with("form-action 'self'"));
    }

    #[test]
    fn reasons_become_sentences() {
        assert_eq!(sentence("there is none"), "There is none.");
        assert_eq!(sentence("Choose one."), "Choose one.");
    }

    // spec: T-93, T-19
    #[test]
    fn foreign_text_neither_runs_nor_hides() {
        let account = Account {
            name: "<script>alert(1)</script>\u{202e}",
            form_token: "\"><img src=x>",
            standing: Standing::Member,
            glasses: &[],
        };
        let page = Page::new("</title><script>", Some(account), html! {});
        assert!(!page.html().contains("<script>") && !page.html().contains("<img"), "{}", page.html());
        assert!(!page.html().contains('\u{202e}'));
    }
}
